r"""The exact split: a batched primal–dual interior-point method with Mehrotra's predictor and Gondzio's correctors.

Effects are :math:`z = z^+ - z^-` and the unexplained rest is :math:`r = w - \Phi z` with slacks :math:`\zeta \mp r` in
its box. With the dual slacks :math:`1 \mp \Phi^\top y` and the multipliers :math:`\lambda^\pm` of the box,
:math:`y = \lambda^+ - \lambda^-`, there are three kinds of complementary pairs: they are kept stacked as ``primal`` and
``dual``, ``(samples, 6, 2**n)``, in the order :math:`z^+` (AND, OR), :math:`z^-` (AND, OR), :math:`\zeta - r`,
:math:`\zeta + r`. Dual feasibility holds from the first step on, so that every iterate carries its own certificate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from lightning_interactions import lattice
from lightning_interactions.checks import check_whole
from lightning_interactions.extraction.normal_matrix import NormalMatrix
from lightning_interactions.extraction.programme import (
    DEFAULT_MEMORY_MB,
    apply_transpose,
    free_effects,
    relative_gap,
    residuals,
)
from lightning_interactions.extraction.threads import check_stop

__all__ = ["MARGIN", "Batch", "Solved", "interior_point", "narrowed", "overshoot", "polished", "solve_batch"]

MARGIN = 1e-12
"""The box is solved this much narrower, relative to max|w|, so that rounding cannot leave it."""

_OVERSHOOT = 1e-10
"""Share of a box that rounding may leave it by: where many targets lie at their edges at once, the last digits of the
effects cannot satisfy all of them."""

_GOAL = 0.01
"""Share of the tolerance aimed at: the last steps gain digits quickly, and make clear which effects are zero."""

_SUPPORT_RATIO = 1e-2
"""An effect belongs to the support where it is larger than this times its dual slack, 1 − |Φᵀy|. A target is at the
edge of its box where its dual value is larger than this times the share of the box that is left."""

_CORRECTIONS = 3
"""Repetitions of the final move: each takes back what rounding spoilt in the one before."""

_LEAST_GIVE = 1e-14
"""Give of a target without room in its box: keeps the correction defined where the support is small."""

_GIVE = 1e-10
"""Give, in the Newton steps, of a target without room where only some effects may be used: what these cannot change, or
change in several targets at once, would otherwise make the matrix singular."""

_CORRECTORS = 2
"""Further corrections of a step. Each costs a triangular solve; together they save a quarter of the factorisations."""

_LONGER = 0.3
"""How much longer a step a correction aims at."""

_WITHIN = (0.1, 10.0)
"""Products outside this range, relative to the one aimed at, are outliers."""

_WORTHWHILE = 0.1
"""Share of the wanted length that a correction must gain."""

_COARSE = 0.03
"""Error of the best iterate above which the factors are float32. Their matrices have condition numbers up to 1e7; what
rounding spoils there the later iterations mend, while nearer to the optimum it drives some samples off for good."""

_STEP_TO_BOUNDARY = 0.9995
_START = 0.1
"""Initial effects z⁺ = z⁻, relative to max|w|, and initial complementarity of the box."""

_INWARDS = 1e-3
"""Least effect, relative to max|w|, and least room, relative to the box, to begin with where effects are known."""

_PATIENCE = 8
"""Iterations without a better iterate after which a sample is given up: rounding has the upper hand."""

_PATIENCE_WHEN_SOLVED = 2
"""The same for a sample that has reached the tolerance already."""

_REMOTE = 0.5
"""Error above which an iterate is still on its way from the start, whatever its first steps gained."""

_PLUS, _MINUS, _BOX = slice(0, 2), slice(2, 4), slice(4, 6)


def interior_point(
    targets: Tensor,
    noise_bound: Tensor,
    *,
    tolerance: float = 1e-6,
    max_iterations: int = 100,
    max_memory_mb: int = DEFAULT_MEMORY_MB,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Solve :math:`\min \|z\|_1` s.t. :math:`|w - \Phi z| \le \zeta` to optimality (Appendix D as a linear programme).

    Every sample is scaled by :math:`\max|w|`, solved in float64 and leaves the batch when it is done. Where the optimum
    is not unique, the result is near the analytic centre of the optimal effects, which does not depend on the order of
    the variables, and not an arbitrary corner.

    Args:
        targets: :math:`w`, float64 ``(samples, 2**n)``, 0 at the empty set.
        noise_bound: :math:`\zeta`, float64 ``(samples,)``, in the unit of ``targets``.
        tolerance: relative gap that counts as solved if rounding forbids a smaller one.
        max_iterations: steps after which a sample is given up; one that misses the tolerance has as many again, without
            float32 factors.
        max_memory_mb: memory for the normal matrices, :math:`8 \cdot 4^n` bytes a sample; it decides how many samples
            are solved together (at least one).

    Returns:
        Effects ``(samples, 2, 2**n)``, dual values ``(samples, 2**n)`` and iterations ``(samples,)``.

    Example:
        >>> targets = torch.tensor([[0.0, 2.0, -3.0, -1.0]], dtype=torch.float64)
        >>> effects, duals, iterations = interior_point(targets, torch.zeros(1, dtype=torch.float64))
        >>> effects.round(decimals=6).tolist()
        [[[0.0, 2.0, -3.0, 0.0], [0.0, 0.0, 0.0, 0.0]]]
    """
    check_whole(minimum=0, max_iterations=max_iterations, max_memory_mb=max_memory_mb)
    size = targets.shape[-1]
    effects = targets.new_zeros(len(targets), 2, size)
    duals = torch.zeros_like(targets)
    iterations = torch.zeros(len(targets), dtype=torch.int64, device=targets.device)
    scale = targets.abs().amax(dim=-1)
    # No effects at all are optimal where the box holds every target.
    todo = (scale > noise_bound).nonzero()[:, 0]
    n_variables = lattice.variable_count(targets)
    matrix = NormalMatrix.within(max_memory_mb, len(todo), n_variables, targets.device)
    for chunk in todo.split(max(1, matrix.capacity)):
        unit = scale[chunk]
        box = narrowed(noise_bound[chunk] / unit)[:, None].expand(-1, size)
        batch = Batch.start(targets[chunk] / unit[:, None], box)
        solved = solve_batch(batch, matrix, tolerance, max_iterations, coarse=_COARSE)
        missed = (solved.error > tolerance).nonzero()[:, 0]
        if len(missed):
            again = batch.keep(missed).numbered()
            solved.replace_worse(missed, solve_batch(again, matrix, tolerance, max_iterations))
        effects[chunk] = polished(batch, solved, matrix, tolerance) * unit[:, None, None]
        duals[chunk] = solved.duals
        iterations[chunk] = solved.iterations
    return effects, duals, iterations


