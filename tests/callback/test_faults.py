"""Faults at every point of a measurement: the network, memory, the disk, the data."""

import errno
import math
import os
import warnings

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from lightning_interactions import InteractionMonitor, Interactions
from lightning_interactions.callback.faults import Faults
from lightning_interactions.history import History

pytestmark = pytest.mark.usefixtures("quick")


class Counting:
    """Counts what the network is called for after the second epoch's last step, and may fault there."""

    def __init__(self, fault=None):
        self.calls, self.fault = 0, fault

    def __call__(self, module, logits):
        if module.trainer.global_step == 6:
            self.calls += 1
            if self.fault is not None:
                self.fault(self.calls, len(logits))
        return logits


def at_call(number):
    def fault(calls, _):
        if calls == number:
            torch.rand(3)
            msg = f"no network at call {number}"
            raise OSError(msg)

    return fault


@pytest.fixture
def recorded():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


@pytest.fixture(scope="module")
def masks_one_by_one():
    return {"mask_batch_size": 1, "n_samples": 2, "n_loss_samples": 4}


@pytest.fixture
def n_calls(fit, make_module, make_monitor, masks_one_by_one):
    counting = Counting()
    fit(make_monitor(**masks_one_by_one), module=make_module(poison=counting))
    assert counting.calls > 2 * 8
    return counting.calls


def test_a_network_that_raises_at_any_call(
    n_calls, fit, make_module, make_monitor, masks_one_by_one, monitor_warnings, assert_same_training
):
    plain = fit(max_epochs=3)
    for number in (1, n_calls // 2, n_calls):
        monitor = make_monitor(**masks_one_by_one)
        module = make_module(poison=Counting(at_call(number)))
        with pytest.warns(UserWarning, match="InteractionMonitor") as caught:
            watched = fit(monitor, module=module, max_epochs=3)
        (warning,) = monitor_warnings(caught)
        assert f"no network at call {number}" in warning
        assert monitor.history.column("failures") == [0, 0, 1, 1]
        assert [math.isnan(x) for x in monitor.history.column("l1")] == [False, False, True, False]
        assert watched[0].callback_metrics["interactions/failures"] == 1
        assert not any(m._forward_hooks for m in module.modules())
        assert_same_training(watched, plain)


# The losses are measured on 8 samples at a time, which nobody makes fewer.
@pytest.mark.parametrize("fitting", [8, 0], ids=["for large batches", "always"])
def test_memory_that_runs_out(
    fitting, fit, make_module, make_monitor, recorded, monitor_warnings, assert_same_training
):
    refused = []

    def out_of_memory(_, rows):
        if rows > fitting:
            refused.append(rows)
            msg = "no memory left on this device"
            raise torch.OutOfMemoryError(msg)

    expected, monitor = make_monitor(), make_monitor()
    plain = fit(expected, max_epochs=3)
    watched = fit(monitor, module=make_module(poison=Counting(out_of_memory)), max_epochs=3)

    assert refused
    assert monitor.history.column("failures") == ([0, 0, 0, 0] if fitting else [0, 0, 1, 1])
    if fitting:
        assert monitor_warnings(recorded) == []
        assert monitor.history[2]["l1"] == pytest.approx(expected.history[2]["l1"], rel=1e-4)
    else:
        (warning,) = monitor_warnings(recorded)
        assert "OutOfMemoryError: no memory left" in warning
        assert math.isnan(monitor.history[2]["l1"])
    assert monitor.history[3]["l1"] == expected.history[3]["l1"]
    assert_same_training(watched, plain)


def test_a_disk_that_is_full_for_a_while(
    fit, make_monitor, recorded, monitor_warnings, assert_same_training, tmp_path, monkeypatch
):
    """Half of each file is written when the disk says so: what it promised to keep is then gone."""
    sync, full = os.fsync, []

    def fsync(file):
        if full:
            os.truncate(file, os.fstat(file).st_size // 2)
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(file)

    class Filling(InteractionMonitor):
        def on_train_epoch_end(self, trainer, pl_module):
            full[:] = [True] * (trainer.current_epoch == 1)
            super().on_train_epoch_end(trainer, pl_module)

    monkeypatch.setattr(os, "fsync", fsync)
    monitor = make_monitor(cls=Filling)
    watched = fit(monitor, max_epochs=3)

    (warning,) = monitor_warnings(recorded)
    assert "No space left on device" in warning
    folder = tmp_path / "interactions"
    assert {path.name for path in folder.iterdir()} == {
        "history.json",
        "samples.json",
        *(f"epoch={epoch:04d}.npz" for epoch in (0, 1, 3)),
    }
    assert History.load(folder / "history.json").epochs == [0, 1, 2, 3]
    assert Interactions.load(folder / "epoch=0003.npz").l1.sum() == monitor.interactions.l1.sum()
    assert monitor.failures == 0
    assert_same_training(watched, fit(max_epochs=3))


class Shrinking(Dataset):
    """Loses its rows, as a folder does that somebody tidies up."""

    def __init__(self, images, labels):
        self.rows = list(zip(images, labels, strict=True))

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


def test_data_that_gets_less_while_the_training_runs(fit, make_monitor, make_loaders, draw):
    class Tidying(InteractionMonitor):
        def on_train_epoch_start(self, trainer, _):
            del trainer.val_dataloaders.dataset.rows[4:]

    train, _ = make_loaders(shuffle=False)
    monitors = make_monitor(), make_monitor(cls=Tidying)
    for monitor in monitors:
        fit(monitor, loaders=(train, DataLoader(Shrinking(*draw(12, 2)), 4)))
        assert monitor.failures == 0
    kept, shrunk = monitors
    for key in ("l1", "held_out_loss", "n_samples"):
        assert shrunk.history.column(key) == kept.history.column(key)


def test_an_error_is_kept_until_all_can_raise_it():
    faults = Faults("raise")
    for text in ("first", "second"):
        with faults.survived("writing"):
            raise OSError(text)
    with pytest.raises(OSError, match="first"):
        faults.raise_together()
    faults.raise_together()  # and then it is gone


def test_an_interrupt_is_no_fault():
    with pytest.raises(KeyboardInterrupt), Faults("warn").survived("writing"):
        raise KeyboardInterrupt


def test_on_error_is_one_of_two():
    with pytest.raises(ValueError, match=r"`on_error` must be one of \['warn', 'raise'\], got 'ignore'"):
        Faults("ignore")
