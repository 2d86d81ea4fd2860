"""The monitor only watches: a training is bitwise the same with it and without it."""

import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, Subset, SubsetRandomSampler, TensorDataset, WeightedRandomSampler

from lightning_interactions import FeatureMapPatches, InteractionMonitor


class Augmented(Dataset):
    """Draws from all three global random states, as augmentation does."""

    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        noise = torch.rand(()) + np.random.rand() + random.random()  # noqa: NPY002, S311
        return self.images[index] + float(noise), self.labels[index]


def plain(draw):
    return DataLoader(TensorDataset(*draw(24, 1)), 8, shuffle=True), DataLoader(TensorDataset(*draw(12, 2)), 8)


def own_generator(draw):
    generator = torch.Generator().manual_seed(3)
    train = DataLoader(TensorDataset(*draw(24, 1)), 8, shuffle=True, generator=generator)
    return train, DataLoader(TensorDataset(*draw(12, 2)), 8, generator=generator)


def shuffled_validation(draw):
    train, _ = plain(draw)
    return train, DataLoader(TensorDataset(*draw(12, 2)), 4, shuffle=True)


def augmented(draw):
    return DataLoader(Augmented(*draw(24, 1)), 8, shuffle=True), DataLoader(Augmented(*draw(12, 2)), 8)


def own_samplers(draw):
    generator = torch.Generator().manual_seed(3)
    images, labels = draw(24, 1)
    train = TensorDataset(images, labels)
    val = Subset(TensorDataset(*draw(20, 2)), range(4, 16))
    return (
        DataLoader(train, 8, sampler=WeightedRandomSampler(torch.rand(24, generator=generator), 24)),
        DataLoader(val, 4, sampler=SubsetRandomSampler(range(2, 12), generator=generator)),
    )


def workers(draw):
    train, _ = plain(draw)
    return train, DataLoader(Augmented(*draw(8, 2)), 4, num_workers=1)


def workers_for_both(draw):
    train = DataLoader(Augmented(*draw(24, 1)), 8, shuffle=True, num_workers=2, persistent_workers=True)
    return train, DataLoader(Augmented(*draw(12, 2)), 8, num_workers=2)


@pytest.mark.parametrize(
    "loaders",
    [plain, own_generator, shuffled_validation, augmented, own_samplers, workers, workers_for_both],
    ids=lambda f: f.__name__,
)
def test_training_is_bitwise_the_same(loaders, fit, make_monitor, draw, assert_same_training, request):
    if loaders is not plain:
        request.getfixturevalue("quick")
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    without = fit(loaders=loaders(draw))
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    monitor = make_monitor()
    watched = fit(monitor, loaders=loaders(draw))

    assert monitor.history.epochs == [0, 1, 2]
    assert monitor.failures == 0
    assert_same_training(watched, without)


def test_so_it_is_with_two_monitors(fit, make_monitor, assert_same_training, tmp_path):
    first = make_monitor(name="first")
    second = make_monitor(name="second", variables=FeatureMapPatches("features.1", grid=4, border=1, n_variables=4))
    watched = fit(first, second, seed=3)

    assert first.failures == second.failures == 0
    assert_same_training(watched, fit(seed=3))
    metrics = watched[0].callback_metrics
    assert metrics["interactions/first/mean_order"] == pytest.approx(first.history[2]["mean_order"])
    assert metrics["interactions/second/mean_order"] == pytest.approx(second.history[2]["mean_order"])
    assert first.history[2]["mean_order"] != second.history[2]["mean_order"]
    assert "interactions/mean_order" not in metrics
    for name in ("first", "second"):
        assert (tmp_path / "interactions" / name / "epoch=0002.npz").exists()


def test_so_it_is_with_hooks_that_draw_random_numbers(
    fit, make_monitor, make_module, conv_module_class, assert_same_training
):
    class Noisy(conv_module_class):
        def on_before_batch_transfer(self, batch, _):
            return batch[0] + 0.1 * torch.randn(()), batch[1]

        def on_after_batch_transfer(self, batch, _):
            return batch[0] + 0.1 * np.random.rand(), batch[1]  # noqa: NPY002

    np.random.seed(1)  # noqa: NPY002
    without = fit(module=make_module(Noisy))
    np.random.seed(1)  # noqa: NPY002
    monitor = make_monitor()
    watched = fit(monitor, module=make_module(Noisy))

    assert monitor.failures == 0
    assert_same_training(watched, without)


def test_no_hook_and_no_flag_is_left(fit, make_monitor, make_module):
    module = make_module()
    module.features[1].eval()  # a frozen batch norm stays frozen
    flags = []

    class Spy(InteractionMonitor):
        def on_train_epoch_end(self, trainer, pl_module):
            before = [m.training for m in pl_module.modules()]
            super().on_train_epoch_end(trainer, pl_module)
            flags.append(before == [m.training for m in pl_module.modules()])
            assert trainer.training

    fit(make_monitor(cls=Spy), module=module)
    assert flags == [True, True]
    assert not any(m._forward_hooks for m in module.modules())
    assert all(parameter.requires_grad for parameter in module.parameters())


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("log", ["log", "log_dict"])
def test_what_the_forward_logs_is_about_the_training_alone(
    log, fit, make_monitor, make_module, conv_module_class, assert_same_training
):
    class Logging(conv_module_class):
        def forward(self, x):
            logits = super().forward(x)
            size = logits.abs().mean()
            options = {"on_step": False, "on_epoch": True, "batch_size": len(x)}
            self.log("size", size, **options) if log == "log" else self.log_dict({"size": size}, **options)
            return logits

        def loss(self, batch):
            return torch.nn.functional.cross_entropy(self(batch[0]), batch[1])

    class Later(InteractionMonitor):
        def should_measure(self, epoch):
            return epoch == 2

    def run(*callbacks):
        return fit(*callbacks, module=make_module(Logging), max_epochs=2, limit_val_batches=limit)

    for limit in (1.0, 0):
        samples = None if limit else (torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 0]))
        expected = run()
        for cls in (InteractionMonitor, Later):
            monitor = make_monitor(cls=cls, samples=samples)
            trainer, module = run(monitor)
            assert monitor.failures == 0
            assert_same_training((trainer, module), expected)
            assert not {"log", "log_dict"} & vars(module).keys()


@pytest.mark.usefixtures("quick")
def test_a_failed_measurement_gives_the_module_its_log_back(fit, make_monitor, make_module):
    def broken(module, _):
        assert module.trainer.validating or module.trainer.sanity_checking
        msg = "out of order"
        raise OSError(msg)

    module = make_module(poison=broken)
    own = module.log = module.log
    monitor = make_monitor()
    with pytest.warns(UserWarning, match="out of order"):
        trainer, _ = fit(monitor, module=module)
    assert monitor.failures == 3
    assert module.log is own
    assert "log_dict" not in vars(module)
    assert "train_loss_epoch" in trainer.callback_metrics


@pytest.mark.usefixtures("quick")
def test_a_forward_that_augments_while_the_trainer_trains(
    fit, make_monitor, make_module, conv_module_class, assert_same_training
):
    class Augmenting(conv_module_class):
        def forward(self, x):
            return super().forward(x + torch.randn_like(x) if self.trainer.training else x)

    plain, monitor = make_monitor(), make_monitor()
    watched = fit(monitor, module=make_module(Augmenting))
    unwatched = fit(plain)
    assert monitor.history.column("l1") == plain.history.column("l1")
    assert_same_training(watched, unwatched)
