"""The training loop of every experiment: cross-entropy and any optimiser."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import OptimizerCallable  # noqa: TC002  # the command line reads it at run time
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.functional.classification import multiclass_accuracy

__all__ = ["Classifier"]


class Classifier(LightningModule):
    """Train a network to classify.

    Args:
        network: maps a batch of inputs to logits ``(B, classes)``.
        optimizer: makes the optimiser from the parameters.
    """

    def __init__(self, network: nn.Module, optimizer: OptimizerCallable = torch.optim.SGD) -> None:
        super().__init__()
        self.network = network
        self._make_optimizer = optimizer

    def forward(self, inputs: Any) -> Tensor:
        """Logits ``(B, classes)``."""
        return self.network(inputs)

    def training_step(self, batch: tuple[Any, Tensor], _batch_idx: int) -> Tensor:
        """Cross-entropy of a training batch."""
        return self._loss(batch, "train")

    def validation_step(self, batch: tuple[Any, Tensor], _batch_idx: int) -> None:
        """Cross-entropy and accuracy on a held-out batch."""
        self._loss(batch, "val")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimiser that the configuration asks for."""
        return self._make_optimizer(self.parameters())

    def _loss(self, batch: tuple[Any, Tensor], stage: str) -> Tensor:
        inputs, targets = batch
        logits = self(inputs)
        loss = functional.cross_entropy(logits, targets)
        accuracy = multiclass_accuracy(logits, targets, num_classes=logits.shape[1], average="micro")
        self.log_dict(
            {f"{stage}/loss": loss, f"{stage}/accuracy": accuracy}, on_step=False, on_epoch=True, prog_bar=True
        )
        return loss
