"""Callbacks that follow a value of the monitor act on the network that was measured, or are warned of."""

import warnings

import pytest
import pytorch_lightning.callbacks as standalone
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

pytestmark = pytest.mark.usefixtures("quick")

KEY = "interactions/l1"
SECOND = {"check_val_every_n_epoch": 2}
TWICE = {"val_check_interval": 0.5}


@pytest.fixture
def run(fit, make_monitor, monitor_warnings):
    """The monitor, and what it warns of; ``first`` are the callbacks before it."""

    def train(*callbacks, first=(), monitor=None, **options):
        monitor = monitor or make_monitor()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fit(*first, monitor, *callbacks, enable_checkpointing=True, **options)
        assert monitor.failures == 0
        return monitor, monitor_warnings(caught)

    return train


class Seeing(EarlyStopping):
    """Notes the values on which it decides."""

    def __init__(self, *args, **options):
        super().__init__(*args, patience=99, **options)
        self.seen = []

    def _evaluate_stopping_criteria(self, current):
        self.seen.append(current.item())
        return super()._evaluate_stopping_criteria(current)


@pytest.mark.parametrize("options", [SECOND, TWICE], ids=["every second epoch", "within the epoch"])
@pytest.mark.parametrize("kind", [Seeing, lambda *args, **rest: standalone.EarlyStopping(*args, patience=9, **rest)])
def test_a_stopping_that_acts_too_early_is_named_with_the_setting(kind, options, run):
    stopping = kind(KEY)
    monitor, (said,) = run(stopping, **options, max_epochs=4)
    assert f"{type(stopping).__name__}(monitor='{KEY}')" in said
    assert "HINT: pass it `check_on_train_epoch_end=True`" in said
    if kind is Seeing:
        values = monitor.history.column("l1")
        assert stopping.seen[-1] == pytest.approx(values[3], rel=1e-6)  # and not of the fourth epoch, which it ends

    stopping = kind(KEY, check_on_train_epoch_end=True)
    monitor, said = run(stopping, **options, max_epochs=4)
    assert said == []
    if kind is Seeing:
        assert stopping.seen == pytest.approx(monitor.history.column("l1")[1:], rel=1e-6)


@pytest.mark.parametrize("options", [SECOND, TWICE], ids=["every second epoch", "within the epoch"])
@pytest.mark.parametrize("kind", [ModelCheckpoint, standalone.ModelCheckpoint])
def test_so_is_a_checkpoint(kind, options, run, tmp_path):
    _, (said,) = run(kind(tmp_path / "early", monitor=KEY), **options)
    assert f"ModelCheckpoint(monitor='{KEY}')" in said
    assert "HINT: pass it `save_on_train_epoch_end=True`" in said

    keeping = kind(tmp_path / "late", monitor=KEY, save_top_k=-1, save_on_train_epoch_end=True)
    monitor, said = run(keeping, **options)
    assert said == []
    kept = sorted(value.item() for value in keeping.best_k_models.values())
    assert kept == pytest.approx(sorted(monitor.history.column("l1")[1:]), rel=1e-6)


def test_what_is_told_to_act_after_the_validation_is_named_too(run, tmp_path):
    stopping = EarlyStopping(KEY, check_on_train_epoch_end=False)
    keeping = ModelCheckpoint(tmp_path / "kept", monitor=KEY, save_on_train_epoch_end=False)
    assert len(run(stopping, keeping)[1]) == 2


def test_the_order_of_the_callbacks_does_not_matter(run):
    stopping = Seeing(KEY)
    monitor, said = run(first=[stopping])
    assert said == []
    assert stopping.seen == pytest.approx(monitor.history.column("l1")[1:], rel=1e-6)


@pytest.mark.parametrize("options", [{}, {"limit_val_batches": 0}, SECOND, TWICE], ids=str)
def test_nothing_is_said_of_callbacks_in_good_order(options, run, make_monitor, draw, tmp_path):
    followers = [EarlyStopping(KEY, patience=9), ModelCheckpoint(tmp_path / "kept", monitor=KEY)]
    others = [
        ModelCheckpoint(tmp_path / "last", save_last=True),
        ModelCheckpoint(tmp_path / "loss", monitor="val_loss"),
    ]
    if options in (SECOND, TWICE):
        followers = []
    if "limit_val_batches" in options:
        others.pop()
        # Without validations this one never acts, whatever it follows.
        followers[0] = EarlyStopping(KEY, patience=9, check_on_train_epoch_end=True)
    monitor = make_monitor(samples=draw(4, 4))
    assert run(*followers, *others, monitor=monitor, **options)[1] == []


def test_only_the_monitor_whose_value_it_is_says_so(run, make_monitor):
    other = make_monitor(name="deep")
    _, (said,) = run(other, EarlyStopping("interactions/deep/l1", patience=9), **SECOND)
    assert "interactions/deep/l1" in said
