"""Decay and spindle of every measured epoch, live and from the run's files."""

import math
import warnings

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from lightning_interactions import Interactions, order_strength, sparsify
from lightning_interactions.history import History
from lightning_interactions.refit import refit

FIT = ("spindle_share", "spindle_share_low", "spindle_share_high", "alpha", "beta", "gamma", "delta", "reference_epoch")


def same_records(one, other, keys=FIT):
    for record, expected in zip(one, other, strict=True):
        for key in keys:
            assert record[key] == pytest.approx(expected[key], rel=1e-12, nan_ok=True), (record["epoch"], key)


@pytest.fixture
def trained(fit, make_monitor, tmp_path):
    def run(**options):
        monitor = make_monitor(n_samples=6, **options)
        trainer, module = fit(monitor, max_epochs=3)
        return monitor, trainer, module, tmp_path / "interactions"

    return run


def test_every_epoch_is_split_and_the_parts_add_up(trained):
    monitor, trainer, _, folder = trained()
    losses = dict(zip(monitor.history.epochs, monitor.history.column("held_out_loss"), strict=True))
    best = min((epoch for epoch in losses if epoch > 0), key=losses.get)
    assert set(monitor.history.column("reference_epoch")) == {best}
    for record in History.load(folder / "history.json"):
        strength = order_strength(Interactions.load(folder / f"epoch={record['epoch']:04d}.npz"))
        for side, total in zip(("positive", "negative"), strength, strict=True):
            parts = [torch.tensor(record[key]) for key in (f"decay_{side}", "spindle", f"residual_{side}")]
            torch.testing.assert_close(sum(parts), total, check_dtype=False, rtol=1e-5, atol=1e-6)
        assert record["spindle_share_low"] <= record["spindle_share"] <= record["spindle_share_high"]
    last = monitor.history[3]
    assert trainer.callback_metrics["interactions/spindle_share"] == pytest.approx(last["spindle_share"], abs=1e-6)
    assert trainer.callback_metrics["interactions/spindle/order_02"] == pytest.approx(last["spindle"][1], abs=1e-6)


def test_from_the_files_comes_what_was_measured_live(trained):
    monitor, _, _, folder = trained()
    same_records(refit(folder), monitor.history)
    same_records(refit(folder.parent), monitor.history)


def test_the_last_epoch_as_reference_is_fitted_at_the_end(trained):
    monitor, trainer, _, folder = trained(reference="final")
    assert set(monitor.history.column("reference_epoch")) == {3}
    assert math.isnan(trainer.callback_metrics["interactions/spindle_share"])  # not known while training
    same_records(History.load(folder / "history.json"), monitor.history)
    same_records(refit(folder, "final"), monitor.history)


def test_saved_interactions_as_reference(trained, tmp_path):
    *_, folder = trained()
    path = (folder / "epoch=0002.npz").rename(tmp_path / "other.npz")
    monitor, *_, folder = trained(reference=path)
    assert all(map(math.isnan, monitor.history.column("reference_epoch")))
    same_records(refit(folder, path), monitor.history)
    same_records(refit(folder, Interactions.load(path)), monitor.history)


def test_a_checkpoint_as_reference(trained, tmp_path, assert_same_training):
    plain, trainer, module, folder = trained()
    path = tmp_path / "three.ckpt"
    trainer.save_checkpoint(path)
    monitor, *again = trained(reference=path)
    assert_same_training((trainer, module), again[:2])
    # The network at that checkpoint is the one of epoch 3.
    same_records(monitor.history, refit(folder, Interactions.load(folder / "epoch=0003.npz")))
    assert monitor.history[3]["spindle_share"] == pytest.approx(0.0, abs=1e-3)
    assert plain.history[3]["mean_order"] == monitor.history[3]["mean_order"]


def without_fit(record):
    return math.isnan(record["spindle_share"]) and all(map(math.isnan, record["decay_positive"]))


def test_a_damaged_file_is_named_and_its_epoch_has_no_fit(trained):
    monitor, *_, folder = trained()
    (folder / "epoch=0000.npz").write_bytes(b"nothing")
    with pytest.warns(UserWarning, match=r"epoch=0000.npz.*Epoch 0 has no fit"):
        history = refit(folder)
    assert history.epochs == monitor.history.epochs
    assert without_fit(history[0])
    same_records(list(history)[1:], list(monitor.history)[1:])


