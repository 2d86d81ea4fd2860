r"""The linear programme behind the sparse AND–OR split: its operators, its two objectives and the certificate.

With :math:`w_T = v(x_T) - v(x_\varnothing)`, :math:`z = (a, b)` the AND and OR effects of the non-empty subsets and
:math:`\Phi = [Z, O]`, :math:`Z_{TS} = [S \subseteq T]`, :math:`O_{TS} = [S \cap T \neq \varnothing]`, the published
recipe (Appendix D: :math:`u^{AND} = \tfrac12(v - \delta) + \gamma`, :math:`u^{OR} = \tfrac12(v - \delta) - \gamma` with
:math:`\gamma` free and :math:`|\delta| \le \zeta`) minimises exactly

.. math::
    \text{primal}\quad \min_z \|z\|_1 \;\text{ s.t. }\; |w - \Phi z| \le \zeta, \qquad
    \text{dual}\quad \max_y w^\top y - \zeta \|y\|_1 \;\text{ s.t. }\; \|\Phi^\top y\|_\infty \le 1 .

Throughout, ``effects`` is a float64 tensor ``(samples, 2, 2**n)`` that holds AND effects in ``[:, 0]`` and OR effects
in ``[:, 1]``, both 0 at the empty set; ``targets`` :math:`w`, ``residuals`` and ``duals`` :math:`y` are float64 tensors
``(samples, 2**n)``, all 0 at the empty set. Values, effects and :math:`\zeta` share one unit, that of the network
output; duals have none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lightning_interactions import lattice

__all__ = [
    "DEFAULT_MEMORY_MB",
    "Solution",
    "WarmStart",
    "apply_transpose",
    "certified_solution",
    "dual_bound",
    "free_effects",
    "merge_order_one",
    "relative_gap",
    "residuals",
    "targets_of",
]

DEFAULT_MEMORY_MB = 1024
"""Memory that a solver may use unless told otherwise."""


@dataclass(frozen=True)
class Solution:
    r"""Sparse effects of a batch of samples with the proof of how sparse they are.

    Attributes:
        and_: AND effects ``(samples, 2**n)``, float64; entry 0 is 0.
        or_: OR effects ``(samples, 2**n)``, float64; entry 0 is 0.
        l1: the primal objective :math:`\|z\|_1` of exactly these effects, ``(samples,)``.
        gap: ``(l1 - lower bound) / l1`` with the bound of a feasible dual point, ``(samples,)``; 0 where ``l1`` is 0.
        noise: :math:`\zeta' = \max_T |w_T - (\Phi z)_T|` that these effects really leave, ``(samples,)``.
        iterations: steps that the solver took, ``(samples,)``, int64.
        duals: feasible dual values ``(samples, 2**n)`` that prove the gap, float64, without unit.
    """

    and_: Tensor
    or_: Tensor
    l1: Tensor
    gap: Tensor
    noise: Tensor
    iterations: Tensor
    duals: Tensor


class WarmStart(Protocol):
    """An earlier solution of the same samples: a :class:`Solution`, or interactions."""

    @property
    def and_(self) -> Tensor:
        """AND effects ``(samples, 2**n)``."""

    @property
    def or_(self) -> Tensor:
        """OR effects ``(samples, 2**n)``."""

    @property
    def duals(self) -> Tensor | None:
        """Dual values ``(samples, 2**n)``; without them nothing is gained."""


def targets_of(values: Tensor) -> Tensor:
    r"""What the effects must add up to, :math:`w_T = v(x_T) - v(x_\varnothing)`.

    Args:
        values: network outputs ``(samples, 2**n)``.

    Returns:
        float64 tensor ``(samples, 2**n)``.

    Example:
        >>> targets_of(torch.tensor([[1.0, 3.0, 4.0, 10.0]])).tolist()
        [[0.0, 2.0, 3.0, 9.0]]
    """
    values = values.to(torch.float64).contiguous()  # how numbers lie in memory decides how sums round
    return values - values[..., :1]


def residuals(targets: Tensor, effects: Tensor) -> Tensor:
    r"""What the effects leave unexplained, :math:`w - \Phi z`.

    Args:
        targets: :math:`w`, ``(samples, 2**n)``.
        effects: :math:`z`, ``(samples, 2, 2**n)``.

    Returns:
        float64 tensor ``(samples, 2**n)``.

    Example:
        >>> residuals(torch.tensor([[0.0, 2.0]]), torch.tensor([[[0.0, 0.5], [0.0, 1.0]]])).tolist()
        [[0.0, 0.5]]
    """
    return targets - lattice.reconstruct(effects[..., 0, :], effects[..., 1, :])


def apply_transpose(duals: Tensor) -> Tensor:
    r""":math:`\Phi^\top y`: what the dual values add up to on every AND and every OR effect.

    .. math:: (Z^\top y)_S = \sum_{T \supseteq S} y_T, \qquad (O^\top y)_S = \sum_{T \cap S \neq \varnothing} y_T

    Args:
        duals: :math:`y`, ``(samples, 2**n)``.

    Returns:
        float64 tensor ``(samples, 2, 2**n)``, 0 at the empty set.

    Example:
        >>> apply_transpose(torch.tensor([[0.0, 1.0, 2.0, 4.0]])).tolist()
        [[[0.0, 5.0, 6.0, 4.0], [0.0, 5.0, 6.0, 7.0]]]
    """
    # Complements reverse the axis, so sums over supersets are sums over subsets read backwards; O is symmetric.
    above = lattice.zeta(duals.flip(-1)).flip(-1)
    above[..., 0] = 0
    return torch.stack([above, lattice.values_from_or(duals)], dim=-2)


def dual_bound(targets: Tensor, noise_bound: Tensor, duals: Tensor) -> Tensor:
    r"""A lower bound on every feasible :math:`\|z\|_1`, from any dual values.

    The dual values are divided by :math:`\max(1, \|\Phi^\top y\|_\infty)`, which makes them feasible; a negative bound
    is replaced by the trivial one, 0.

    Args:
        targets: :math:`w`, ``(samples, 2**n)``.
        noise_bound: :math:`\zeta`, ``(samples,)``.
        duals: :math:`y`, ``(samples, 2**n)``.

    Returns:
        float64 tensor ``(samples,)``.

    Example:
        >>> dual_bound(torch.tensor([[0.0, 5.0]]), torch.tensor([1.0]), torch.tensor([[0.0, 2.0]])).tolist()
        [4.0]
    """
    value = (targets * duals).sum(dim=-1) - noise_bound * duals.abs().sum(dim=-1)
    violation = apply_transpose(duals).abs().amax(dim=(-2, -1))
    return (value / violation.clamp(min=1)).clamp(min=0)


def relative_gap(l1: Tensor, lower_bound: Tensor) -> Tensor:
    """How far above the best possible objective one may be at most, as a share of it; 0 where ``l1`` is 0.

    NaN where ``l1`` is not finite: effects that overflowed have no certificate.

    Args:
        l1: primal objectives ``(samples,)``.
        lower_bound: from :func:`dual_bound`, ``(samples,)``.

    Example:
        >>> relative_gap(torch.tensor([4.0, 0.0]), torch.tensor([3.0, 0.0])).tolist()
        [0.25, 0.0]
    """
    # Rounding may put the bound a last digit above the objective: that is no negative gap.
    gap = torch.where(l1 == 0, 0.0, (l1 - lower_bound) / l1).clamp(min=0)
    return torch.where(l1.isfinite(), gap, math.nan)


def free_effects(n_variables: int, device: torch.device | str | None = None) -> Tensor:
    """Which effects the programme needs: all but those of the empty set and the OR effects of order 1.

    An OR effect of one variable is the same function as its AND effect, so one of the two columns is redundant.

    Returns:
        bool tensor ``(2, 2**n)``.

    Example:
        >>> free_effects(2).int().tolist()
        [[0, 1, 1, 1], [0, 0, 0, 1]]
    """
    order = lattice.subset_order(n_variables, device)
    return torch.stack([order > 0, order > 1])


def merge_order_one(and_: Tensor, or_: Tensor) -> tuple[Tensor, Tensor]:
    """Move the OR effects of order 1 into the AND effects.

    The AND and the OR of one variable are the same function of the mask, so only their sum is identified.

    Args:
        and_: AND effects ``(..., 2**n)``.
        or_: OR effects ``(..., 2**n)``.

    Returns:
        The two arrays anew: order 1 holds the sum in AND and 0 in OR.

    Example:
        >>> merged = merge_order_one(torch.tensor([0.0, 1.0, 2.0, 3.0]), torch.tensor([0.0, 1.0, 1.0, 1.0]))
        >>> [effects.tolist() for effects in merged]
        [[0.0, 2.0, 3.0, 3.0], [0.0, 0.0, 0.0, 1.0]]
    """
    single = lattice.subset_order(lattice.variable_count(and_), and_.device) == 1
    return torch.where(single, and_ + or_, and_), torch.where(single, 0.0, or_)


def certified_solution(
    targets: Tensor,
    noise_bound: Tensor,
    effects: Tensor,
    duals: Tensor,
    iterations: Tensor,
    *,
    merged: bool,
) -> Solution:
    r"""Measure what a solver found: nothing it says about itself enters the result.

    Args:
        targets: :math:`w`, ``(samples, 2**n)``.
        noise_bound: :math:`\zeta`, ``(samples,)``.
        effects: :math:`z`, ``(samples, 2, 2**n)``.
        duals: any :math:`y`, ``(samples, 2**n)``; the better they are, the smaller the gap.
        iterations: steps taken, ``(samples,)``.
        merged: whether order-1 effects are reported in AND only.

    Returns:
        The effects with objective, gap and remaining noise recomputed from them.
    """
    and_, or_ = effects.unbind(dim=-2)
    if merged:
        and_, or_ = merge_order_one(and_, or_)
    effects = torch.stack([and_, or_], dim=-2)
    l1 = effects.abs().sum(dim=(-2, -1))
    return Solution(
        and_=and_,
        or_=or_,
        l1=l1,
        gap=relative_gap(l1, dual_bound(targets, noise_bound, duals)),
        noise=residuals(targets, effects).abs().amax(dim=-1),
        iterations=iterations,
        duals=duals / apply_transpose(duals).abs().amax(dim=(-2, -1)).clamp(min=1)[:, None],
    )
