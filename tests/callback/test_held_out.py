"""Which samples are measured: not before a training, and for the loss not those whose labels were reset."""

import pytest
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

N_TRAIN = 1000
N_RESET = 100


@pytest.mark.parametrize("seed", [0, 1, 42])
def test_labels_reset_by_a_permutation_of_the_same_seed_are_no_more_often_among_them(
    seed, fit, make_monitor, make_loaders, draw
):
    reset = torch.randperm(N_TRAIN, generator=torch.Generator().manual_seed(seed))[:N_RESET]
    images, labels = draw(N_TRAIN, seed=1)
    images[reset] = 100.0  # to know them again
    train = DataLoader(TensorDataset(images, labels), batch_size=500, shuffle=True)
    monitor = make_monitor(n_loss_samples=N_RESET, seed=seed)
    fit(monitor, loaders=(train, make_loaders()[1]), max_epochs=1)
    drawn = torch.cat([batch.inputs for batch in monitor._samples.train_batches])
    among = (drawn == 100.0).all(dim=(1, 2, 3)).sum().item()
    # Hypergeometric: 10 ± 2.9 of the hundred; all of them if both permutations are one.
    assert among <= 10 + 4 * 2.9


LIMITS = {
    "overfit_batches": ({"overfit_batches": 2}, True, 8),
    "limit_train_batches": ({"limit_train_batches": 2}, False, 8),
    "limit_train_batches with shuffling": ({"limit_train_batches": 2}, True, 24),
    "no limit": ({}, False, 24),
}


@pytest.mark.parametrize(("options", "shuffle", "expected"), LIMITS.values(), ids=LIMITS.keys())
def test_the_training_loss_is_taken_on_samples_that_are_trained_on(
    options, shuffle, expected, fit, make_monitor, make_module, conv_module_class, make_loaders
):
    class Seeing(conv_module_class):
        seen = ()

        def training_step(self, batch, _):
            self.seen = {*self.seen, *batch[0].flatten(1).sum(1).tolist()}
            return super().training_step(batch, _)

    module, monitor = make_module(Seeing), make_monitor(n_loss_samples=99)
    fit(monitor, module=module, loaders=make_loaders(batch_size=4, shuffle=shuffle), max_epochs=1, **options)
    drawn = torch.cat([batch.inputs for batch in monitor._samples.train_batches]).flatten(1).sum(1).tolist()
    assert len(drawn) == expected
    if expected == 8:
        assert set(drawn) == module.seen


@pytest.mark.parametrize(("mask_batch_size", "largest"), [("auto", 64), (16, 16), (256, 64)])
def test_given_samples_pass_in_pieces_with_the_loss_of_the_whole(
    mask_batch_size, largest, fit, make_monitor, make_module, draw
):
    images, labels = draw(150, 3)
    sizes, losses = [], []

    def noting(logits, targets):
        losses.append(len(targets))
        return functional.cross_entropy(logits, targets)

    def spying(_, logits):
        sizes.append(len(logits))
        return logits

    module = make_module(poison=spying)
    monitor = make_monitor(samples=(images, labels), loss=noting, mask_batch_size=mask_batch_size)
    monitor.should_measure = lambda epoch: epoch == 1
    fit(monitor, module=module, max_epochs=1)
    pieces = [size for size in losses if size not in {8, 2}]
    assert sum(pieces) == 2 * 150  # in the rehearsal and in the measurement
    assert max(pieces) == largest
    module.eval()
    with torch.no_grad():
        expected = functional.cross_entropy(module.head(module.features(images)), labels).item()
    assert monitor.history[1]["held_out_loss"] == pytest.approx(expected, rel=1e-6)