def narrowed(noise_bound: Tensor) -> Tensor:
    """The noise bound, relative to max|w|, to solve with: rounding then keeps within the true one.

    Example:
        >>> narrowed(torch.tensor([1e-13, 0.5], dtype=torch.float64)).tolist()
        [0.0, 0.499999999999]
    """
    return torch.where(noise_bound > 2 * MARGIN, noise_bound - MARGIN, 0.0)


def overshoot(box: Tensor) -> Tensor:
    """How far beyond its box, relative to max|w|, a target may be: far less than ``solve`` promises.

    Example:
        >>> [f"{slip:.1e}" for slip in overshoot(torch.tensor([0.0, 0.5], dtype=torch.float64)).tolist()]
        ['1.0e-12', '5.1e-11']
    """
    return MARGIN + _OVERSHOOT * box


@dataclass
class Solved:
    """The best iterate of every sample of a chunk."""

    effects: Tensor
    duals: Tensor
    error: Tensor
    iterations: Tensor

    def replace_worse(self, rows: Tensor, others: Solved) -> None:
        """Take over those of ``others``, of the samples at ``rows``, that are better; all their iterations count."""
        better = others.error < self.error[rows]
        for own, other in ((self.effects, others.effects), (self.duals, others.duals), (self.error, others.error)):
            own[rows[better]] = other[better]
        self.iterations[rows] += others.iterations


