"""What fails after the first training step costs one warning and never the training."""

import math
import shutil
import warnings

import pytest
import torch
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import STORE_EVERYTHING_SIZE_GUIDANCE, EventAccumulator

from lightning_interactions import InteractionMonitor


def after_epoch(epoch, spoil):
    """Spoil what the network puts out when it is measured later than ``epoch`` completed epochs."""
    return lambda module, logits: spoil(logits) if module.trainer.global_step > 3 * epoch else logits


def all_nan(logits):
    return logits * math.nan


def one_nan(logits):
    # All masked versions of a sample pass together; the first two of them belong to the first sample.
    spoiled = logits.clone()
    if len(logits) >= 8:
        spoiled[1] = math.nan
    return spoiled


def raising(logits):
    msg = f"no network for {len(logits)} inputs"
    raise OSError(msg)


@pytest.fixture
def recorded():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("spoil", [all_nan, raising], ids=["NaN", "raising"])
def test_a_failed_measurement_is_nan_counted_and_warned_of_once(
    spoil, fit, make_module, make_monitor, recorded, monitor_warnings, assert_same_training, tmp_path
):
    monitor = make_monitor()
    watched = fit(monitor, module=make_module(poison=after_epoch(1, spoil)), max_epochs=4)

    assert monitor.history.epochs == [0, 1, 2, 3, 4]
    assert monitor.history.column("failures") == [0, 0, 1, 2, 3]
    assert [math.isnan(x) for x in monitor.history.column("mean_order")] == [False, False, True, True, True]
    assert all(math.isnan(x) for x in monitor.history[2]["positive"])
    metrics = watched[0].callback_metrics
    assert metrics["interactions/failures"] == 3
    assert math.isnan(metrics["interactions/l1"])
    assert math.isnan(metrics["interactions/positive/order_02"])
    (warning,) = monitor_warnings(recorded)
    assert "epoch 2" in warning
    assert ("NaN or infin" if spoil is all_nan else "OSError: no network for") in warning
    assert not (tmp_path / "interactions" / "epoch=0002.npz").exists()
    assert (tmp_path / "interactions" / "history.json").exists()
    assert_same_training(watched, fit(max_epochs=4))


@pytest.mark.usefixtures("quick")
def test_a_failure_half_way_through_a_measurement_leaves_the_network_as_it_was(
    fit, make_module, make_monitor, recorded, monitor_warnings, assert_same_training
):
    calls = []

    def poison(module, logits):
        if module.trainer.global_step == 6 and len(logits) == 8:
            calls.append(len(logits))
            if len(calls) == 3:
                torch.rand(5)
                msg = "out of order"
                raise OSError(msg)
        return logits

    monitor = make_monitor(mask_batch_size=8)  # one sample in each forward pass
    module = make_module(poison=poison)
    watched = fit(monitor, module=module, max_epochs=3)

    assert len(calls) >= 3
    assert monitor.history.column("failures") == [0, 0, 1, 1]
    assert math.isfinite(monitor.history[3]["l1"])
    assert len(monitor_warnings(recorded)) == 1
    assert not any(m._forward_hooks for m in module.modules())
    assert_same_training(watched, fit(max_epochs=3))


@pytest.mark.usefixtures("quick")
def test_samples_with_nan_are_dropped_counted_and_warned_of_once(
    fit, make_module, make_monitor, recorded, monitor_warnings, assert_same_training
):
    monitor = make_monitor()
    watched = fit(monitor, module=make_module(poison=after_epoch(1, one_nan)), max_epochs=4)

    assert monitor.history.column("n_dropped") == [0, 0, 1, 1, 1]
    assert monitor.history.column("n_samples") == [4, 4, 3, 3, 3]
    assert monitor.history.column("failures") == [0] * 5
    assert all(map(math.isfinite, monitor.history.column("l1")))
    (warning,) = monitor_warnings(recorded)
    assert "1 of 4 samples" in warning
    assert monitor.interactions.provenance["dropped"] == [0]
    assert_same_training(watched, fit(max_epochs=4))


@pytest.mark.usefixtures("quick")
def test_a_network_that_is_nan_from_the_start_is_a_failure_and_no_error(
    fit, make_module, make_monitor, recorded, monitor_warnings
):
    monitor = make_monitor()
    fit(monitor, module=make_module(poison=lambda _, logits: all_nan(logits)))
    assert monitor.history.column("failures") == [1, 2, 3]
    assert len(monitor_warnings(recorded)) == 1


def test_a_folder_that_cannot_be_written_to_costs_the_files_alone(
    fit, make_monitor, recorded, monitor_warnings, assert_same_training, tmp_path
):
    class Vandal(InteractionMonitor):
        def on_train_epoch_start(self, trainer, _):
            if trainer.current_epoch == 1:
                shutil.rmtree(self.folder)
                self.folder.write_text("no folder")

    monitor = make_monitor(cls=Vandal)
    logger = TensorBoardLogger(tmp_path, name="run", version="0")
    watched = fit(monitor, max_epochs=4, logger=logger)

    (warning,) = monitor_warnings(recorded)
    assert "writing the results" in warning
    assert monitor.failures == 0
    assert monitor.history.epochs == [0, 1, 2, 3, 4]
    assert_same_training(watched, fit(max_epochs=4))
    # What was drawn for TensorBoard is there all the same.
    events = EventAccumulator(str(tmp_path / "run" / "0"), STORE_EVERYTHING_SIZE_GUIDANCE)
    events.Reload()
    assert len(events.Images("interactions/strength")) == 5


