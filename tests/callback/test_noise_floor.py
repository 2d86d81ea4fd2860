"""The noise floor in a training: measured once, logged at every measurement, and warned of where it matters."""

import math
import warnings

import pytest
import torch

import lightning_interactions.callback.measurement as measurement_module


def test_it_is_measured_once_and_kept_in_every_record(fit, make_monitor, monkeypatch):
    calls = []
    measure = measurement_module.noise_floor
    monkeypatch.setattr(measurement_module, "noise_floor", lambda *a, **o: calls.append(o) or measure(*a, **o))
    monitor = make_monitor()
    trainer, _ = fit(monitor)

    assert len(calls) == 1
    floors = monitor.history.column("noise_floor")
    assert len(floors) == 3
    assert floors[0] == floors[1] == floors[2]
    assert all(0 <= effect < 1e-5 for effect in floors[0])
    assert max(floors[0]) > 0
    logged = [trainer.callback_metrics[f"interactions/noise_floor/order_{order:02d}"] for order in (1, 2, 3)]
    torch.testing.assert_close(torch.stack(logged), torch.tensor(floors[0]))
    fit(monitor)
    assert len(calls) == 2


def test_no_warning_where_rounding_is_small(fit, make_monitor, monitor_warnings):
    with warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always")
        fit(make_monitor())

    assert monitor_warnings(recorded) == []


def test_a_floor_above_the_threshold_is_warned_of_once(fit, make_module, make_monitor, monitor_warnings):
    def rounded(_module, logits):
        # A constant of this size leaves float32 five bits for the rest.
        return (logits + 2.0**20) - 2.0**20

    with warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always")
        fit(make_monitor(), module=make_module(poison=rounded))

    (message,) = monitor_warnings(recorded)
    assert "rounding alone makes effects larger than the threshold" in message
    assert "HINT: pass `precision='float64'`" in message


def test_a_network_that_knows_no_float64_has_no_floor(fit, make_module, make_monitor, monitor_warnings):
    def float32_only(_module, logits):
        return logits @ torch.eye(3, dtype=torch.float32)

    monitor = make_monitor()
    with warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always")
        fit(monitor, module=make_module(poison=float32_only))

    (message,) = monitor_warnings(recorded)
    assert "the noise floor could not be measured: RuntimeError" in message
    assert monitor.history.column("failures") == [0, 0, 0]
    assert all(math.isnan(effect) for floor in monitor.history.column("noise_floor") for effect in floor)


@pytest.mark.parametrize("precision", ["tf32", 64])
def test_an_unknown_precision_is_refused(precision, make_monitor):
    with pytest.raises(ValueError, match="`precision` must be one of"):
        make_monitor(precision=precision)


def test_the_precision_reaches_the_network(fit, make_module, make_monitor):
    seen = set()

    def look(_module, logits):
        seen.add(logits.dtype)
        return logits

    monitor = make_monitor(precision="float64")
    fit(monitor, module=make_module(poison=look), max_epochs=1)

    assert torch.float64 in seen
    assert monitor.interactions.provenance["precision"] == "float64"
    assert monitor.history.column("noise_floor") == [[0.0] * 3] * 2
