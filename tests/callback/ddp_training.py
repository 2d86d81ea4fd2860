"""A training on two processes, with a monitor and without: a script of its own, so that nothing else is forked."""

import os
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import lightning.pytorch as pl
import torch
from torch import nn
from torch.multiprocessing import ProcessRaisedException
from torch.nn import functional
from torch.utils.data import DataLoader, SubsetRandomSampler, TensorDataset

from lightning_interactions import FeatureMapPatches, InteractionMonitor


class Module(pl.LightningModule):
    def __init__(self, fault=None):
        super().__init__()
        self.fault = fault
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Sequential(nn.MaxPool2d(4), nn.Flatten(), nn.Linear(16, 3))

    def forward(self, x):
        if self.fault is not None and self.global_rank == 1 and self.global_step > 0 and not self.training:
            raise self.fault
        return self.head(self.body(x))

    def training_step(self, batch, _):
        return functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, _):
        self.log("val_loss", functional.cross_entropy(self(batch[0]), batch[1]), sync_dist=True)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 1e-2)


class Report(pl.Callback):
    """Each process says what it has: the main process sees rank 0 alone."""

    def __init__(self, path, monitor):
        self.path, self.monitor, self.writes = path, monitor, []

    def setup(self, *_, **__):
        fsync = os.fsync
        os.fsync = lambda file: (self.writes.append(file), fsync(file))

    def on_train_end(self, trainer, pl_module):
        report = {
            "weights": pl_module.state_dict(),
            "history": list(self.monitor.history),
            "phase": self.monitor.phase_detector.state_dict(),
            "metrics": {key: value.item() for key, value in trainer.callback_metrics.items()},
            "writes": len(self.writes),
            "explained": self.monitor.interactions and len(self.monitor.interactions),
        }
        torch.save(report, f"{self.path}-{trainer.global_rank}.pt")


class Outspoken(InteractionMonitor):
    """Each process says what error it has met."""

    def on_train_start(self, trainer, pl_module):
        try:
            super().on_train_start(trainer, pl_module)
        except Exception as error:
            path = trainer.default_root_dir
            torch.save(f"{type(error).__name__}: {error}", f"{path}-{trainer.global_rank}.pt")
            torch.distributed.barrier()  # who leaves first has the other killed
            raise


def train(folder, name, *, devices=2, strategy="ddp_fork", n_samples=5, max_epochs=3, fault=None, on_error="warn"):
    torch.manual_seed(0)
    module = Module(fault)
    generator = torch.Generator().manual_seed(1)
    images, labels = torch.randn(35, 1, 8, 8, generator=generator), torch.arange(35) % 3
    train = DataLoader(TensorDataset(images[:20], labels[:20]), 4, shuffle=True)
    # An odd number, so that Lightning's sampler repeats one; and a sampler, which Lightning wraps.
    val = DataLoader(TensorDataset(images[20:], labels[20:]), 4, sampler=SubsetRandomSampler(range(2, 13)))
    variables = FeatureMapPatches("body.2", grid=4, border=1, n_variables=3)
    # In float64, so that nothing but the order of the sums can differ.
    options = {"n_samples": n_samples, "n_loss_samples": 8, "precision": "float64", "on_error": on_error}
    monitor = Outspoken(variables, **options)
    report = Report(f"{folder}/{name}", monitor)
    trainer = pl.Trainer(
        max_epochs=max_epochs,
        accelerator="cpu",
        devices=devices,
        strategy=strategy,
        callbacks=[report] if name == "without" else [monitor, report],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=f"{folder}/{name}",
        # Validation would bring the ranks' batch norms in line before the measurement.
        check_val_every_n_epoch=2,
    )
    torch.manual_seed(5)
    trainer.fit(module, train, val)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if sys.argv[2:]:  # one strategy alone: "ddp" runs this script once more, for the other process
        train(sys.argv[1], sys.argv[2], strategy=sys.argv[2], max_epochs=1)
        sys.exit()
    train(sys.argv[1], "with")
    train(sys.argv[1], "without")
    train(sys.argv[1], "single", devices=1, strategy="auto")
    train(sys.argv[1], "one sample", n_samples=1, max_epochs=1)
    train(sys.argv[1], "failing", max_epochs=1, fault=RuntimeError("out of order"))
    Path(sys.argv[1], "raising").mkdir()
    Path(sys.argv[1], "raising", "interactions").write_text("no folder: what rank 0 wants to write fails")
    with suppress(ProcessRaisedException):
        train(sys.argv[1], "raising", max_epochs=1, on_error="raise")
