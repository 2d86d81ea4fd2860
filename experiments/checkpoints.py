"""Weights at every measured epoch, so that nothing needs a second training, and one checkpoint to go on from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import ModelCheckpoint

from experiments.schedule import ScheduledMonitor

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

__all__ = ["MeasuredCheckpoints", "checkpoint_path"]


def checkpoint_path(run: str | Path, epoch: int) -> Path:
    """Where a run's weights after ``epoch`` completed epochs lie.

    Example:
        >>> checkpoint_path("runs/lenet_mnist/small-seed0", 10).name
        'epoch=0010.ckpt'
    """
    return Path(run, "checkpoints", f"epoch={epoch:04d}.ckpt")


class MeasuredCheckpoints(ModelCheckpoint):
    """Keep the weights alone at every epoch that the run's monitor measures, and ``last.ckpt`` with the optimiser.

    Measured weights are ``checkpoints/epoch=0010.ckpt`` …, beside ``interactions/epoch=0010.npz`` …; 0 is the untrained
    network. They take four bytes a parameter each. ``last.ckpt`` is what ``--ckpt_path last`` resumes from.

    Args:
        every_n_epochs: how often ``last.ckpt`` is renewed.
    """

    def __init__(self, every_n_epochs: int = 1) -> None:
        # `save_last` would keep a second copy under the name that the checkpoint of this epoch has.
        super().__init__(
            filename=self.CHECKPOINT_NAME_LAST,
            every_n_epochs=every_n_epochs,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the untrained network."""
        super().on_train_start(trainer, pl_module)
        if trainer.global_step == 0:
            self._keep(trainer, epoch=0)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the network where it was measured."""
        # First these weights: once `last.ckpt` is of this epoch, a training that is cut off does not come back to it.
        self._keep(trainer, epoch=trainer.current_epoch + 1)
        super().on_train_epoch_end(trainer, pl_module)

    def _keep(self, trainer: Any, epoch: int) -> None:
        if trainer.fast_dev_run or self.dirpath is None:
            return
        monitors = [callback for callback in trainer.callbacks if isinstance(callback, ScheduledMonitor)]
        if any(monitor.should_measure(epoch) for monitor in monitors):
            trainer.save_checkpoint(checkpoint_path(Path(self.dirpath).parent, epoch), weights_only=True)