class Broken(Logger):
    """Takes the training's metrics, refuses pictures, and at first the monitor's numbers too."""

    name = version = "broken"

    def log_metrics(self, metrics, step=None):
        if step == 0 and "interactions/l1" in metrics:
            msg = "no numbers today"
            raise ConnectionError(msg)

    def log_hyperparams(self, *_, **__):
        pass

    @property
    def experiment(self):
        return self

    def add_figure(self, *_, **__):
        msg = "no pictures today"
        raise ConnectionError(msg)

    add_histogram = add_text = add_figure


def test_a_logger_that_raises_costs_one_warning_of_each_kind(
    fit, make_monitor, recorded, monitor_warnings, assert_same_training, tmp_path
):
    monitor = make_monitor()
    working = TensorBoardLogger(tmp_path, name="run", version="0")
    watched = fit(monitor, max_epochs=3, logger=[Broken(), working])

    first, second = monitor_warnings(recorded)
    assert "no pictures today" in first
    assert "no numbers today" in second
    assert monitor.failures == 0
    folder = tmp_path / Broken.name / Broken.version / "interactions"  # beside the run's checkpoints
    assert (folder / "history.json").exists()
    assert (folder / "epoch=0003.npz").exists()
    assert_same_training(watched, fit(max_epochs=3))


@pytest.mark.usefixtures("quick")
def test_a_new_training_warns_again(fit, make_module, make_monitor, recorded, monitor_warnings):
    monitor = make_monitor()
    for _ in range(2):
        fit(monitor, module=make_module(poison=after_epoch(0, all_nan)))
    assert len(monitor_warnings(recorded)) == 2
    assert monitor.history.column("failures") == [0, 1, 2]


@pytest.mark.usefixtures("quick")
def test_the_user_can_still_stop_the_training(fit, make_module, make_monitor):
    def interrupt(module, logits):
        if module.trainer.global_step > 0:
            raise KeyboardInterrupt
        return logits

    monitor = make_monitor()
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(monitor, module=make_module(poison=interrupt))
    assert monitor.failures == 0


@pytest.mark.usefixtures("quick")
def test_a_failed_measurement_is_raised_where_that_is_wanted(
    fit, make_module, make_monitor, recorded, monitor_warnings, tmp_path
):
    monitor, module = make_monitor(on_error="raise"), make_module(poison=after_epoch(1, raising))
    with pytest.raises(OSError, match="no network for"):
        fit(monitor, module=module, max_epochs=4)

    _, expected = fit(max_epochs=2)
    assert all(torch.equal(value, expected.state_dict()[key]) for key, value in module.state_dict().items())
    assert module.training
    assert not any(m._forward_hooks for m in module.modules())
    assert monitor.history.epochs == [0, 1]
    assert (tmp_path / "interactions" / "epoch=0001.npz").exists()
    assert monitor_warnings(recorded) == []


@pytest.mark.usefixtures("quick")
def test_so_is_a_failed_rehearsal(fit, make_module, make_monitor):
    class Later(InteractionMonitor):
        def should_measure(self, epoch):
            return epoch == 2

    module = make_module(poison=lambda _, logits: raising(logits))
    with pytest.raises(OSError, match="no network for"):
        fit(make_monitor(cls=Later, on_error="raise"), module=module)
    assert module.trainer.global_step == 0


@pytest.mark.usefixtures("quick")
def test_so_is_a_folder_that_cannot_be_written_to(fit, make_monitor, tmp_path):
    class Vandal(InteractionMonitor):
        def on_train_epoch_start(self, trainer, _):
            if trainer.current_epoch == 1:
                shutil.rmtree(self.folder)
                self.folder.write_text("no folder")

    monitor = make_monitor(cls=Vandal, on_error="raise")
    with pytest.raises(OSError, match=str(tmp_path)):
        fit(monitor, max_epochs=4)
    assert monitor.history.epochs == [0, 1, 2]
    assert math.isfinite(monitor.history[2]["l1"])


@pytest.mark.usefixtures("quick")
def test_so_is_a_logger_that_raises(fit, make_monitor):
    with pytest.raises(ConnectionError, match="no pictures today"):
        fit(make_monitor(on_error="raise"), logger=Broken())


@pytest.mark.usefixtures("quick")
def test_what_is_no_error_is_not_raised(fit, make_module, make_monitor):
    monitor = make_monitor(on_error="raise")
    with pytest.warns(UserWarning, match="1 of 4 samples"):
        fit(monitor, module=make_module(poison=after_epoch(1, one_nan)), max_epochs=3)
    assert monitor.history.column("n_dropped") == [0, 0, 1, 1]
