"""Trainers that loop in other ways, that look for settings, and that do not train at all."""

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from lightning.pytorch.callbacks import LearningRateFinder
from lightning.pytorch.tuner import Tuner
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.dataloader import default_collate

from lightning_interactions import InteractionMonitor

pytestmark = pytest.mark.usefixtures("quick")

LOOPS = {
    "no validation": {"limit_val_batches": 0},
    "validation every second epoch": {"check_val_every_n_epoch": 2},
    "no sanity check": {"num_sanity_val_steps": 0},
    "a few batches again and again": {"overfit_batches": 2},
    "loaders made anew each epoch": {"reload_dataloaders_every_n_epochs": 1},
    "a time limit": {"max_time": "00:01:00:00"},
}


@pytest.mark.parametrize("options", LOOPS.values(), ids=LOOPS.keys())
def test_loops(options, fit, make_monitor, assert_same_training, draw):
    monitor = make_monitor(samples=draw(6, 4) if "limit_val_batches" in options else None)
    watched = fit(monitor, **options)
    assert monitor.failures == 0
    assert monitor.history.epochs == [0, 1, 2]
    assert_same_training(watched, fit(**options))


def test_no_validation_loader(fit, make_monitor, make_loaders, assert_same_training, draw):
    loaders = make_loaders()[0], None
    monitor = make_monitor(samples=draw(6, 4))
    watched = fit(monitor, loaders=loaders)
    assert monitor.failures == 0
    assert monitor.history.column("n_samples") == [6, 6, 6]
    assert_same_training(watched, fit(loaders=loaders))


def test_a_number_of_steps_that_ends_in_the_middle_of_an_epoch(fit, make_monitor, assert_same_training):
    options = {"max_epochs": -1, "max_steps": 4}
    monitor = make_monitor()
    watched = fit(monitor, **options)
    assert monitor.failures == 0
    assert monitor.history.column("global_step") == [0, 3, 4]  # three batches an epoch
    assert monitor.history.epochs == [0, 1, 2]
    assert_same_training(watched, fit(**options))


def test_nothing_is_measured_in_the_sanity_check(fit, make_monitor):
    stages = []

    class Spy(InteractionMonitor):
        def _measure(self, trainer, pl_module, **options):
            stages.append((trainer.state.stage.value, options["epoch"]))
            return super()._measure(trainer, pl_module, **options)

    fit(make_monitor(cls=Spy), num_sanity_val_steps=2, max_epochs=1)
    assert stages == [("train", 0), ("train", 1)]


def test_stages_without_training(make_trainer, make_monitor, make_module, make_loaders, conv_module_class):
    class Module(conv_module_class):
        def test_step(self, batch):
            self.log("test_loss", self.loss(batch))

    monitor, module = make_monitor(), make_module(Module)
    trainer = make_trainer(monitor, max_epochs=1)
    train, val = make_loaders()
    trainer.validate(module, val, verbose=False)
    assert len(monitor.history) == 0
    trainer.fit(module, train, val)
    kept = monitor.state_dict()
    weights = {key: value.clone() for key, value in module.state_dict().items()}
    (validated,) = trainer.validate(module, val, verbose=False)
    (tested,) = trainer.test(module, val, verbose=False)
    predicted = trainer.predict(module, DataLoader(val.dataset.tensors[0], 4))

    assert {*validated, *tested} == {"val_loss", "test_loss"}
    assert sum(map(len, predicted)) == 12
    assert monitor.history.epochs == [0, 1]
    assert str(monitor.state_dict()) == str(kept)
    assert all(torch.equal(value, weights[key]) for key, value in module.state_dict().items())


@pytest.fixture
def tuned_module(make_module, conv_module_class, draw):
    class Tuned(conv_module_class):
        def __init__(self):
            super().__init__()
            self.lr, self.batch_size = 1e-2, 4

        def train_dataloader(self):
            return DataLoader(TensorDataset(*draw(24, 1)), self.batch_size, shuffle=True)

        def val_dataloader(self):
            return DataLoader(TensorDataset(*draw(12, 2)), 8)

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), self.lr)

    return lambda: make_module(Tuned)


@pytest.mark.parametrize("search", ["learning rate", "batch size"])
def test_a_search_for_settings_before_the_training(
    search, make_trainer, make_monitor, tuned_module, assert_same_training, tmp_path
):
    def train(*callbacks):
        module = tuned_module()
        trainer = make_trainer(*callbacks, max_epochs=1)
        torch.manual_seed(7)
        if search == "learning rate":
            Tuner(trainer).lr_find(module, num_training=6, early_stop_threshold=None)
        else:
            Tuner(trainer).scale_batch_size(module, max_trials=2, steps_per_trial=1)
        for monitor in callbacks:
            assert len(monitor.history) == 0
            assert monitor.interactions is None
            assert not (tmp_path / "interactions").exists()
        trainer.fit(module)
        return trainer, module

    monitor = make_monitor()
    watched = train(monitor)
    assert monitor.failures == 0
    assert monitor.history.epochs == [0, 1]
    assert monitor.history[0]["global_step"] == 0
    assert_same_training(watched, train())


def test_a_search_in_the_middle_of_the_training(make_trainer, make_monitor, tuned_module, assert_same_training):
    class Later(LearningRateFinder):
        def on_fit_start(self, *_):
            pass

        def on_train_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                self.lr_find(trainer, pl_module)

    def train(*callbacks):
        trainer = make_trainer(*callbacks, Later(num_training_steps=6, update_attr=False))
        module = tuned_module()
        torch.manual_seed(7)
        trainer.fit(module)
        return trainer, module

    monitor = make_monitor()
    watched = train(monitor)
    assert monitor.failures == 0
    assert monitor.history.column("global_step") == [0, 6, 12]
    assert_same_training(watched, train())


Named = namedtuple("Named", ["image", "label"])  # noqa: PYI024  # as users write them


@dataclass
class Fields:
    image: torch.Tensor
    label: torch.Tensor


def as_tuple(rows):
    return tuple(default_collate(rows))


def as_named_tuple(rows):
    return Named(*default_collate(rows))


def as_dataclass(rows):
    return Fields(*default_collate(rows))


@pytest.mark.parametrize("collate", [as_tuple, as_named_tuple, as_dataclass], ids=lambda f: f.__name__)
def test_batches(collate, fit, make_monitor, make_module, conv_module_class, draw):
    class Module(conv_module_class):
        def loss(self, batch):
            return super().loss((batch.image, batch.label) if hasattr(batch, "image") else batch)

    train = DataLoader(TensorDataset(*draw(24, 1)), 8, shuffle=True, collate_fn=collate)
    val = DataLoader(TensorDataset(*draw(12, 2)), 8, collate_fn=collate)
    split = {"split_batch": lambda batch: (batch.image, batch.label)} if collate is as_dataclass else {}
    monitor, expected = make_monitor(**split), make_monitor()
    fit(monitor, module=make_module(Module), loaders=(train, val), max_epochs=1)
    fit(expected, max_epochs=1)
    assert monitor.failures == 0
    assert monitor.history.column("l1") == expected.history.column("l1")
