"""Whatever a user's filters make of warnings, a training is measured and goes on as without them."""

import math
import warnings

import pytest

from lightning_interactions.callback.warned import warnings_shown

pytestmark = pytest.mark.usefixtures("quick")

# What a training without a monitor warns of here, and would not survive itself.
LIGHTNINGS_OWN = (".*LeafSpec", ".*does not have many workers", ".*is smaller than the logging interval")


def warning_and_nan_at_epoch_1(module, logits):
    warnings.warn("the network's own", RuntimeWarning, stacklevel=1)
    return logits * math.nan if module.trainer.current_epoch == 0 and module.trainer.global_step else logits


@pytest.fixture
def filtered(fit, make_module):
    """A training with a network that warns, too few samples and a measurement that fails; and its warnings."""

    def run(action, *callbacks):
        with warnings.catch_warnings(record=True) as caught:
            warnings.resetwarnings()
            warnings.simplefilter(action)
            for message in LIGHTNINGS_OWN:
                warnings.filterwarnings("ignore", message)
            before = list(warnings.filters)
            watched = fit(*callbacks, module=make_module(poison=warning_and_nan_at_epoch_1))
            assert warnings.filters == before
        return watched, [str(warning.message) for warning in caught]

    return run


@pytest.mark.parametrize("action", ["error", "ignore"])
def test_a_filter_changes_no_training_and_no_measurement(action, filtered, make_monitor, assert_same_training):
    monitor, expected = make_monitor(n_samples=50), make_monitor(n_samples=50)
    watched, said = filtered(action, monitor)
    _, usual = filtered("default", expected)
    assert monitor.failures == expected.failures == 1
    assert monitor.history.epochs == [0, 1, 2]
    assert str(monitor.history.column("l1")) == str(expected.history.column("l1"))
    assert_same_training(watched, filtered("default")[0])
    ours = [text for text in usual if text.startswith("InteractionMonitor")]
    assert any("n_samples=50 but found 12" in text for text in ours)
    assert any("the measurement at epoch 1 failed" in text for text in ours)
    assert [text for text in said if text.startswith("InteractionMonitor")] == (ours if action == "error" else [])


def test_an_error_is_raised_all_the_same_where_it_is_wanted(filtered, make_monitor):
    with pytest.raises(FloatingPointError):
        filtered("error", make_monitor(on_error="raise"))


def test_filters_keep_their_order_and_their_conditions():
    with warnings.catch_warnings(record=True) as shown:
        warnings.resetwarnings()
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", "torn", UserWarning)
        warnings.filterwarnings("ignore", "torn and mended")
        warnings.filters.append(("error", None, DeprecationWarning, "__main__", 0))
        before = list(warnings.filters)
        with warnings_shown():
            for text in ("whole", "torn", "torn and mended"):
                warnings.warn(text, UserWarning, stacklevel=1)
            warnings.warn("torn", RuntimeWarning, stacklevel=1)
        assert [str(warning.message) for warning in shown] == ["torn"]
        assert warnings.filters == before
        with pytest.raises(UserWarning, match="torn"):
            warnings.warn("torn", UserWarning, stacklevel=1)


def test_without_such_a_filter_nothing_is_touched():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        filters = warnings.filters
        with warnings_shown():
            assert warnings.filters is filters