def test_epochs_before_a_resume_are_named_and_keep_no_fit_to_another_reference(trained):
    """A resumed training opens a new folder with the whole history but with its own files alone."""
    monitor, *_, folder = trained()
    for epoch in (0, 1):
        (folder / f"epoch={epoch:04d}.npz").unlink()
    with pytest.warns(UserWarning, match=r"holds no interactions of the epochs \[0, 1\].*HINT") as caught:
        history = refit(folder, "final")
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert [without_fit(record) for record in history] == [True, True, False, False]
    assert history.column("reference_epoch")[2:] == [3, 3]
    assert len(history[0]["decay_positive"]) == 3
    assert history.column("l1") == monitor.history.column("l1")


def test_a_measurement_that_failed_has_no_file_and_is_not_warned_of(trained):
    *_, folder = trained()
    history = History.load(folder / "history.json")
    history.update(1, {"n_samples": 0})
    history.save(folder / "history.json")
    (folder / "epoch=0001.npz").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert without_fit(refit(folder)[1])


class Prescribed(Callback):
    """Log these shares and held-out losses, one of each after every epoch, under the monitor's keys."""

    def __init__(self, shares, losses):
        super().__init__()
        self.logged = list(zip(shares, losses, strict=True))

    def on_train_epoch_end(self, trainer, pl_module):
        share, loss = self.logged[trainer.current_epoch]
        pl_module.log_dict({"interactions/spindle_share": share, "interactions/held_out_loss": loss})


@pytest.mark.parametrize(
    ("shares", "losses", "epochs", "best"),
    [
        # Every better epoch becomes the reference, where the share is 0; at first there is none.
        ([math.nan, 0.0, 0.0, 0.0, 0.0, 0.0], [2.0, 1.5, 1.2, 1.0, 0.9, 0.8], 6, 0.8),
        ([math.nan, 0.0, 0.0, 0.2, 0.4, 0.5], [2.0, 1.5, 1.0, 1.1, 1.3, 1.4], 5, 1.0),
    ],
    ids=["not while the held-out loss falls", "once the share exceeds the threshold"],
)
def test_stopping_and_keeping_by_the_spindle(fit, tmp_path, shares, losses, epochs, best):
    stopping = EarlyStopping(
        "interactions/spindle_share", mode="min", divergence_threshold=0.3, patience=10**6, check_finite=False
    )
    keeping = ModelCheckpoint(tmp_path / "best", monitor="interactions/held_out_loss", mode="min")
    trainer, _ = fit(Prescribed(shares, losses), stopping, keeping, max_epochs=len(shares), enable_checkpointing=True)

    assert trainer.current_epoch == epochs
    assert keeping.best_model_score == pytest.approx(best)


def test_stopping_and_keeping_take_the_monitors_own_keys(fit, make_monitor, tmp_path):
    stopping = EarlyStopping(
        "interactions/spindle_share", mode="min", divergence_threshold=0.3, patience=10**6, check_finite=False
    )
    keeping = ModelCheckpoint(tmp_path / "best", monitor="interactions/held_out_loss", mode="min")
    fit(make_monitor(n_samples=6), stopping, keeping, max_epochs=4, enable_checkpointing=True)
    assert keeping.best_model_path
    assert math.isfinite(keeping.best_model_score)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"reference": "best"}, ValueError, r"`reference` must be one of 'onset', 'final', 'current'.*HINT"),
        ({"reference": "current"}, ValueError, r"needs `delta_range=\(low, high\)`.*HINT"),
        ({"reference": "missing.ckpt"}, FileNotFoundError, r"no file 'missing.ckpt'.*HINT"),
    ],
)
def test_a_wrong_reference_is_refused_at_once(make_monitor, options, error, message):
    with pytest.raises(error, match=message):
        make_monitor(**options)


def test_a_reference_of_another_size_is_refused_before_training(fit, make_monitor, trained):
    *_, folder = trained()
    four = make_monitor(variables=type(make_monitor().variables)("features.4", grid=4, border=1, n_variables=4))
    four.reference = folder / "epoch=0003.npz"
    four._fits = four._no_fits()
    with pytest.raises(ValueError, match=r"`reference` has 3 input variables, `variables` has 4.*HINT"):
        fit(four)
    with pytest.raises(ValueError, match=r"`reference` has 4 input variables, the run has 3"):
        refit(folder, sparsify(torch.rand(2, 16)))


def test_a_foreign_checkpoint_is_refused_before_training(fit, make_monitor, tmp_path):
    torch.save({"state_dict": {"weight": torch.zeros(1)}}, tmp_path / "foreign.ckpt")
    with pytest.raises(ValueError, match=r"`reference`: '.*foreign.ckpt' is no checkpoint of this ConvModule"):
        fit(make_monitor(reference=tmp_path / "foreign.ckpt"))


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`run`: neither .* holds a 'history.json'.*HINT"):
        refit(tmp_path)