@dataclass
class Batch:
    """The samples still being solved, one row each; targets are scaled to max|w| = 1.

    The objective is Σ costs·|z|, and every target has a box of its own.
    """

    index: Tensor
    targets: Tensor
    box: Tensor
    give: Tensor
    costs: Tensor
    live: Tensor
    primal: Tensor
    dual: Tensor
    duals: Tensor

    @classmethod
    def start(
        cls, targets: Tensor, box: Tensor, signs: tuple[Tensor, Tensor] | None = None, costs: Tensor | None = None
    ) -> Batch:
        """Begin in the middle.

        Args:
            targets: ``(samples, 2**n)``.
            box: half the width of the box of every target, of the same shape.
            signs: the effects that may be positive and those that may be negative, bool ``(samples, 2, 2**n)`` each;
                by default all.
            costs: positive, ``(samples, 2, 2**n)``; by default 1.
        """
        samples, size = targets.shape
        free = free_effects(lattice.variable_count(targets), targets.device).expand(samples, 2, size)
        if costs is None:
            costs = torch.ones_like(free, dtype=torch.float64)
        empty = torch.arange(size, device=targets.device) == 0
        rows = ((box > 0) & ~empty)[:, None]
        give = torch.zeros_like(box) if signs is None else _GIVE * (~rows[:, 0] & ~empty)
        live = torch.cat([*(signs or (free, free)), rows, rows], dim=1)
        primal = torch.full(live.shape, _START, dtype=torch.float64, device=targets.device)
        primal[:, _BOX] = box[:, None]
        dual = torch.cat([costs, costs, (_START**2 / box[:, None]).expand(-1, 2, -1)], dim=1)
        return cls(
            index=torch.arange(samples, device=targets.device),
            targets=targets,
            box=box,
            give=give,
            costs=costs,
            live=live,
            # Pairs that are not live never move: (1, 1) divides safely and is left out of every sum.
            primal=torch.where(live, primal, 1.0),
            dual=torch.where(live, dual, 1.0),
            duals=torch.zeros_like(targets),
        )

    def started_at(self, effects: Tensor) -> Batch:
        """Begin at effects known to be feasible, ``(samples, 2, 2**n)``, moved inwards a little."""
        primal = self.primal.clone()
        primal[:, _PLUS], primal[:, _MINUS] = effects.clamp(min=_INWARDS), (-effects).clamp(min=_INWARDS)
        rest = residuals(self.targets, effects)
        room = torch.stack([self.box - rest, self.box + rest], dim=1)
        primal[:, _BOX] = torch.maximum(room, _INWARDS * self.box[:, None])
        return replace(self, primal=torch.where(self.live, primal, 1.0))

    def keep(self, rows: Tensor) -> Batch:
        """The samples at ``rows`` alone, which ascend; the batch itself where these are all."""
        if len(rows) == len(self.index):
            return self
        return Batch(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def numbered(self) -> Batch:
        """The same samples, counted from 0."""
        return replace(self, index=torch.arange(len(self.index), device=self.index.device))

    @classmethod
    def joined(cls, parts: list[Batch]) -> Batch:
        """The samples of all parts."""
        if len(parts) == 1:
            return parts[0]
        return cls(**{field.name: torch.cat([getattr(part, field.name) for part in parts]) for field in fields(cls)})

    def effects(self) -> Tensor:
        """Positive minus negative parts, ``(samples, 2, 2**n)``."""
        held = self.primal * self.live
        return held[:, _PLUS] - held[:, _MINUS]

    def unmet(self) -> Tensor:
        """What Φz + r still lacks of w."""
        above, below = self.primal[:, _BOX].unbind(dim=1)  # equal where not live
        return residuals(self.targets, self.effects()) - (below - above) / 2

    def bound(self, duals: Tensor) -> Tensor:
        """A lower bound on the objective, from any dual values."""
        value = (self.targets * duals).sum(dim=1) - (self.box * duals.abs()).sum(dim=1)
        slope = apply_transpose(duals) / self.costs
        violation = torch.where(self.live[:, :4], torch.cat([slope, -slope], dim=1), 0.0).amax(dim=(1, 2))
        return (value / violation.clamp(min=1)).clamp(min=0)

    def complementarity(self, primal: Tensor, dual: Tensor) -> Tensor:
        """Mean product of the pairs that are live, ``(samples,)``."""
        return (primal * dual * self.live).sum(dim=(1, 2)) / self.live.sum(dim=(1, 2))


def solve_batch(
    batch: Batch, matrix: NormalMatrix, tolerance: float, max_iterations: int, *, coarse: float = math.inf
) -> Solved:
    """Iterate until every sample is done; ``batch.index`` must count the samples from 0.

    Args:
        batch: where to start.
        matrix: storage for the normal matrices.
        tolerance: see :func:`interior_point`.
        max_iterations: likewise.
        coarse: error above which the factors are float32, sample by sample.
    """
    samples = len(batch.targets)
    best = Solved(
        effects=batch.targets.new_zeros(samples, 2, batch.targets.shape[-1]),
        duals=torch.zeros_like(batch.targets),
        error=batch.targets.new_full((samples,), torch.inf),
        iterations=torch.zeros(samples, dtype=torch.int64, device=batch.targets.device),
    )
    reached_at = torch.zeros_like(best.iterations)
    for iteration in range(max_iterations + 1):
        check_stop()
        error = _error(batch)
        better = error < best.error[batch.index]
        improved = batch.index[better]
        best.effects[improved] = batch.effects()[better]
        best.duals[improved] = batch.duals[better]
        best.error[improved] = error[better]
        reached_at[improved] = iteration
        best.iterations[batch.index] = iteration
        so_far = best.error[batch.index]
        patience = torch.where(so_far <= tolerance, _PATIENCE_WHEN_SOLVED, _PATIENCE)
        # On the way in from a remote start the error may rise for long; rounding is no reason yet.
        remote = (so_far > _REMOTE) & error.isfinite()
        unfinished = (error > _GOAL * tolerance) & (remote | (iteration - reached_at[batch.index] < patience))
        batch = batch.keep(unfinished.nonzero()[:, 0])
        if not len(batch.index) or iteration == max_iterations:
            break
        is_coarse = best.error[batch.index] > coarse
        groups = ((is_coarse.nonzero()[:, 0], torch.float32), ((~is_coarse).nonzero()[:, 0], torch.float64))
        batch = Batch.joined([_advance(batch.keep(rows), matrix, dtype) for rows, dtype in groups if len(rows)])
    return best


def _error(batch: Batch) -> Tensor:
    r"""What the iterate is worth: its relative gap once the unmet targets are met, or the unmet targets if larger.

    Meeting the unmet targets :math:`\rho` changes the objective by :math:`y^\top \rho` to first order.
    """
    unmet = batch.unmet()
    objective = (batch.costs * batch.effects().abs()).sum(dim=(1, 2))
    bound = (batch.targets * batch.duals).sum(dim=1) - (batch.box * batch.duals.abs()).sum(dim=1)
    gap = (objective + (batch.duals * unmet).sum(dim=1) - bound).abs() / objective
    return torch.maximum(gap, unmet.abs().amax(dim=1)).nan_to_num(nan=torch.inf)


@dataclass
class _Step:
    """A Newton step of the pairs and of the dual values, and the change of every product primal·dual it aims at."""

    pull: Tensor
    primal: Tensor
    dual: Tensor
    duals: Tensor

    def lengths(self, batch: Batch, share: float = 1.0) -> tuple[Tensor, Tensor]:
        """How far one can go, in the primal and in the dual entries."""
        return _longest(batch.primal, self.primal, share), _longest(batch.dual, self.dual, share)

    def unless(self, better: Tensor, other: _Step) -> _Step:
        """This step, or the other for the samples where it is better, ``(samples, 1, 1)``."""
        return _Step(
            torch.where(better, other.pull, self.pull),
            torch.where(better, other.primal, self.primal),
            torch.where(better, other.dual, self.dual),
            torch.where(better[:, 0], other.duals, self.duals),
        )


def _advance(batch: Batch, matrix: NormalMatrix, dtype: torch.dtype) -> Batch:
    """One predictor and corrector step, and further corrections from the same factors."""
    primal, dual, live = batch.primal, batch.dual, batch.live
    weights = (primal / dual * live)[:, :4].unflatten(1, (2, 2)).sum(dim=1)
    stiffness = (dual / primal)[:, _BOX].sum(dim=1)
    compliance = live[:, 4] / stiffness
    matrix.factorise(weights, compliance + batch.give, dtype)

    predictor = _direction(batch, matrix, compliance, -primal * dual)
    primal_length, dual_length = predictor.lengths(batch)
    affine = batch.complementarity(primal + primal_length * predictor.primal, dual + dual_length * predictor.dual)
    current = batch.complementarity(primal, dual)
    centre = ((affine / current) ** 3 * current)[:, None, None]
    pull = centre + predictor.pull - predictor.primal * predictor.dual
    step = _direction(batch, matrix, compliance, pull)
    for _ in range(_CORRECTORS):
        step = _corrected(batch, matrix, compliance, step, centre)
    step = _direction(batch, matrix, compliance, step.pull, guess=step.duals)

    primal_length, dual_length = step.lengths(batch, _STEP_TO_BOUNDARY)
    return replace(
        batch,
        primal=primal + primal_length * step.primal,
        dual=dual + dual_length * step.dual,
        duals=batch.duals + dual_length[:, 0] * step.duals,
    )


def _corrected(batch: Batch, matrix: NormalMatrix, compliance: Tensor, step: _Step, centre: Tensor) -> _Step:
    """Pull back the products that a longer step would make outliers (Gondzio's correction), where that lengthens it."""
    primal_length, dual_length = step.lengths(batch)
    trial = (batch.primal + (primal_length + _LONGER).clamp(max=1) * step.primal) * (
        batch.dual + (dual_length + _LONGER).clamp(max=1) * step.dual
    )
    low, high = _WITHIN[0] * centre, _WITHIN[1] * centre
    # `clamp` takes several times as long where its bounds are broadcast.
    back = (torch.minimum(torch.maximum(trial, low), high) - trial).maximum(-high)
    other = _direction(batch, matrix, compliance, step.pull + back)
    gained = sum(other.lengths(batch)) - primal_length - dual_length
    return step.unless(gained >= _WORTHWHILE * _LONGER, other)


def _direction(
    batch: Batch, matrix: NormalMatrix, compliance: Tensor, pull: Tensor, guess: Tensor | None = None
) -> _Step:
    """The Newton step that changes every product primal·dual by ``pull``; with a guess at the dual values, refined."""
    primal, dual, live = batch.primal, batch.dual, batch.live
    pull = pull * live
    push = pull[:, :4] / dual[:, :4]
    above, below = (pull[:, _BOX] / primal[:, _BOX]).unbind(dim=1)
    shift = compliance * (above - below)
    right = residuals(batch.unmet() + shift, push[:, _PLUS] - push[:, _MINUS])
    right[:, 0] = 0
    duals_step = matrix.solve(right, refined=False) if guess is None else matrix.refined(guess, right)

    slope = apply_transpose(duals_step)
    rest_step = compliance * duals_step - shift
    dual_step = torch.empty_like(dual)
    primal_step = torch.empty_like(primal)
    dual_step[:, :4] = torch.cat([-slope, slope], dim=1)
    primal_step[:, :4] = push - primal[:, :4] / dual[:, :4] * dual_step[:, :4]
    primal_step[:, _BOX] = torch.stack([-rest_step, rest_step], dim=1)
    dual_step[:, _BOX] = (pull[:, _BOX] - dual[:, _BOX] * primal_step[:, _BOX]) / primal[:, _BOX]
    return _Step(pull, primal_step * live, dual_step * live, duals_step)


def _longest(point: Tensor, step: Tensor, share: float) -> Tensor:
    """``share`` of the way to where the first entry of a sample turns negative, at most 1; ``(samples, 1, 1)``."""
    ratio = torch.where(step < 0, -point / step, torch.inf)
    return (share * ratio.amin(dim=(1, 2), keepdim=True)).clamp(max=1)


def polished(batch: Batch, solved: Solved, matrix: NormalMatrix, tolerance: float) -> Tensor:
    """Exact zeros outside the support, and the rest of every target inside its box, at its edge where that pays."""
    slack = batch.costs - apply_transpose(solved.duals).abs()
    sizes = solved.effects.abs()
    sparse = torch.where(sizes > _SUPPORT_RATIO * slack, solved.effects, 0.0)
    room = (1 - residuals(batch.targets, sparse).abs() / batch.box).clamp(min=0)
    at_edge = solved.duals.abs() > _SUPPORT_RATIO * room
    goal = torch.where(at_edge, solved.duals.sign() * batch.box, _boxed(batch, sparse))
    moved = _moved(batch, sparse, goal, sparse.abs(), matrix)
    excess = (residuals(batch.targets, moved) - _boxed(batch, moved)).abs().amax(dim=1)
    gap = relative_gap((batch.costs * moved.abs()).sum(dim=(1, 2)), batch.bound(solved.duals))
    sound = (excess <= overshoot(batch.box.amax(dim=1)) / 2) & (gap <= torch.clamp(2 * solved.error, min=tolerance / 2))
    misjudged = batch.index[~sound]
    if len(misjudged):
        # Every effect may move, by its share: that costs the exact zeros.
        part, effects = batch.keep(misjudged), solved.effects[misjudged]
        moved[misjudged] = _moved(part, effects, _boxed(part, effects), effects.abs(), matrix)
    return moved


def _boxed(batch: Batch, effects: Tensor) -> Tensor:
    """The rest w − Φz of every target, cut off at its box."""
    return residuals(batch.targets, effects).clamp(-batch.box, batch.box)


def _moved(batch: Batch, effects: Tensor, goal: Tensor, weights: Tensor, matrix: NormalMatrix) -> Tensor:
    r"""Change the effects by the little that turns the rest :math:`w - \Phi z` into ``goal``.

    It is the smallest change in the norm weighted by ``weights``: large effects take most of it. The sizes of the
    effects as weights spread far less than those of the last iterations, whose solutions lose digits to rounding.
    Targets with room left in their box give way a little.
    """
    give = (batch.box - goal.abs()).clamp(min=_LEAST_GIVE)
    give[:, 0] = 0
    matrix.factorise(weights, give)
    moved = effects
    for _ in range(_CORRECTIONS):
        wanted = residuals(batch.targets, moved) - goal
        moved = moved + weights * apply_transpose(matrix.solve(wanted))
    usable = moved.isfinite().all(dim=(1, 2))
    return torch.where(usable[:, None, None], moved, effects)
