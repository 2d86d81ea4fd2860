"""The measurement has a line of its own beside whatever bar the Trainer shows, and leaves it tidy."""

import io
import math
import re
import sys
from errno import ENOTTY
from types import SimpleNamespace

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar, TQDMProgressBar
from pytorch_lightning.callbacks import TQDMProgressBar as StandaloneTQDMProgressBar

from lightning_interactions import InteractionMonitor
from lightning_interactions.callback import progress
from lightning_interactions.callback.faults import Faults
from lightning_interactions.callback.progress import announce, measurement_bar, measurement_line


@pytest.fixture
def spied(make_monitor):
    """A monitor whose network notes what the Trainer's rich bar shows during a measurement."""

    def make(module, note):
        monitor = make_monitor(mask_batch_size=8)

        def poison(network, logits):
            if len(logits) == 8 and not network.training:
                note(network.trainer)
            return logits

        module.poison = poison
        return monitor

    return make


def test_rich(fit, make_module, spied, capsys):
    module, seen = make_module(), []

    def note(trainer):
        tasks = trainer.progress_bar_callback.progress.tasks
        seen.extend((task.description, task.total, task.completed) for task in tasks if task.visible)

    class Spy(RichProgressBar):
        def on_train_batch_end(self, trainer, *args):
            super().on_train_batch_end(trainer, *args)
            assert self.train_progress_bar.description.startswith("Epoch")
            shown = [task.description for task in self.progress.tasks if task.visible]
            assert not any("Interactions" in text for text in shown)

    monitor = spied(module, note)
    fit(monitor, Spy(refresh_rate=1), module=module, enable_progress_bar=True, max_epochs=3)

    assert monitor.failures == 0
    mine = [entry for entry in seen if "Interactions" in entry[0]]
    assert {text for text, _, _ in mine} == {f"Interactions at epoch {epoch}" for epoch in range(4)}
    assert {total for _, total, _ in mine} == {4}
    assert {done for text, _, done in mine if text.endswith("2")} == {0, 1, 2, 3}
    capsys.readouterr()


