"""A run to write pages about."""

import pytest
import torch

from lightning_interactions import sparsify
from lightning_interactions.history import History


@pytest.fixture
def write_run():
    """Write the folder of a run with two measurements and return the log folder."""

    def write(log_dir):
        records = []
        for epoch in (0, 5):
            generator = torch.Generator().manual_seed(epoch)
            values = torch.randn(2, 8, dtype=torch.float64, generator=generator)
            sparsify(values).save(log_dir / "interactions" / f"epoch={epoch:04d}.npz")
            records.append(
                {
                    "epoch": epoch,
                    "n_variables": 3,
                    "positive": [1.0, 0.5, 0.2],
                    "negative": [0.5, 0.5, 0.1],
                    "mean_order": 1.6,
                    "train_loss": 1.0,
                    "held_out_loss": 1.1,
                    "loss_gap": 0.1,
                    "phase": "normal",
                    "overfitting": 0,
                }
            )
        History(records).save(log_dir / "interactions" / "history.json")
        return log_dir

    return write