def test_there_are_none_before_the_training(fit, make_monitor):
    monitor = make_monitor(n_samples=4)
    with pytest.raises(RuntimeError, match="no samples before the training starts"):
        _ = monitor.held_out
    fit(monitor, max_epochs=1)
    assert len(monitor.held_out) == 4


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("draws", ["when made", "when iterated", "both"])
@pytest.mark.parametrize(
    "options",
    [
        {"check_val_every_n_epoch": 2, "num_sanity_val_steps": 0},
        {"check_val_every_n_epoch": 2, "num_sanity_val_steps": 0, "reload_dataloaders_every_n_epochs": 1},
        {"check_val_every_n_epoch": 3, "reload_dataloaders_every_n_epochs": 2},
        {"num_sanity_val_steps": 0},
        {},
    ],
    ids=str,
)
def test_a_validation_loader_that_draws_random_numbers_is_drawn_as_without_the_monitor(
    options, draws, fit, make_monitor, make_module, conv_module_class, make_loaders, draw, assert_same_training
):
    class Drawing:
        """A loader of the user's own, whose batches are others each time."""

        def __init__(self, dataset):
            self.dataset = dataset

        def __len__(self):
            return 2

        def __iter__(self):
            for rows in torch.randperm(12).split(4)[:2]:
                yield self.dataset[rows]

    class Module(conv_module_class):
        asked = ()

        def val_dataloader(self):
            self.asked = (*self.asked, self.current_epoch)
            images, labels = draw(30, 2)
            if draws != "when iterated":
                rows = torch.randperm(30)[:12]
                images, labels = images[rows], labels[rows]
            data = TensorDataset(images, labels)
            return DataLoader(data, 4, shuffle=True) if draws == "when made" else Drawing(data)

        def validation_step(self, batch, index):
            self.train_metrics += batch[0].flatten().tolist()
            super().validation_step(batch, index)

    def run(*callbacks):
        return fit(
            *callbacks, module=make_module(Module), loaders=(make_loaders()[0], None), **{"max_epochs": 4} | options
        )

    monitors = [make_monitor(), make_monitor()]
    watched, plain = run(monitors[0]), run()
    assert_same_training(watched, plain)
    torch.manual_seed(5)
    fit(monitors[1], module=make_module(Module), loaders=(make_loaders()[0], None), max_epochs=1, **options)

    assert monitors[0].failures == 0
    late = options.get("num_sanity_val_steps", 2) == 0 and "check_val_every_n_epoch" in options
    assert watched[1].asked == ((0,) if late else ()) + plain[1].asked
    if late:  # else the samples are those of the loader that the training draws
        assert torch.equal(monitors[0].held_out.inputs, monitors[1].held_out.inputs)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("second", ["measured", "passed over"])
def test_hooks_are_told_which_validation_loader_a_batch_comes_from(
    second, fit, make_monitor, make_module, conv_module_class, draw, assert_same_training
):
    told = []

    class Several(conv_module_class):
        """The images of each loader are larger than those of the one before, until they are on the device."""

        def on_before_batch_transfer(self, batch, dataloader_idx):
            told.append(("before", batch[2][0].item(), dataloader_idx))
            return batch

        def transfer_batch_to_device(self, batch, device, dataloader_idx):
            told.append(("transfer", batch[2][0].item(), dataloader_idx))
            return super().transfer_batch_to_device(batch, device, dataloader_idx)

        def on_after_batch_transfer(self, batch, dataloader_idx):
            return [batch[0] / (1 + dataloader_idx), *batch[1:]]

        def validation_step(self, batch, index, dataloader_idx):  # noqa: ARG002
            super().validation_step(batch, index)

    images, labels = draw(24, 1)

    def loader(number):
        return DataLoader(TensorDataset(images * (1 + number), labels, torch.full((24,), number)), 8)

    def split(batch):
        return None if second == "passed over" and batch[2][0] == 1 else (batch[0], batch[1])

    def run(*callbacks):
        return fit(*callbacks, module=make_module(Several), loaders=(loader(0), [loader(n) for n in range(3)]))

    monitor = make_monitor(n_samples=30, n_loss_samples=60, split_batch=split)
    watched = run(monitor)
    assert monitor.failures == 0
    assert {hook for hook, _, _ in told} == {"before", "transfer"}
    assert {number for _, number, _ in told} == {0, 1, 2}
    assert all(number == index for _, number, index in told)
    known = images.flatten(1).sum(1)
    for batch in (monitor.held_out, *monitor._samples.held_out_batches):
        assert torch.isclose(batch.inputs.flatten(1).sum(1)[:, None], known[None], atol=1e-4).any(1).all()
    assert_same_training(watched, run())
