"""Runs as a monitor leaves them, with names that try to be markup."""

import math

import pytest
import torch

from lightning_interactions.history import History
from lightning_interactions.interactions import Interactions

HOSTILE = "</script><img src=x onerror=alert(1)>&\"'<!--"
N = 4
EPOCHS = (0, 5, 10, 15)
ONSET = 10


def draw_interactions(seed=0, samples=3, word=HOSTILE):
    """A few effects of each sample, and an exact explanation of them."""
    generator = torch.Generator().manual_seed(seed)

    def effects():
        drawn = torch.randn(samples, 2**N, dtype=torch.float64, generator=generator)
        drawn *= torch.rand(samples, 2**N, generator=generator) < 0.4
        drawn[:, 0] = 0
        return drawn

    and_, or_ = effects(), effects()
    zero = torch.zeros(samples, dtype=torch.float64)
    found = Interactions(
        values=torch.zeros_like(and_),
        and_=and_,
        or_=or_,
        l1=(and_.abs() + or_.abs()).sum(dim=1),
        gap=zero + 1e-9,
        noise_bound=zero + 0.1,
        threshold=0.01,
        provenance={
            "variables": {"kind": f"Words {word}", "n_variables": N},
            "draws": [{"names": [f"{word} {i}" for i in range(N)], "positions": [[i] for i in range(N)]}] * samples,
            "samples": [2 * row for row in range(samples)],
            "skipped": [],
            "solver": "interior_point",
        },
    )
    object.__setattr__(found, "values", found.reconstruct())
    return found


def draw_record(epoch, *, fitted=True):
    over = epoch >= ONSET
    decay, spindle = [4.0 / m for m in range(1, N + 1)], [0.1 * (1 + epoch)] * N
    record = {
        "epoch": epoch,
        "n_variables": N,
        "positive": [a + b + 0.123456789 for a, b in zip(decay, spindle, strict=True)],
        "negative": [a / 2 + b for a, b in zip(decay, spindle, strict=True)],
        "mean_order": 1.5 + 0.01 * epoch,
        "train_loss": math.exp(-epoch / 10),
        "held_out_loss": math.exp(-epoch / 10) + 0.02 * epoch,
        "loss_gap": 0.02 * epoch,
        "phase": "overfitting" if over else "normal",
        "phase_message": f"overfitting since epoch {ONSET} {HOSTILE}" if over else "normal",
        "overfitting": int(over),
        "onset_epoch": ONSET if over else math.nan,
    }
    if fitted:
        share = 0.1 + 0.02 * epoch
        record |= {
            "decay_positive": decay,
            "decay_negative": [a / 2 for a in decay],
            "spindle": spindle,
            "residual_positive": [0.123456789] * N,
            "residual_negative": [0.0] * N,
            "spindle_share": share,
            "spindle_share_low": share - 0.05,
            "spindle_share_high": share + 0.05,
            "identified": 1,
            "r_squared": 0.98,
            "reference_epoch": 5,
        }
    return record


@pytest.fixture(scope="session")
def hostile():
    return HOSTILE


@pytest.fixture(scope="session")
def interactions_of():
    return draw_interactions


@pytest.fixture(scope="session")
def write_run():
    """Write the folder of a run, or of one monitor of it, and return the log folder."""

    def write(log_dir, *, monitor="", epochs=EPOCHS, fitted=True, files=True, word=HOSTILE):
        folder = log_dir / "interactions" / monitor
        History(draw_record(epoch, fitted=fitted) for epoch in epochs).save(folder / "history.json")
        for epoch in epochs if files else ():
            draw_interactions(epoch, word=word).save(folder / f"epoch={epoch:04d}.npz")
        return log_dir

    return write
