r"""Does the theory apply to this network? The three conditions under which interactions are sparse (Appendix B).

They speak of the average output of a network that sees ``k`` of the ``n`` input variables,

.. math:: \bar u^{(k)} = E_x E_{|S| = k} [v(x_S) - v(x_\varnothing)], \qquad \bar u^{(0)} = 0

and of the largest order that it has learned. All three come from the outputs and effects that are there anyway.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_interactions.distribution.strength import salient
from lightning_interactions.lattice import and_interactions, or_interactions, subset_order, sum_by_order

if TYPE_CHECKING:
    from lightning_interactions.interactions import Interactions

__all__ = ["Conditions", "conditions", "mean_outputs"]

_ROUNDING = 1e-9
"""Mean outputs up to this share of the largest output are 0: alternating rounding errors are neither rise nor fall."""


@dataclass(frozen=True, eq=False)
class Conditions:
    r"""The three conditions: a number and a verdict for each.

    Attributes:
        largest_order: condition 1: the largest order of a salient interaction that any sample needs; 0 where there is
            none.
        no_extreme_order: it is below the largest order allowed.
        largest_fall: condition 2: :math:`\max_{k' < k} \bar u^{(k')} - \bar u^{(k)}`, at least 0, in the unit of the
            outputs: how far seeing more variables lowers the mean output.
        is_monotone: it is 0.
        power: condition 3: the smallest :math:`p \ge 0` with :math:`\bar u^{(k')} \ge (k'/k)^p \, \bar u^{(k)}` for all
            :math:`1 \le k' \le k`; infinite where there is none. The larger, the faster the output falls when variables
            are masked.
        is_bounded: there is one.
        mean_outputs: :math:`\bar u^{(0)} … \bar u^{(n)}`, float64 ``(n + 1,)``.
    """

    largest_order: int
    no_extreme_order: bool
    largest_fall: float
    is_monotone: bool
    power: float
    is_bounded: bool
    mean_outputs: Tensor

    @property
    def all_hold(self) -> bool:
        """Whether the theory's three assumptions are met."""
        return self.no_extreme_order and self.is_monotone and self.is_bounded

    def as_record(self) -> dict[str, float]:
        """For a log: ``condition_1 … 3``, the numbers, and ``condition_1_holds …``, 0 or 1.

        Where no power exists, ``condition_3`` is NaN, which curves leave out.
        """
        return {
            "condition_1": float(self.largest_order),
            "condition_1_holds": float(self.no_extreme_order),
            "condition_2": self.largest_fall,
            "condition_2_holds": float(self.is_monotone),
            "condition_3": self.power if self.is_bounded else math.nan,
            "condition_3_holds": float(self.is_bounded),
        }


