"""Probabilities where logits or classes are expected: told from the numbers, for a tensor has no other sign of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch.nn import functional

from lightning_interactions.masking.devices import in_float64
from lightning_interactions.masking.outputs import OUTPUTS, Output, resolve_output

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

__all__ = ["ADVICE", "Suspicion", "are_distributions", "targets_for"]

# Rounding in bfloat16 moves a row's sum by less, and logits are not as near to 1 on sample after sample.
_SUM_TOLERANCE = 0.01

ADVICE = (
    "the network seems to return probabilities, and they are read as logits: what is measured is then not what it has"
    " learned. HINT: pass `forward=lambda model, inputs: model(inputs).log()`, for a network with one output"
    " `forward=lambda model, inputs: torch.logit(model(inputs))`."
)


class Suspicion:
    """Looks at the logits on their way to a loss, and suspects them to be probabilities.

    Several outputs are, where each row is a distribution. A single output is, where all lie from 0 to 1 and fit the
    labels better as probabilities than as logits: those of a network that has learned little may lie there, too.

    Args:
        loss: mean loss of ``(logits, targets)``.

    Example:
        >>> import torch
        >>> suspicion = Suspicion(lambda logits, targets: logits.mean())
        >>> suspicion(torch.randn(4, 3).softmax(dim=1), torch.zeros(4)).ndim, suspicion.raised
        (0, True)
        >>> suspicion(torch.randn(4, 3), torch.zeros(4)).ndim, suspicion.raised
        (0, False)
    """

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._loss = loss
        self._evidence = 0.0

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss, whose batches are taken together."""
        self._evidence += _evidence(logits, targets)
        return self._loss(logits, targets)

    @property
    def raised(self) -> bool:
        """Whether everything seen so far looks like probabilities."""
        return self._evidence > 0


def targets_for(output: str | Output, targets: Tensor) -> Tensor:
    """Targets as an output takes them: a named one the likeliest class of each row where these are probabilities.

    So labels are read that were mixed or smoothed for the loss.

    Args:
        output: of the network; one of the user's own gets the targets as they are.
        targets: one row a sample.

    Example:
        >>> import torch
        >>> mixed = torch.tensor([[0.3, 0.7], [0.9, 0.1]])
        >>> targets_for("log_odds", mixed).tolist(), targets_for(lambda logits, targets: logits, mixed) is mixed
        ([1, 0], True)
    """
    return (
        targets.argmax(dim=1) if resolve_output(output) in OUTPUTS.values() and are_distributions(targets) else targets
    )


def are_distributions(rows: Tensor) -> bool:
    """Whether each row holds the probabilities of two classes or more.

    Example:
        >>> import torch
        >>> are_distributions(torch.tensor([[0.2, 0.8], [1.0, 0.0]])), are_distributions(torch.tensor([[0.2, 0.9]]))
        (True, False)
    """
    if rows.ndim != 2 or rows.shape[1] < 2 or not rows.is_floating_point():  # noqa: PLR2004
        return False
    return _from_0_to_1(rows) and bool(((in_float64(rows).sum(dim=1) - 1).abs() < _SUM_TOLERANCE).all())


def _evidence(logits: Tensor, targets: Tensor) -> float:
    """How much better a batch can be understood as probabilities, in nats; minus infinity where it cannot be."""
    if logits.ndim == 2 and logits.shape[1] > 1:  # noqa: PLR2004
        return float(len(logits)) if are_distributions(logits) else -math.inf
    if logits.ndim > 2 or targets.numel() != logits.numel() or not _from_0_to_1(logits) or not _from_0_to_1(targets):  # noqa: PLR2004
        return -math.inf
    output, labels = in_float64(logits.flatten()), in_float64(targets.flatten())
    as_logits = functional.binary_cross_entropy_with_logits(output, labels, reduction="sum")
    return (as_logits - functional.binary_cross_entropy(output, labels, reduction="sum")).item()


def _from_0_to_1(numbers: Tensor) -> bool:
    return bool(((numbers >= 0) & (numbers <= 1)).all())
