"""A long run with many measurements uses no more of anything at its end than at its beginning."""

import ctypes
import gc
import logging
import os
import threading
import warnings
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from lightning_interactions import FeatureMapPatches, InteractionMonitor
from lightning_interactions.history import History

N_SAMPLES = 3

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory and handles are read from /proc")


class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU())
        self.head = nn.Sequential(nn.MaxPool2d(4), nn.Flatten(), nn.Linear(8, 3))

    def forward(self, x):
        return self.head(self.body(x))

    def training_step(self, batch, _):
        return functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, _):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-3)


class Meter(pl.Callback):
    """What the process holds, now and then: to ask takes longer than a measurement."""

    def __init__(self, every):
        self.every, self.memory, self.held = every, [], []

    def on_train_epoch_end(self, trainer, pl_module):
        if (trainer.current_epoch + 1) % self.every:
            return
        gc.collect()
        # The C library keeps what was freed; whether it gives it back is chance.
        ctypes.CDLL(None).malloc_trim(0)
        self.memory.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        self.held.append(
            {
                "threads": threading.active_count(),
                "files": len(list(Path("/proc/self/fd").iterdir())),
                "hooks": sum(hooks_of(module) for module in pl_module.modules()),
                "tensors": sum(type(thing) is torch.Tensor for thing in gc.get_objects()),
            }
        )


def hooks_of(module):
    return sum(len(value) for name, value in vars(module).items() if name.endswith("_hooks"))


def data(n, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(n, 1, 8, 8, generator=generator)
    return DataLoader(TensorDataset(images, torch.arange(n) % 3), 6)


@pytest.fixture
def measured(tmp_path):
    """Train with a measurement after every epoch: the meter, the monitor and the run's folder."""

    def run(measurements, every):
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        variables = FeatureMapPatches("body.1", grid=4, border=1, n_variables=3)
        # Each measurement is fitted to itself: with another reference, every new one has all earlier ones fitted anew.
        monitor = InteractionMonitor(
            variables, n_samples=N_SAMPLES, reference="current", delta_range=(0.02, 1.0), verbose=False
        )
        meter = Meter(every)
        trainer = pl.Trainer(
            max_epochs=measurements,  # and the untrained network
            accelerator="cpu",
            callbacks=[monitor, meter],
            logger=TensorBoardLogger(tmp_path, name="run", version=""),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
        )
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.fit(Net(), data(12, 1), data(6, 2))
        return meter, monitor, tmp_path / "run"

    return run


def size(paths):
    return sum(path.stat().st_size for path in paths)


def check(run, measurements, record_property):
    """The first fifth is warm-up: what is used for the first time is imported, opened and cached."""
    meter, monitor, folder = run
    warm = len(meter.memory) // 5
    history = folder / "interactions" / "history.json"
    assert monitor.failures == 0
    assert History.load(history).epochs == list(range(measurements + 1))
    assert len(list((folder / "interactions").glob("epoch=*.npz"))) == measurements + 1

    # Of each kind as many at the end as when all had been imported and opened; tensors belong to the history of fits.
    for kind in ("threads", "files", "hooks"):
        assert max(held[kind] for held in meter.held[warm:]) == meter.held[warm][kind], (kind, meter.held)
    after = meter.held[warm:]
    more = (after[-1]["tensors"] - after[0]["tensors"]) / ((len(after) - 1) * meter.every)
    record_property("tensors kept for each measurement", round(more, 2))
    record_property("memory after warm-up, MB", round(meter.memory[warm] / 1e6))
    record_property("memory at the end, relative to that", round(meter.memory[-1] / meter.memory[warm], 3))
    record_property("event files, kB a measurement", round(size(folder.glob("events.*")) / measurements / 1e3, 1))
    record_property("history.json, kB a measurement", round(history.stat().st_size / measurements / 1e3, 2))
    assert more < 8
    # Every measurement's scalars, figures, histograms and tab; and one record of the history, with n = 3.
    assert size(folder.glob("events.*")) < 100e3 * measurements
    assert history.stat().st_size < 4e3 * measurements
    assert size((folder / "interactions").glob("*.npz")) < 4e3 * measurements
    assert max(meter.memory[warm:]) < 1.05 * meter.memory[warm]
    assert min(meter.memory[warm:]) > 0.95 * meter.memory[warm]


def test_a_dozen_measurements(measured, record_property):
    check(measured(12, every=1), 12, record_property)


@pytest.mark.long
def test_five_hundred_measurements(measured, record_property):
    check(measured(500, every=25), 500, record_property)
