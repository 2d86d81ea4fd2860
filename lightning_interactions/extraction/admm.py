r"""The fast split: alternating directions (ADMM) in float32 for all samples at once, with a certificate in float64.

The programme is split into two steps that are both easy: shrinking every effect towards 0 and the rest :math:`r` into
its box, and the projection onto :math:`\Phi z + r = w`, for which :class:`SymmetricInverse` inverts
:math:`\Phi\Phi^\top + cI` exactly at the cost of a few transforms. One iteration, in the form of Douglas and Rachford:

.. math::
    z = s - u,\; u = \mathrm{clamp}(s, \pm\kappa), \qquad r = \mathrm{clamp}(q, \pm\zeta), \qquad
    \nu = (\Phi\Phi^\top + cI)^{-1} \bigl(\Phi(z - u) + (2r - q) - w\bigr) \\
    s \leftarrow s - \alpha (u + \Phi^\top \nu), \qquad q \leftarrow q + \alpha (r - q - c \nu)

At the fixed point :math:`y = -\nu / \kappa` are the dual values. The inverse does not depend on the step size
:math:`\kappa`, which therefore falls on the way, for every sample on its own: large steps find the objective and the
dual values, small ones make the effects meet the noise bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_interactions import lattice
from lightning_interactions.checks import check_whole
from lightning_interactions.extraction.programme import (
    DEFAULT_MEMORY_MB,
    WarmStart,
    apply_transpose,
    dual_bound,
    merge_order_one,
    relative_gap,
    residuals,
)
from lightning_interactions.extraction.symmetric_inverse import SymmetricInverse
from lightning_interactions.extraction.threads import check_stop

__all__ = ["admm", "bytes_per_sample", "check_warm_start"]

_RELAXATION = 1.7
r""":math:`\alpha`: each step goes this much of the way."""

_FIRST_STEP, _LAST_STEP = 1e-2, 1e-6
r""":math:`\kappa` at the start and at the end, in the unit of max|w|."""

_CURVE = 4
r"""The logarithm of :math:`\kappa` falls with this power of the time: slowly at first, where dual values are found."""

_FALLING = 0.8
r"""Share of the iterations in which :math:`\kappa` falls; the last ones bring the rest into the box."""

_DESCENT = 50
r"""Iterations in which :math:`\kappa` falls from first to last for samples whose dual values are good enough."""

_SETTLED = 0.5
"""Share of the target gap that the dual values must have reached before the descent; the rest is for closing."""

_STEP_FALLS_EVERY = 5
r"""Iterations between two changes of :math:`\kappa`."""

_SHIFTS, _SHIFT_POWER = (1.25e-4, 0.3125), 0.75
r""":math:`c / 2^n` without a noise bound, and what a power of :math:`\zeta` relative to max|w| adds: rest and effects
then settle equally fast. Found at n = 8, 10 and 12 for :math:`\zeta` from 0 to 0.1; with :math:`c = 0` the float32
inverse of :math:`\Phi\Phi^\top` leads nowhere for some samples from n = 10 on."""

_CHECK_EVERY = 25
"""Iterations between two looks at what has been reached; a look costs as much as four iterations."""

_CLOSINGS = 3
"""Repetitions of the last move into the box: each takes back what rounding spoilt in the one before."""

_MARGIN = 1e-12
"""The box is met this much narrower, relative to max|w|, so that rounding cannot leave it."""

_FEW, _MANY = 300, 3000
"""Default lengths of the schedule. On the quickstart network's values 300 iterations prove a gap of 1.5 % at n = 10,
and 3,000 one of 1 % at n = 14 and 16, where 300 are far from enough."""

_FEW_SUFFICE = 12
"""Most variables for which the short schedule is the default."""

_SUBSETS_IN_CACHE = 1 << 17
"""A CPU solves so many subsets together: more run out of its cache and take longer."""


@torch.no_grad()
def admm(
    targets: Tensor,
    noise_bound: Tensor,
    *,
    target_gap: float = 0.01,
    max_iterations: int | None = None,
    warm_start: WarmStart | None = None,
    max_memory_mb: int = DEFAULT_MEMORY_MB,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Solve :math:`\min \|z\|_1` s.t. :math:`|w - \Phi z| \le \zeta` approximately and fast.

    Every sample is scaled by :math:`\max|w|` and leaves the batch when its certified gap is small enough. The effects
    returned keep to the noise bound: what the iterations leave outside is closed by the smallest step, in the sense of
    least squares, towards effects that explain every target exactly.

    Args:
        targets: :math:`w`, float64 ``(samples, 2**n)``, 0 at the empty set.
        noise_bound: :math:`\zeta`, float64 ``(samples,)``, in the unit of ``targets``.
        target_gap: relative gap at which a sample is done.
        max_iterations: length of the schedule; ``None`` takes 300 up to n = 12 and 3,000 above. More iterations lower
            the step size more slowly, which brings effects and dual values nearer to the optimum.
        warm_start: a solution of the same samples with similar values. The result is never worse
            than its effects moved into the new bounds, its gap never larger than theirs.
        max_memory_mb: memory that decides how many samples are solved together (at least one).

    Returns:
        Effects ``(samples, 2, 2**n)``, dual values ``(samples, 2**n)`` and iterations ``(samples,)``.

    Raises:
        ValueError: for a target gap that is not positive, less than one iteration, or a warm start of the wrong shape.

    Example:
        >>> targets = torch.tensor([[0.0, 2.0, -3.0, -1.0]], dtype=torch.float64)
        >>> effects, duals, iterations = admm(targets, torch.zeros(1, dtype=torch.float64), target_gap=1e-3)
        >>> effects.round(decimals=2).abs().sum().item()
        5.0
    """
    if max_iterations is None:
        max_iterations = _FEW if lattice.variable_count(targets) <= _FEW_SUFFICE else _MANY
    _check_options(target_gap, max_iterations, max_memory_mb)
    check_warm_start(warm_start, targets)
    samples, size = targets.shape
    effects = targets.new_zeros(samples, 2, size)
    duals = torch.zeros_like(targets)
    iterations = torch.zeros(samples, dtype=torch.int64, device=targets.device)
    scale = targets.abs().amax(dim=-1)
    # No effects at all are optimal where the box holds every target.
    todo = (scale > noise_bound).nonzero()[:, 0]
    together = max(1, (max_memory_mb << 20) // bytes_per_sample(lattice.variable_count(targets)))
    if targets.device.type == "cpu":
        together = max(1, min(together, _SUBSETS_IN_CACHE // size))
    for chunk in todo.split(together):
        unit = scale[chunk]
        found = _Found.start(targets[chunk] / unit[:, None], noise_bound[chunk] / unit)
        if warm_start is None or warm_start.duals is None:
            start = torch.zeros_like(found.effects), torch.zeros_like(found.targets)
        else:
            rows = chunk.to(warm_start.and_.device)
            earlier = torch.stack([warm_start.and_[rows], warm_start.or_[rows]], dim=1).to(targets)
            start = earlier / unit[:, None, None], warm_start.duals[rows].to(targets)
        batch = _Batch.start(found, *start)
        _iterate(batch, found, target_gap, max_iterations)
        and_, or_ = merge_order_one(*found.effects.unbind(dim=1))
        effects[chunk] = torch.stack([and_, or_], dim=1) * unit[:, None, None]
        duals[chunk] = found.duals
        iterations[chunk] = found.iterations
    return effects, duals, iterations


def bytes_per_sample(n_variables: int) -> int:
    """Memory for one sample at the peak: a few float64 arrays of effects and of targets.

    Example:
        >>> bytes_per_sample(10)
        163840
    """
    return 160 << n_variables


@dataclass
class _Found:
    """The best effects and dual values of every sample so far, in float64 and the unit of max|w|."""

    targets: Tensor
    box: Tensor
    exact: SymmetricInverse
    effects: Tensor
    duals: Tensor
    l1: Tensor
    bound: Tensor
    iterations: Tensor

    @classmethod
    def start(cls, targets: Tensor, box: Tensor) -> _Found:
        samples, size = targets.shape
        nothing = torch.zeros(samples, device=targets.device, dtype=torch.float64)
        # One dual value at the largest target proves that ‖z‖₁ ≥ max|w| − ζ.
        largest = targets.abs().argmax(dim=-1, keepdim=True)
        return cls(
            targets=targets,
            box=box,
            exact=SymmetricInverse(lattice.variable_count(targets), nothing[:1]),
            effects=targets.new_zeros(samples, 2, size),
            duals=torch.zeros_like(targets).scatter_(-1, largest, targets.gather(-1, largest).sign()),
            l1=torch.full_like(nothing, torch.inf),
            bound=1 - box,
            iterations=torch.zeros(samples, dtype=torch.int64, device=targets.device),
        )

    def offer(self, index: Tensor, effects: Tensor, duals: Tensor) -> Tensor:
        """Take effects, closed, and dual values where they are better than before; returns the relative gaps."""
        closed = self._closed(index, effects)
        l1 = closed.abs().sum(dim=(1, 2))
        better = l1 < self.l1[index]
        self.effects[index[better]] = closed[better]
        self.l1[index[better]] = l1[better]
        bound = dual_bound(self.targets[index], self.box[index], duals)
        better = bound > self.bound[index]
        self.duals[index[better]] = duals[better]
        self.bound[index[better]] = bound[better]
        return relative_gap(self.l1[index], self.bound[index])

    def _closed(self, index: Tensor, effects: Tensor) -> Tensor:
        r"""Move the effects the same share of the way to :math:`\Phi z = w` in all targets, until all are in the box.

        The rest shrinks by the factor :math:`\zeta / \zeta'`.
        """
        targets, box = self.targets[index], (self.box[index] - _MARGIN).clamp(min=0)
        for _ in range(_CLOSINGS):
            rest = residuals(targets, effects)
            share = (1 - box / rest.abs().amax(dim=-1)).nan_to_num(nan=0.0).clamp(min=0)
            if not share.any():
                break
            effects = effects + apply_transpose(self.exact.solve(share[:, None] * rest))
        return effects


@dataclass
class _Batch:
    r"""The samples still being solved, one row each, in float32 and the unit of max|w|.

    Attributes:
        index: which row of the chunk each one is.
        targets: :math:`w`.
        box: :math:`\zeta`, ``(rows, 1)``.
        shift: :math:`c`, ``(rows, 1)``.
        inverse: of :math:`\Phi\Phi^\top + cI`.
        effects: :math:`z`.
        push: :math:`u`, what shrinking took from the effects.
        rest: :math:`r`.
        overflow: :math:`q - r`, what the box took from the rest.
        step: :math:`\kappa`, ``(rows, 1)``.
        settled: whether the step may fall fast.
    """

    index: Tensor
    targets: Tensor
    box: Tensor
    shift: Tensor
    inverse: SymmetricInverse
    effects: Tensor
    push: Tensor
    rest: Tensor
    overflow: Tensor
    step: Tensor
    settled: Tensor

    @classmethod
    def start(cls, found: _Found, effects: Tensor, duals: Tensor) -> _Batch:
        size = found.targets.shape[-1]
        index = torch.arange(len(found.targets), device=found.targets.device)
        found.offer(index, effects, duals)
        shift = size * (_SHIFTS[0] + _SHIFTS[1] * found.box**_SHIFT_POWER)
        box = found.box[:, None]
        rest = residuals(found.targets, effects)
        return cls(
            index=index,
            targets=found.targets.float(),
            box=box.float(),
            shift=shift[:, None].float(),
            inverse=SymmetricInverse(lattice.variable_count(found.targets), shift, torch.float32),
            effects=effects.float(),
            push=(_FIRST_STEP * apply_transpose(duals)).float(),
            rest=rest.clamp(-box, box).float(),
            overflow=(_FIRST_STEP * shift[:, None] * duals).float(),
            step=torch.full_like(box, _FIRST_STEP).float(),
            settled=torch.zeros_like(index, dtype=torch.bool),
        )

    def multipliers(self) -> Tensor:
        r"""The projection's :math:`\nu`."""
        return self.inverse.solve(_explained(self.effects - self.push) + (self.rest - self.overflow) - self.targets)

    def price(self, duals: Tensor) -> Tensor:
        """The objective, with what it takes at most to bring the rest of every target into its box."""
        outside = (self.targets - _explained(self.effects)).abs() - self.box
        return self.effects.abs().sum(dim=(1, 2)) + (duals.abs() * outside.clamp(min=0)).sum(dim=1)

    def advance(self, multipliers: Tensor) -> None:
        moved = self.effects + (1 - _RELAXATION) * self.push - _RELAXATION * _slopes(multipliers)
        step = self.step[:, None]
        # `clamp` takes several times as long where its bounds are broadcast.
        self.push = torch.minimum(torch.maximum(moved, -step), step)
        self.effects = moved - self.push
        moved = self.rest + (1 - _RELAXATION) * self.overflow - _RELAXATION * self.shift * multipliers
        self.rest = torch.minimum(torch.maximum(moved, -self.box), self.box)
        self.overflow = moved - self.rest

    def lower_step(self, factor: float) -> None:
        """Let κ fall by a factor, faster where settled; effects, rest and dual values stay."""
        fast = (_LAST_STEP / _FIRST_STEP) ** (_STEP_FALLS_EVERY / _DESCENT)
        factors = torch.full_like(self.step, factor).masked_fill(self.settled[:, None], min(fast, factor))
        step = (self.step * factors).clamp(min=_LAST_STEP)
        self.overflow *= step / self.step
        self.push *= (step / self.step)[:, None]
        self.step = step

    def keep(self, rows: Tensor) -> None:
        for name in ("index", "targets", "box", "shift", "effects", "push", "rest", "overflow", "step", "settled"):
            setattr(self, name, getattr(self, name)[rows])
        self.inverse.keep(rows)


def _iterate(batch: _Batch, found: _Found, target_gap: float, max_iterations: int) -> None:
    for iteration in range(max_iterations + 1):
        check_stop()
        multipliers = batch.multipliers()
        if iteration % _CHECK_EVERY == 0 or iteration == max_iterations:
            duals = -multipliers.double() / batch.step
            gap = found.offer(batch.index, batch.effects.double(), duals)
            found.iterations[batch.index] = iteration
            batch.settled |= (1 - found.bound[batch.index] / batch.price(duals)).abs() <= _SETTLED * target_gap
            unfinished = gap > target_gap
            if not unfinished.any():
                break
            if not unfinished.all():
                rows = unfinished.nonzero()[:, 0]
                batch.keep(rows)
                multipliers = multipliers[rows]
        batch.advance(multipliers)
        if iteration % _STEP_FALLS_EVERY == 0:
            batch.lower_step(_fall(iteration + _STEP_FALLS_EVERY, max_iterations) / _fall(iteration, max_iterations))


def _fall(iteration: int, max_iterations: int) -> float:
    """κ after so many iterations, relative to the first, as long as a sample is not settled."""
    return (_LAST_STEP / _FIRST_STEP) ** (min(1.0, iteration / (_FALLING * max_iterations)) ** _CURVE)


def _explained(effects: Tensor) -> Tensor:
    """Φz in the precision of the effects, which are 0 at the empty set."""
    below_and, below_or = lattice.zeta(effects, dtype=None).unbind(dim=1)
    return below_and - below_or.flip(-1) + below_or[:, -1:]


def _slopes(duals: Tensor) -> Tensor:
    """Φᵀy in the precision of the dual values, which are 0 at the empty set."""
    sums = lattice.zeta(torch.stack([duals.flip(-1), duals], dim=1), dtype=None)
    slopes = torch.empty_like(sums)
    torch.sub(sums[:, 1, -1:], sums[:, 1].flip(-1), out=slopes[:, 1])
    slopes[:, 0] = sums[:, 0].flip(-1)
    slopes[:, 0, 0] = 0
    return slopes


def check_warm_start(warm_start: WarmStart | None, targets: Tensor) -> None:
    """Refuse a solution of other samples or variables.

    Raises:
        ValueError: if its shape is not that of ``targets``.

    Example:
        >>> check_warm_start(None, torch.zeros(1, 4))
    """
    if warm_start is not None and warm_start.and_.shape != targets.shape:
        msg = (
            f"`warm_start` must solve the same samples and variables, shape {tuple(targets.shape)}, got"
            f" {tuple(warm_start.and_.shape)}. HINT: pass the `Solution` of the previous call for these samples."
        )
        raise ValueError(msg)


def _check_options(target_gap: float, max_iterations: int, max_memory_mb: int) -> None:
    if not target_gap > 0:
        msg = f"`target_gap` must be a positive number, got {target_gap!r}. HINT: 0.01 is the default."
        raise ValueError(msg)
    check_whole(minimum=1, hint="300 to 3,000 are usual.", max_iterations=max_iterations)
    check_whole(minimum=0, max_memory_mb=max_memory_mb)
