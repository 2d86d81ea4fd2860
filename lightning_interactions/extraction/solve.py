"""One door to all solvers: check the input, solve, certify, warn."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_interactions import lattice
from lightning_interactions.checks import check_whole
from lightning_interactions.extraction import threads
from lightning_interactions.extraction.admm import admm, bytes_per_sample, check_warm_start
from lightning_interactions.extraction.dummies import without_dummies
from lightning_interactions.extraction.interior_point import interior_point
from lightning_interactions.extraction.lowest_order import FACE_ACCURACY, lowest_order
from lightning_interactions.extraction.normal_matrix import NormalMatrix
from lightning_interactions.extraction.programme import (
    DEFAULT_MEMORY_MB,
    Solution,
    WarmStart,
    certified_solution,
    residuals,
    targets_of,
)
from lightning_interactions.extraction.sgd import half_split, sgd
from lightning_interactions.extraction.sign_dual import sign_dual
from lightning_interactions.masking.devices import autocast_off
from lightning_interactions.masking.observe import full_float32

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AUTO", "OPTIONS", "SOLVERS", "resolve_solver", "solve"]

_Found = tuple[Tensor, Tensor, Tensor]
"""Effects, dual values and iterations."""

_OVERSHOOT = 1e-9
"""Accepted excess over ζ, relative to ζ, or to max|w| where ζ = 0."""


AUTO = "auto"
"""The name under which the cost of the exact solution chooses the solver."""

_EXACT_SECONDS = {"cpu": {8: 0.0105, 10: 0.13, 12: 5.6}}
"""The most that the exact solution of a sample took in runs of ``benchmarks/extraction.py``, by type of device and n;
on a CPU, with two cores. A type that is not here has not been measured, and counts as a CPU."""

_PATIENCE_SECONDS = 60.0
"""How long ``"auto"`` lets the exact solution of all samples take."""


def solve(
    values: Tensor,
    noise_bound: float | Tensor = 0.0,
    solver: str = "interior_point",
    *,
    tolerance: float = 1e-6,
    merge_order_one: bool = True,
    **options: Any,
) -> Solution:
    r"""Split network outputs into sparse AND and OR interactions, with a certificate.

    .. math::
        \min \|I^{AND}\|_1 + \|I^{OR}\|_1 \quad\text{s.t.}\quad
        \Bigl| v(x_T) - v(x_\varnothing) - \sum_{\varnothing \neq S \subseteq T} I^{AND}_S
        - \sum_{S \cap T \neq \varnothing} I^{OR}_S \Bigr| \le \zeta \quad \text{for all } T \qquad \text{(Appendix D)}

    ==================  ===============================================================================================
    solver              what it does
    ==================  ===============================================================================================
    ``interior_point``  the optimum, to ``tolerance``; options ``tie_break`` (``"none"`` or ``"lowest_order"``, see
                        :mod:`.lowest_order`), ``max_iterations`` and ``max_memory_mb``
    ``admm``            nearly the optimum, far faster and for large ``n``; options ``target_gap``,
                        ``max_iterations``, ``warm_start`` (an earlier :class:`Solution`) and ``max_memory_mb``
    ``sgd``             the published recipe; options ``steps`` and ``learning_rate``
    ``none``            no optimisation: half AND, half OR (γ = 0, δ = 0)
    ``auto``            ``interior_point`` where that takes a minute at most, else ``admm``; see
                        :func:`resolve_solver`
    ==================  ===============================================================================================

    Args:
        values: network outputs on all masked samples, ``(samples, 2**n)``, any floating-point type; a single sample
            must be given as ``(1, 2**n)``. Computed in float64 on the device of ``values``.
        noise_bound: :math:`\zeta` in the unit of ``values``: one number or a tensor ``(samples,)``.
        solver: one of :data:`SOLVERS`, or ``"auto"``.
        tolerance: relative gap that ``interior_point`` must reach; ``admm`` has its ``target_gap``.
        merge_order_one: report the sum of the AND and the OR effect of each single variable as its AND effect; only the
            sum is identified. ``interior_point`` never splits them.
        **options: passed to the solver.

    On a CPU each of torch's threads solves some of the samples alone, so that neither their number, nor the memory, nor
    the other samples change the result. A variable that changes no output has no effects.

    Returns:
        Effects and their certificate, recomputed from the effects returned. They keep to :math:`\zeta` up to a relative
        1e-9 (up to 1e-9 of the largest :math:`|w_T|` where :math:`\zeta = 0`).

    Raises:
        ValueError: for values of the wrong shape or not finite, a noise bound that is negative, not finite or of the
            wrong shape, an unknown solver, or a tolerance that is not positive.
        TypeError: for values that are not floating-point numbers, or an option that the solver does not have.

    Warns:
        UserWarning: once a call, when ``interior_point`` missed ``tolerance`` for some samples, or ``admm`` its
            ``target_gap`` (0.05 where none is given).

    Example:
        >>> values = torch.tensor([[1.0, 3.0, -2.0, 0.0]])
        >>> solution = solve(values)
        >>> solution.and_.round(decimals=6).tolist()
        [[0.0, 2.0, -3.0, 0.0]]
        >>> round(solution.l1.item(), 6), solution.gap.item() < 1e-6
        (5.0, True)
    """
    _check_values(values)
    _check_tolerance(tolerance)
    solver = resolve_solver(solver, lattice.variable_count(values), len(values), values.device.type)
    _check_options(solver, options)
    box = _checked_noise_bound(noise_bound, values)
    targets = targets_of(values)
    if not targets.isfinite().all():
        msg = (
            "`values` must differ from the value of the empty coalition by numbers that float64 can hold, got a"
            f" difference of {values.double().amax().item():g} and {values.double().amin().item():g}."
            " HINT: divide them by their largest magnitude."
        )
        raise ValueError(msg)
    # Some products are float32; TF32 or bfloat16 would cost the digits that the certificate asks for.
    with full_float32(), autocast_off({"cpu", values.device.type}), threads.one_thread():
        find = _find_without_dummies if solver in _OPTIMAL else _find
        effects, duals, iterations = find(solver, targets, box, tolerance, options)
        effects = _made_feasible(targets, box, effects)
        solution = certified_solution(targets, box, effects, duals, iterations, merged=merge_order_one)
    if solver in _OPTIMAL:
        goal = tolerance if solver == "interior_point" else options.get("target_gap", _FAIR_GAP)
        _warn_if_missed(solution, solver, goal)
    return solution


def _find_without_dummies(
    solver: str, targets: Tensor, noise_bound: Tensor, tolerance: float, options: dict[str, Any]
) -> _Found:
    """Let only the variables that matter have effects."""
    effects, duals = torch.zeros_like(targets)[:, None].repeat(1, 2, 1), torch.zeros_like(targets)
    iterations = torch.zeros(len(targets), dtype=torch.int64, device=targets.device)
    warm_start = options.get("warm_start")
    check_warm_start(warm_start, targets)
    for game in without_dummies(targets):
        start = _start(warm_start, targets, game.of, game.summed)
        found = _find(solver, game.of(targets), noise_bound[game.rows], tolerance, options | start)
        game.put(found[0], effects)
        game.put(found[1], duals)
        iterations[game.rows] = found[2]
    return effects, duals, iterations


def _find(solver: str, targets: Tensor, noise_bound: Tensor, tolerance: float, options: dict[str, Any]) -> _Found:
    """Let every thread solve some of the samples."""
    samples = len(targets)
    workers = min(threads.most_workers(targets.device), max(1, targets.numel() // _LEAST_SUBSETS[solver]))
    if solver in _BYTES_PER_SAMPLE:
        memory = options.get("max_memory_mb", DEFAULT_MEMORY_MB)
        check_whole(minimum=0, max_memory_mb=memory)
        least = _BYTES_PER_SAMPLE[solver](lattice.variable_count(targets))
        workers = max(1, min(workers, samples, (memory << 20) // least))
        options = options | {"max_memory_mb": memory // workers}

    def solve_part(part: slice) -> _Found:
        start = _start(options.get("warm_start"), targets, itemgetter(part))
        return SOLVERS[solver](targets[part], noise_bound[part], tolerance, **options | start)

    effects, duals, iterations = zip(*threads.in_parts(solve_part, samples, workers), strict=True)
    return torch.cat(effects), torch.cat(duals), torch.cat(iterations)


@dataclass(frozen=True)
class _Start:
    """A part of an earlier solution."""

    and_: Tensor
    or_: Tensor
    duals: Tensor


def _start(
    warm_start: WarmStart | None,
    targets: Tensor,
    picked: Callable[[Tensor], Tensor],
    summed: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, _Start | None]:
    """The option that starts from a part of an earlier solution; without dual values there is nothing to start from.

    Args:
        warm_start: the whole of it.
        targets: those to be solved, whose type it is to have.
        picked: takes the part of AND effects.
        summed: takes that of OR effects and dual values; by default likewise.
    """
    summed = summed or picked
    if warm_start is None:
        return {}
    if warm_start.duals is None:
        return {"warm_start": None}
    and_, or_, duals = (table.to(targets) for table in (warm_start.and_, warm_start.or_, warm_start.duals))
    return {"warm_start": _Start(picked(and_), summed(or_), summed(duals))}


def _interior_point(
    targets: Tensor, noise_bound: Tensor, tolerance: float, *, tie_break: str = "none", **options: Any
) -> _Found:
    _check_tie_break(tie_break)
    if tie_break == "none":
        return interior_point(targets, noise_bound, tolerance=tolerance, **options)
    effects, duals, iterations = interior_point(targets, noise_bound, tolerance=FACE_ACCURACY * tolerance, **options)
    return lowest_order(targets, noise_bound, effects, duals, tolerance=tolerance, **options), duals, iterations


def _admm(targets: Tensor, noise_bound: Tensor, _: float, **options: Any) -> _Found:
    return admm(targets, noise_bound, **options)


def _sgd(targets: Tensor, noise_bound: Tensor, _: float, **options: Any) -> _Found:
    effects, steps = sgd(targets, noise_bound, **options)
    return effects, sign_dual(targets, noise_bound, effects), steps


def _none(targets: Tensor, noise_bound: Tensor, _: float) -> _Found:
    effects = half_split(targets)
    return (
        effects,
        sign_dual(targets, noise_bound, effects),
        torch.zeros(len(targets), dtype=torch.int64, device=targets.device),
    )


SOLVERS: dict[str, Callable[..., _Found]] = {
    "interior_point": _interior_point,
    "sgd": _sgd,
    "none": _none,
    "admm": _admm,
}
"""Every solver by name: from targets, noise bound and tolerance to effects, dual values and iterations."""

OPTIONS = {
    "interior_point": ("tie_break", "max_iterations", "max_memory_mb"),
    "admm": ("target_gap", "max_iterations", "warm_start", "max_memory_mb"),
    "sgd": ("steps", "learning_rate"),
    "none": (),
}
"""What can be set, by the name of the solver."""

_OPTIMAL = ("interior_point", "admm")
"""The solvers that look for the optimum; the others are recipes, which say what they do with each variable."""

_BYTES_PER_SAMPLE = {"interior_point": NormalMatrix.bytes_per_sample, "admm": bytes_per_sample}
"""Memory for one sample of ``n`` variables, of the solvers with an option for it."""

_LEAST_SUBSETS = {"interior_point": 1 << 9, "admm": 1 << 12, "sgd": 1 << 12, "none": 1 << 12}
"""Each thread has so many subsets to itself, at least: with fewer, its calls cost more than the work that it takes."""

_FAIR_GAP = 0.05
"""Gap that ``admm`` should reach where no target is given."""

_REMEDIES = {
    "interior_point": "float64 cannot do better where the noise bound is tiny.",
    "admm": "more `max_iterations` come nearer, and solver='interior_point' to the optimum.",
}

TIE_BREAKS = ("lowest_order", "none")
"""What decides among equally sparse effects: the smallest total order, or nothing."""


def _made_feasible(targets: Tensor, noise_bound: Tensor, effects: Tensor) -> Tensor:
    """Let AND effects absorb what exceeds the noise bound: the last resort, after which the bound holds in any case."""
    rest = residuals(targets, effects)
    box = noise_bound[:, None]
    excess = rest - rest.clamp(-box, box)
    allowed = torch.where(noise_bound > 0, noise_bound, targets.abs().amax(dim=-1)) * _OVERSHOOT
    outside = excess.abs().amax(dim=-1) > allowed
    correction = torch.stack([lattice.moebius(excess), torch.zeros_like(excess)], dim=1)
    return torch.where(outside[:, None, None], effects + correction, effects)


def _warn_if_missed(solution: Solution, solver: str, goal: float) -> None:
    missed = int((~(solution.gap <= goal)).sum())  # a gap that is not a number is missed too
    if missed:
        warnings.warn(
            f"{missed} of {len(solution.gap)} samples are not solved to a relative gap of {goal:g}: the largest is"
            f" {solution.gap.max().item():.2g}. The effects meet the noise bound but may not be the sparsest."
            f" HINT: `.gap` tells which samples; {_REMEDIES[solver]}",
            stacklevel=3,
        )


def resolve_solver(solver: str, n_variables: int, n_samples: int = 1, device: str = "cpu") -> str:
    """The solver that a name stands for.

    ``"auto"`` takes the exact solution while that of all samples needs a minute at most, going by what
    ``benchmarks/extraction.py`` measures on two cores of a CPU: 0.01, 0.13 and 5.6 s a sample at n = 8, 10 and 12, and
    40 s at 13. Beyond that ``admm`` takes a fraction of the time, and its gap proves how near it comes. Solving samples
    together saves memory traffic, not work, so the cost grows with their number. It does not go by the threads at hand:
    the same samples would have other effects on another machine. GPUs have not been measured: the same holds there.

    ======  ===============  ==================  =======================================
    n       samples          ``"auto"`` is       which is
    ======  ===============  ==================  =======================================
    1 … 10  to 461           ``interior_point``  the optimum, proven to ``tolerance``
    11      to 70            ``interior_point``  likewise
    12      to 10            ``interior_point``  likewise
    13      1                ``interior_point``  likewise
    14 …    1                ``admm``            nearly the optimum, with a proven gap
    any     more than these  ``admm``            likewise
    ======  ===============  ==================  =======================================

    Args:
        solver: one of :data:`SOLVERS`, or ``"auto"``.
        n_variables: the number of input variables ``n``.
        n_samples: how many samples are to be solved, wherever the parts of them are.
        device: type of the device that the values are on.

    Returns:
        one of :data:`SOLVERS`.

    Raises:
        ValueError: if there is no solver of that name.

    Example:
        >>> resolve_solver("auto", 10, 50), resolve_solver("auto", 12, 50), resolve_solver("sgd", 12, 50)
        ('interior_point', 'admm', 'sgd')
    """
    if solver == AUTO:
        seconds = n_samples * _exact_seconds(n_variables, device)
        return "interior_point" if seconds <= _PATIENCE_SECONDS else "admm"
    if solver not in SOLVERS:
        names = ", ".join(map(repr, (*SOLVERS, AUTO)))
        msg = f"`solver` must be one of {names}, got {solver!r}. HINT: check the spelling."
        raise ValueError(msg)
    return solver


def _exact_seconds(n_variables: int, device: str) -> float:
    """The measured cost of a sample, a straight line between and beyond the points in log seconds over n."""
    measured = _EXACT_SECONDS.get(device, _EXACT_SECONDS["cpu"])
    below, above = (8, 10) if n_variables <= 10 else (10, 12)  # noqa: PLR2004  # the points measured
    slope = math.log(measured[above] / measured[below]) / (above - below)
    return measured[below] * math.exp(slope * (n_variables - below))


def _check_values(values: Tensor) -> None:
    if not values.is_floating_point():
        msg = (
            f"`values` must be floating-point numbers, got dtype {values.dtype}. HINT: convert with `values.double()`."
        )
        raise TypeError(msg)
    if values.ndim != 2:  # noqa: PLR2004
        msg = (
            f"`values` must have the shape (samples, 2**n), got {tuple(values.shape)}."
            f" HINT: a single sample is `values[None]`."
        )
        raise ValueError(msg)
    try:
        lattice.variable_count(values)
    except ValueError as error:
        msg = f"`values`: {error} HINT: one column for every subset, in the order of `lattice.subset_masks(n)`."
        raise ValueError(msg) from error
    finite = values.isfinite().all(dim=-1)
    if not finite.all():
        wrong = (~finite).nonzero()[:, 0].tolist()
        msg = (
            f"`values` must be finite, got NaN or infinity in {len(wrong)} of {len(values)} samples, first in sample"
            f" {wrong[0]}. HINT: log-odds overflow when computed from probabilities; compute them from logits."
        )
        raise ValueError(msg)


def _check_options(solver: str, options: dict[str, Any]) -> None:
    for name in options:
        if name not in OPTIONS[solver]:
            known = ", ".join(map(repr, OPTIONS[solver])) or "no options"
            others = ", ".join(repr(other) for other, names in OPTIONS.items() if name in names)
            hint = f"{others} can take it." if others else "check the spelling."
            msg = f"`{name}` is no option of solver={solver!r}, which takes {known}. HINT: {hint}"
            raise TypeError(msg)


def _check_tie_break(tie_break: str) -> None:
    if tie_break not in TIE_BREAKS:
        known = ", ".join(map(repr, TIE_BREAKS))
        msg = f"`tie_break` must be one of {known}, got {tie_break!r}. HINT: check the spelling."
        raise ValueError(msg)


def _check_tolerance(tolerance: float) -> None:
    if not (tolerance > 0 and math.isfinite(tolerance)):
        msg = (
            f"`tolerance` must be a positive number, got {tolerance!r}. HINT: 1e-6 is the default, 1e-9 near the limit."
        )
        raise ValueError(msg)


def _checked_noise_bound(noise_bound: float | Tensor, values: Tensor) -> Tensor:
    box = torch.as_tensor(noise_bound, dtype=torch.float64, device=values.device)
    if box.shape not in ((), (len(values),)):
        msg = (
            f"`noise_bound` must be one number or have the shape ({len(values)},), one entry a sample, got shape"
            f" {tuple(box.shape)}. HINT: squeeze extra axes."
        )
        raise ValueError(msg)
    if not ((box >= 0) & box.isfinite()).all():
        wrong = box[~((box >= 0) & box.isfinite())].flatten()[0].item()
        msg = (
            f"`noise_bound` must be finite and at least 0, got {wrong}."
            f" HINT: it is ζ in the unit of `values`, usually 0.02 times the mean of |v(x) − v(x_∅)|."
        )
        raise ValueError(msg)
    return box.expand(len(values))
