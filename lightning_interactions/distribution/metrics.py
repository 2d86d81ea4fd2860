"""Strength by order as a metric that is collected over batches and processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_interactions.distribution.strength import sample_order_strength
from lightning_interactions.interactions import check_same_n_variables
from lightning_interactions.lattice import check_n_variables

if TYPE_CHECKING:
    from lightning_interactions.interactions import Interactions

__all__ = ["OrderStrength"]


class OrderStrength(Metric):
    r""":func:`~.strength.order_strength` of all samples seen, on whatever batches and processes (Eq. 4).

    Args:
        n_variables: number ``n`` of input variables.
        threshold: :math:`\tau`; ``None`` takes that of the interactions of each update. One number for all makes the
            result independent of how the samples are spread over batches and processes.
        **kwargs: of :class:`torchmetrics.Metric`.

    Example:
        >>> from lightning_interactions import sparsify
        >>> metric = OrderStrength(n_variables=2)
        >>> metric.update(sparsify(torch.tensor([[0.0, 1.0, 2.0, 5.0]]), solver="none"))
        >>> positive, negative = metric.compute()
        >>> [round(a, 6) for a in positive.tolist()]
        [5.0, 1.0]
    """

    higher_is_better = None
    is_differentiable = False
    full_state_update = False

    positive: Tensor
    negative: Tensor
    count: Tensor

    def __init__(self, n_variables: int, *, threshold: float | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n_variables = check_n_variables(n_variables)
        self.threshold = threshold
        for side in ("positive", "negative"):
            self.add_state(side, torch.zeros(self.n_variables, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, interactions: Interactions) -> None:
        """Take in the interactions of some samples.

        Raises:
            ValueError: for another ``n``.
        """
        check_same_n_variables(self.n_variables, interactions=interactions)
        positive, negative = sample_order_strength(interactions, self.threshold)
        self.positive += positive.sum(dim=0).to(self.positive)
        self.negative += negative.sum(dim=0).to(self.negative)
        self.count += len(interactions)

    def compute(self) -> tuple[Tensor, Tensor]:
        """``positive, negative``: float64 ``(n,)`` each; NaN without samples."""
        return self.positive / self.count, self.negative / self.count