def test_tqdm(fit, make_module, spied, monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    module = make_module()
    monitor = spied(module, lambda _: None)
    fit(monitor, TQDMProgressBar(), module=module, enable_progress_bar=True)

    assert monitor.failures == 0
    for epoch in range(3):
        assert f"Interactions at epoch {epoch}" in screen.getvalue()
    wiped = screen.getvalue().removesuffix("\x1b[A").rstrip("\r")
    assert wiped.endswith(" " * 40)


@pytest.mark.parametrize("refresh_rate", [0, None])
@pytest.mark.parametrize("cls", [RichProgressBar, TQDMProgressBar])
def test_no_bar_where_the_trainer_shows_none(cls, refresh_rate, fit, make_monitor, capsys):
    monitor = make_monitor()
    if refresh_rate is None:
        fit(monitor)
    else:
        fit(monitor, cls(refresh_rate=0), enable_progress_bar=True)
    assert monitor.failures == 0
    out, err = capsys.readouterr()
    assert "Interactions at" not in out + err


def test_a_bar_of_the_users(fit, make_monitor, capsys):
    class Bar(ProgressBar):
        def disable(self):
            pass

        def enable(self):
            pass

    monitor = make_monitor()
    fit(monitor, Bar(), enable_progress_bar=True)
    assert monitor.failures == 0
    assert "Interactions at epoch 2" in capsys.readouterr().err


def test_only_the_first_process_shows_a_bar():
    trainer = SimpleNamespace(progress_bar_callback=TQDMProgressBar(), is_global_zero=False)
    with measurement_bar(trainer, "text", 3, Faults()) as update:
        assert update is None


@pytest.mark.parametrize("at", ["__init__", "close"])
def test_a_bar_that_fails_costs_the_bar_alone(at, fit, make_monitor, monkeypatch):
    class Line(progress.tqdm):
        def __del__(self):
            pass

    def fail(*_, **__):
        raise OSError(ENOTTY, "the terminal is gone")

    setattr(Line, at, fail)
    monkeypatch.setattr(progress, "tqdm", Line)
    monitor = make_monitor()
    with pytest.warns(
        UserWarning, match="ing the progress of a measurement failed with OSError.*the terminal"
    ) as caught:
        fit(monitor, TQDMProgressBar(), enable_progress_bar=True)
    assert sum("the progress of a measurement" in str(warning.message) for warning in caught) == 1
    assert monitor.failures == 0
    assert [record["n_samples"] for record in monitor.history] == [4, 4, 4]


@pytest.mark.parametrize("bar", [TQDMProgressBar, RichProgressBar])
def test_a_bar_is_cleared_when_the_measurement_fails(bar, fit, make_module, make_monitor, capsys):
    def poison(module, logits):
        if module.trainer.global_step > 0 and len(logits) == 8:
            raise OSError
        return logits

    class Spy(bar):
        def on_train_end(self, *args):
            tasks = getattr(getattr(self, "progress", None), "tasks", ())
            assert not any(task.visible and "Interactions" in task.description for task in tasks)
            super().on_train_end(*args)

    monitor = make_monitor(mask_batch_size=8)
    with pytest.warns(UserWarning, match="the measurement at epoch 1 failed"):
        fit(monitor, Spy(), module=make_module(poison=poison), enable_progress_bar=True)
    assert monitor.failures == 2
    capsys.readouterr()


def test_transfer_hooks_see_a_validation_and_are_called_in_the_order_of_lightning(
    fit, make_monitor, make_module, conv_module_class, draw
):
    """Samples go through the user's hooks, which may normalise always and augment in training."""

    class Hooked(conv_module_class):
        def on_before_batch_transfer(self, batch, _):
            self.seen.append(("before", self.trainer.training, self.trainer.validating))
            return batch[0] * 2, batch[1]

        def on_after_batch_transfer(self, batch, _):
            self.seen.append(("after", self.trainer.training, self.trainer.validating))
            images = batch[0] + 1
            return (images * 1000 if self.trainer.training else images), batch[1]

    module = make_module(Hooked)
    module.seen = []
    stages = []

    class Spy(InteractionMonitor):
        def on_train_start(self, trainer, pl_module):
            before, number = trainer.state.stage, len(pl_module.seen)
            super().on_train_start(trainer, pl_module)
            stages.append(trainer.state.stage is before)
            seen = pl_module.seen[number:]
            assert seen == [("before", False, True), ("after", False, True)] * (len(seen) // 2)
            assert seen

    monitor = make_monitor(cls=Spy, n_loss_samples=24, n_samples=12)
    fit(monitor, module=module)
    assert stages == [True]
    assert monitor.failures == 0
    expected = draw(12, 2)[0] * 2 + 1
    held_out = monitor.held_out.inputs
    assert sorted(image.sum().item() for image in held_out) == pytest.approx(
        sorted(image.sum().item() for image in expected), rel=1e-5
    )
    train = torch.cat([batch.inputs for batch in monitor._samples.train_batches])
    assert sorted(image.sum().item() for image in train) == pytest.approx(
        sorted((image * 2 + 1).sum().item() for image in draw(24, 1)[0]), rel=1e-5
    )


def test_hooks_of_a_data_module(make_monitor, make_module, make_trainer, make_loaders):
    class Data(pl.LightningDataModule):
        def train_dataloader(self):
            return make_loaders()[0]

        def val_dataloader(self):
            return make_loaders()[1]

        def on_before_batch_transfer(self, batch, _):
            return batch["images"] if isinstance(batch, dict) else batch[0] * 0 + 5, batch[1]

    monitor = make_monitor()
    make_trainer(monitor).fit(make_module(), datamodule=Data())
    assert monitor.failures == 0
    assert set(monitor.held_out.inputs.flatten().tolist()) == {5.0}


RECORD = {"epoch": 25, "phase": "overfitting", "mean_order": 2.326, "n_samples": 24, "seconds": 4.49}
FIT = {"spindle_share": 0.081, "spindle_share_low": 0.02, "spindle_share_high": 0.2, "identified": 1}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "Interactions, epoch 25: overfitting, mean order 2.33, 4.5 s"),
        (FIT, "Interactions, epoch 25: overfitting, mean order 2.33, spindle share 0.08 (0.02 … 0.20), 4.5 s"),
        (
            FIT | {"identified": 0},
            "Interactions, epoch 25: overfitting, mean order 2.33, spindle share not identified (0.02 … 0.20), 4.5 s",
        ),
        (
            FIT | {"reference_epoch": 25},
            (
                "Interactions, epoch 25: overfitting, mean order 2.33,"
                " lowest held-out loss so far: the reference for the spindle share, 4.5 s"
            ),
        ),
        ({"spindle_share": math.nan}, "Interactions, epoch 25: overfitting, mean order 2.33, 4.5 s"),
        (
            {"mean_order": math.nan, "n_samples": 0},
            "Interactions, epoch 25: overfitting, measurement failed, 4.5 s",
        ),
        ({"mean_order": math.nan}, "Interactions, epoch 25: overfitting, no order, 4.5 s"),
    ],
)
def test_a_measurement_in_one_line(change, expected):
    assert measurement_line(RECORD | change) == expected


def test_the_line_names_a_monitor_with_a_name():
    assert measurement_line(RECORD, "deep").startswith("Interactions of deep, epoch 25: ")


class Announcing(pl.Callback):
    """Prints a line where a monitor would: before the first epoch and after each."""

    def on_train_start(self, trainer, _):
        announce(trainer, "line 0")

    def on_train_epoch_end(self, trainer, _):
        announce(trainer, f"line {trainer.current_epoch + 1}")


@pytest.mark.parametrize("bar", [TQDMProgressBar, RichProgressBar, None])
def test_lines_are_printed_whole_beside_each_bar(bar, fit, capsys):
    fit(Announcing(), *([bar()] if bar else []), enable_progress_bar=bar is not None)

    out, _ = capsys.readouterr()
    lines = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line).strip() for line in out.splitlines()]
    assert [line for line in lines if line.startswith("line")] == ["line 0", "line 1", "line 2"]


def test_a_bar_of_the_users_prints_its_way():
    printed = []
    trainer = SimpleNamespace(progress_bar_callback=SimpleNamespace(print=printed.append), is_global_zero=True)
    announce(trainer, "line")
    assert printed == ["line"]


@pytest.mark.parametrize("bar", [TQDMProgressBar, StandaloneTQDMProgressBar, RichProgressBar])
def test_a_bar_that_has_not_begun_loses_no_line(bar, capsys):
    announce(SimpleNamespace(progress_bar_callback=bar(), is_global_zero=True), "line")
    assert capsys.readouterr().out == "line\n"


def test_only_the_first_process_prints(capsys):
    announce(SimpleNamespace(progress_bar_callback=None, is_global_zero=False), "line")
    assert capsys.readouterr().out == ""