def conditions(
    interactions: Interactions, *, threshold: float | None = None, max_order: int | None = None
) -> Conditions:
    r"""Test the three conditions for sparse interactions (Appendix B).

    1. No interaction has an order above ``max_order``: :math:`|I_S| \le \tau` for all :math:`|S| > M`. The outputs of
       a sample have several explanations, and the sparsest is often not unique: :math:`x_1 + x_2` is an AND and an OR
       of order 2 as well. So of its sparse explanation, the one by AND interactions alone and the one by OR
       interactions alone, which also are exact, the one with the smallest largest order counts.
    2. The mean output does not fall when more variables are seen: :math:`\bar u^{(k')} \le \bar u^{(k)}` for
       :math:`k' \le k`.
    3. It does not collapse when fewer are seen: :math:`\bar u^{(k')} \ge (k'/k)^p \, \bar u^{(k)}` for some :math:`p`.

    Where the mean output is negative, condition 3 bounds :math:`p` from above as well, and there may be none.

    Args:
        interactions: of one set of samples.
        threshold: :math:`\tau`; ``None`` takes ``interactions.threshold``.
        max_order: :math:`M`; ``None`` takes ``n - 1``: only an interaction of all variables is too large then.

    Returns:
        a number and a verdict for each condition.

    Raises:
        ValueError: without samples, for outputs that are not finite, or a ``max_order`` outside 0 … ``n``.

    Example:
        >>> from lightning_interactions import sparsify
        >>> found = conditions(sparsify(torch.tensor([[0.0, 1.0, 2.0, 3.0]])))
        >>> found.largest_order, found.is_monotone, round(found.power, 6), found.all_hold
        (1, True, 1.0, True)
    """
    n_variables = interactions.n_variables
    largest = n_variables - 1 if max_order is None else max_order
    if not 0 <= largest <= n_variables:
        msg = f"`max_order` must lie in 0 … {n_variables}, the number of input variables, got {max_order!r}."
        raise ValueError(msg)
    means = mean_outputs(interactions.values)
    order = _largest_order(interactions, threshold)
    fall = (means.cummax(dim=0).values - means).max().item()
    if fall <= _ROUNDING * interactions.values.abs().max().item():
        fall = 0.0
    power = _smallest_power(means[1:].tolist())
    return Conditions(
        largest_order=order,
        no_extreme_order=order <= largest,
        largest_fall=fall,
        is_monotone=fall == 0,
        power=power,
        is_bounded=math.isfinite(power),
        mean_outputs=means,
    )


def mean_outputs(values: Tensor) -> Tensor:
    r"""The mean output :math:`\bar u^{(k)}` of samples with ``k`` variables present, relative to none.

    Args:
        values: network outputs ``(samples, 2**n)``.

    Returns:
        float64 ``(n + 1,)``, :math:`k = 0 … n`. What is within rounding of 0 is 0.

    Raises:
        ValueError: without samples, or for outputs that are not finite.

    Example:
        >>> mean_outputs(torch.tensor([[1.0, 2.0, 4.0, 5.0]])).tolist()
        [0.0, 2.0, 4.0]
    """
    if not len(values) or not values.isfinite().all():
        msg = f"`values` must be finite outputs of at least one sample, got shape {tuple(values.shape)}."
        raise ValueError(msg)
    relative = values.double() - values[:, :1].double()
    means = sum_by_order(relative.mean(dim=0)) / sum_by_order(torch.ones_like(relative[0]))
    return torch.where(means.abs() > _ROUNDING * values.double().abs().max(), means, 0.0)


def _largest_order(interactions: Interactions, threshold: float | None) -> int:
    values, orders = interactions.values, subset_order(interactions.n_variables, interactions.values.device)
    none = torch.zeros_like(interactions.and_)
    largest = []
    found, by_and, by_or = (interactions.and_, interactions.or_), and_interactions(values), or_interactions(values)
    for effects in (found, (by_and, none), (none, by_or)):
        and_, or_ = salient(*effects, interactions.threshold if threshold is None else threshold)
        largest.append((orders * ((and_ != 0) | (or_ != 0))).amax(dim=1))
    return int(torch.stack(largest).amin(dim=0).max())


def _smallest_power(means: list[float]) -> float:
    """The smallest ``p`` of condition 3 for the mean outputs of orders 1 … n.

    Each pair of orders either always holds, never holds, or bounds ``p`` from one side.
    """
    lowest, highest = 0.0, math.inf
    for k in range(2, len(means) + 1):
        for fewer in range(1, k):
            more_seen, fewer_seen = means[k - 1], means[fewer - 1]
            if more_seen > 0:
                if fewer_seen <= 0:
                    return math.inf
                lowest = max(lowest, math.log(fewer_seen / more_seen) / math.log(fewer / k))
            elif fewer_seen < 0:
                # (k'/k)^p of a negative number rises with p: too large a p asks for more than there is.
                if fewer_seen < more_seen:
                    return math.inf
                highest = min(highest, math.log(fewer_seen / more_seen) / math.log(fewer / k))
    return lowest if lowest <= highest else math.inf
