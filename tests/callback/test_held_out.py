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
