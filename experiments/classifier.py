"""The training loop of every experiment: cross-entropy and any optimiser."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import OptimizerCallable  # noqa: TC002  # the command line reads it at run time
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.functional.classification import multiclass_accuracy

from lightning_interactions.masking.network import call_network

__all__ = ["Classifier"]


class Classifier(LightningModule):
    """Train a network to classify.

    Args:
        network: maps a batch of inputs to logits ``(B, classes)``.
        optimizer: makes the optimiser from the parameters.
        mean: what is subtracted from images before the network sees them, and
        std: what they are then divided by. Data modules give pixels from 0 to 1, and so an attack on the inputs is in
            the pixels' unit.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerCallable = torch.optim.SGD,
        mean: float = 0.0,
        std: float = 1.0,
    ) -> None:
        super().__init__()
        self.network = network
        self._make_optimizer = optimizer
        self._mean = mean
        self._std = std

    def forward(self, images: Tensor | None = None, **tokens: Tensor) -> Tensor:
        """Logits ``(B, classes)`` of images, or of what a tokenizer returns."""
        return self.network(**tokens) if images is None else self.network((images - self._mean) / self._std)

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
        logits = call_network(self, inputs)
        loss = functional.cross_entropy(logits, targets)
        accuracy = multiclass_accuracy(logits, targets, num_classes=logits.shape[1], average="micro")
        self.log_dict(
            {f"{stage}/loss": loss, f"{stage}/accuracy": accuracy}, on_step=False, on_epoch=True, prog_bar=True
        )
        return loss
