r"""Of all equally sparse effects those of the lowest order.

The optimum of the sparse split is often not unique: :math:`x_i + x_j` and :math:`AND_{ij} + OR_{ij}` are the same
function at the same :math:`L_1`. What is reported, the strength per order, must not depend on which optimum a solver
happens to find. So the answer is defined by two objectives in turn: the smallest :math:`\sum_S |I_S|`, and among those
the smallest total order :math:`\sum_S |S| |I_S|`. One effect of order 1 and one of order 3 would still tie with two of
order 2: a small multiple of :math:`e^{|S|/4}` in the second objective, :func:`order_cost`, decides for the latter. With
it the strength per order is unique: ties run along edges of a polytope whose matrix holds 0 and 1, so along rational
directions, and no rational combination of powers of :math:`e^{1/4}` vanishes.

Dual values :math:`y` of the first programme describe all its optima (complementary slackness). By

.. math:: \|z\|_1 - (w^\top y - \zeta \|y\|_1) = \sum_S |z_S| (1 - s_S (\Phi^\top y)_S)
    + \sum_T |y_T| (\zeta - \mathrm{sign}(y_T) (w - \Phi z)_T), \qquad s = \mathrm{sign}(z),

they are the feasible effects that are zero where :math:`|\Phi^\top y| < 1`, have the sign of :math:`\Phi^\top y`
elsewhere, and leave every target with :math:`y_T \ne 0` at its edge of the box. The second programme is therefore the
first with other costs, fewer effects, one sign each, and boxes of width 0, and is solved by the same method.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_interactions import lattice
from lightning_interactions.extraction.interior_point import Batch, narrowed, overshoot, polished, solve_batch
from lightning_interactions.extraction.normal_matrix import NormalMatrix
from lightning_interactions.extraction.programme import (
    DEFAULT_MEMORY_MB,
    apply_transpose,
    dual_bound,
    free_effects,
    relative_gap,
    residuals,
)

__all__ = ["FACE_ACCURACY", "lowest_order", "order_cost"]

FACE_ACCURACY = 1e-2
"""How much smaller than the tolerance the gap of the effects and dual values to start from should be, so that they show
clearly which effects and targets are at their limits."""

_SHARE = 0.25
"""Share of the tolerance that unused slack of the effects may cost, and the same for the targets."""

_SOLVED = 1e-8
"""Relative gap at which the total order counts as smallest."""

_CONVERGED = 1e-7
"""Relative gap of the total order above which a solution is tried again from another start."""

_CURVATURE = 1e-4
"""Multiple of exp(|S|/4) in the cost of an effect: far below what two corners usually differ by in total order."""


def order_cost(n_variables: int, device: torch.device | str | None = None) -> Tensor:
    r"""What an effect costs in the second objective, :math:`|S| + 10^{-4} e^{|S|/4}` (0 for the empty set).

    Returns:
        float64 tensor ``(2**n,)``.

    Example:
        >>> order_cost(2).round(decimals=6).tolist()
        [0.0, 1.000128, 1.000128, 2.000165]
    """
    order = lattice.subset_order(n_variables, device).double()
    return torch.where(order > 0, order + _CURVATURE * (order / 4).exp(), 0.0)


def lowest_order(
    targets: Tensor,
    noise_bound: Tensor,
    effects: Tensor,
    duals: Tensor,
    *,
    tolerance: float = 1e-6,
    max_iterations: int = 100,
    max_memory_mb: int = DEFAULT_MEMORY_MB,
) -> Tensor:
    r"""Replace optimal effects by optimal ones of the smallest total order :math:`\sum_S |S||I_S|`.

    Approximate dual values blur which effects may be used. Those that would cost less than a quarter of ``tolerance``
    are admitted, and the result is taken only where it is feasible, where its gap, measured, is within ``tolerance``
    (or as good as that of ``effects``), and where it lowers the total order. Elsewhere ``effects`` are returned.

    Args:
        targets: :math:`w`, float64 ``(samples, 2**n)``, 0 at the empty set.
        noise_bound: :math:`\zeta`, ``(samples,)``.
        effects: optimal :math:`z`, ``(samples, 2, 2**n)``.
        duals: optimal :math:`y`, ``(samples, 2**n)``, with a gap of about :data:`FACE_ACCURACY` times ``tolerance``.
        tolerance: relative gap of the L1 that may not be exceeded.
        max_iterations: steps after which a sample is given up.
        max_memory_mb: memory for the normal matrices, as in :func:`interior_point`.

    Returns:
        Effects ``(samples, 2, 2**n)``.

    Example:
        >>> targets = torch.tensor([[0.0, 1.0, 1.0, 2.0]], dtype=torch.float64)
        >>> and_plus_or = torch.tensor([[[0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]]], dtype=torch.float64)
        >>> duals = torch.tensor([[0.0, 0.0, 0.0, 1.0]], dtype=torch.float64)
        >>> lowest_order(targets, torch.zeros(1), and_plus_or, duals).round(decimals=6).tolist()
        [[[0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]]
    """
    n_variables = lattice.variable_count(targets)
    noise_bound = noise_bound.to(targets)
    result = effects.clone()
    todo = effects.flatten(1).any(dim=1).nonzero()[:, 0]
    matrix = NormalMatrix.within(max_memory_mb, len(todo), n_variables, targets.device)
    for chunk in todo.split(max(1, matrix.capacity)):
        unit = targets[chunk].abs().amax(dim=1)
        scaled = targets[chunk] / unit[:, None], noise_bound[chunk] / unit, effects[chunk] / unit[:, None, None]
        result[chunk] = _lowered(*scaled, duals[chunk], matrix, tolerance, max_iterations) * unit[:, None, None]
    return result


def _lowered(
    targets: Tensor,
    noise_bound: Tensor,
    effects: Tensor,
    duals: Tensor,
    matrix: NormalMatrix,
    tolerance: float,
    max_iterations: int,
) -> Tensor:
    costs = order_cost(lattice.variable_count(targets), targets.device).clamp(min=1).expand_as(effects).contiguous()
    face = _optimal_face(targets, narrowed(noise_bound), effects, duals, tolerance, costs)
    bound = dual_bound(targets, noise_bound, duals)
    allowed = relative_gap(effects.abs().sum(dim=(1, 2)), bound).clamp(min=tolerance)
    result, todo = effects.clone(), torch.arange(len(effects), device=effects.device)
    # From the known effects few steps are needed. Where they lie in a corner, rounding stops these before the end.
    for start in (face.started_at(effects), face):
        batch = start.keep(todo).numbered()
        solved = solve_batch(batch, matrix, _SOLVED, max_iterations)
        lowered = polished(batch, solved, matrix, _SOLVED)
        outside = residuals(batch.targets, lowered).abs().amax(dim=1) - noise_bound[todo]
        gap = relative_gap(lowered.abs().sum(dim=(1, 2)), bound[todo])
        optimal = (
            (gap <= allowed[todo]) & (outside <= overshoot(noise_bound[todo])) & lowered.isfinite().all(dim=(1, 2))
        )
        lower = ((result[todo].abs() - lowered.abs()) * batch.costs).sum(dim=(1, 2)) > 0
        result[todo[optimal & lower]] = lowered[optimal & lower]
        todo = todo[~(optimal & (solved.error <= _CONVERGED))]
        if not len(todo):
            break
    return result


def _optimal_face(
    targets: Tensor, box: Tensor, effects: Tensor, duals: Tensor, tolerance: float, costs: Tensor
) -> Batch:
    """The second programme."""
    prices = apply_transpose(duals)
    violation = prices.abs().amax(dim=(1, 2)).clamp(min=1)
    prices, duals = prices / violation[:, None, None], duals / violation[:, None]
    free = free_effects(lattice.variable_count(targets), targets.device)
    used = free & ((prices.abs() >= 1 - _SHARE * tolerance) | (effects != 0))
    signs = torch.where(effects != 0, effects, prices)
    # What a target may cost that crosses its box: the cheapest ones together stay within their share.
    crossing, cheapest_first = (2 * box[:, None] * duals.abs()).sort(dim=1)
    allowed = _SHARE * tolerance * effects.abs().sum(dim=(1, 2))
    held = torch.empty_like(free[:1]).expand(targets.shape).clone()
    held.scatter_(1, cheapest_first, crossing.cumsum(dim=1) > allowed[:, None])
    edges = torch.where(held, duals.sign() * box[:, None], 0.0)
    boxes = torch.where(held, 0.0, box[:, None])
    return Batch.start(targets - edges, boxes, (used & (signs > 0), used & (signs < 0)), costs)
