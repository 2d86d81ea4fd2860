"""Random states and variables of the environment that a run sets, put back."""

import math

import pytest
import torch


@pytest.fixture(autouse=True)
def _nothing_left_behind(monkeypatch):
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.setenv(name, "0")  # so that it is put back even when the run sets it
        monkeypatch.delenv(name)
    with torch.random.fork_rng():
        yield


@pytest.fixture
def make_record():
    """One measurement's record, as far as the summary reads it."""

    def make(epoch, held_out_loss=1.0, onset=math.nan, **more):
        return {
            "epoch": epoch,
            "n_variables": 3,
            "train_loss": 0.5,
            "held_out_loss": held_out_loss,
            "loss_gap": held_out_loss - 0.5,
            "phase": "normal" if math.isnan(onset) else "overfitting",
            "onset_epoch": onset,
            "mean_order": 1.75,
            "positive": [2.0, 1.0, 0.0],
            "negative": [2.0, 0.0, 0.5],
            "normalized_positive": [0.5, 0.25, 0.0],
            "normalized_negative": [0.5, 0.0, 0.125],
        } | more

    return make
