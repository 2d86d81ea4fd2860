"""The mean loss of a network on stored samples, in evaluation mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from lightning_interactions.callback.probabilities import are_distributions
from lightning_interactions.masking.batches import batch_size, take_rows, to_device
from lightning_interactions.masking.devices import device_of
from lightning_interactions.masking.network import Forward, call_network
from lightning_interactions.masking.observe import observing
from lightning_interactions.masking.outputs import logits_of
from lightning_interactions.masking.precision import Precision, inputs_at, weights_at
from lightning_interactions.masking.wrapped import unwrapped

if TYPE_CHECKING:
    from torch import nn

    from lightning_interactions.callback.samples import Samples

__all__ = ["MeanLoss", "classification_loss", "mean_loss"]

MeanLoss = Callable[[Tensor, Tensor], Tensor]
"""``(logits, targets) -> scalar``: the mean over the samples. The logits come in float32, or in float64 if that is what
the network computes in."""


def classification_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy in nats; binary cross-entropy for a head with one logit.

    Args:
        logits: ``(B, K)``, ``(B, 1)`` or ``(B,)``.
        targets: true classes ``(B,)``, or probabilities of all classes ``(B, K)``, as mixed or smoothed labels are.

    Returns:
        the mean over the samples, a scalar.

    Raises:
        ValueError: if a target is no class of the head, or there is not one for each sample.

    Example:
        >>> import torch
        >>> classification_loss(torch.zeros(2, 4), torch.tensor([0, 3])).item()  # log 4
        1.3862943649291992
    """
    if targets.shape == logits.shape and are_distributions(targets):
        return functional.cross_entropy(logits, targets.to(logits.dtype))
    if targets.numel() != len(logits):
        msg = (
            f"`targets` must hold one class for each of the {len(logits)} samples, or the probabilities of all classes,"
            f" got shape {tuple(targets.shape)}."
            f" HINT: pass `loss=` a callable (logits, targets) -> mean loss for other targets."
        )
        raise ValueError(msg)
    is_binary = logits.ndim == 1 or logits.shape[1] == 1
    largest = 1 if is_binary else logits.shape[1] - 1
    # torch refuses some of these late: with an IndexError on the CPU, by a lost device on the GPU.
    if targets.numel() and not (targets.min() >= 0 and targets.max() <= largest):
        msg = (
            f"`targets` must be class indices 0 … {largest}, got values from {targets.min()} to {targets.max()}."
            f" HINT: pass `loss=` a callable (logits, targets) -> mean loss for other targets."
        )
        raise ValueError(msg)
    if is_binary:
        return functional.binary_cross_entropy_with_logits(logits.flatten(), targets.flatten().to(logits.dtype))
    return functional.cross_entropy(logits, targets.flatten().long())


def mean_loss(
    model: nn.Module,
    batches: list[Samples],
    loss: MeanLoss = classification_loss,
    forward: Forward = call_network,
    precision: Precision | None = None,
) -> float:
    """The mean loss over stored samples, in evaluation mode; the network is left as it was found.

    Args:
        model: the network.
        batches: the samples, batch by batch.
        loss: mean loss of a batch.
        forward: how to call the network.
        precision: of the forward passes, see :data:`~.precision.Precision`; ``None`` for that in which weights and
            inputs are kept. The loss itself is computed in float32 or more, and averaged in float64.

    Returns:
        the loss in the unit of ``loss``; NaN without samples.

    Raises:
        ValueError: if ``forward`` returns no logits, or ``loss`` refuses the targets.

    Example:
        >>> import torch
        >>> from lightning_interactions.callback.samples import Samples
        >>> network = torch.nn.Linear(2, 4)
        >>> _ = torch.nn.init.zeros_(network.weight), torch.nn.init.zeros_(network.bias)
        >>> batches = [Samples(torch.rand(size, 2), torch.zeros(size)) for size in (3, 1)]
        >>> round(mean_loss(network, batches), 4)  # log 4
        1.3863
    """
    model = unwrapped(model)
    device = device_of(model)
    total, count = 0.0, 0
    with observing(model), weights_at(model, precision):
        for batch in batches:
            size = batch_size(batch.inputs)
            inputs = take_rows(batch.inputs, slice(size))  # a copy: a network may work on its inputs in place
            logits = logits_of(forward(model, inputs_at(to_device(inputs, device), precision)))
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            total += loss(logits, to_device(batch.targets, device)).item() * size
            count += size
    return total / count if count else float("nan")
