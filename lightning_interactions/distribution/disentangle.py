r"""Separate the generalisable (decay) from the non-generalisable (spindle) strength of interactions (Eq. 9).

.. math:: \min_{\alpha, \beta, \gamma, \delta} \sum_m \sum_\pm
    \left( A^{(m),\pm} - \gamma A^{(m),\pm}_{decay}(\delta) - \beta A^{(m)}_{spindle}(\alpha) \right)^2,
    \qquad \beta, \gamma \ge 0

For fixed :math:`(\alpha, \delta)` the best non-negative :math:`(\gamma, \beta)` has a closed form (variable
projection), so a grid over :math:`(\alpha, \delta)` covers the whole problem in one batched operation, for every
bootstrap sample at once. The best cell is then refined.

What the paper leaves open, and what is chosen here: the reference :math:`I^*` is the caller's; the range of
:math:`\delta` is a parameter, because it decides how much of the strength can pass as decay; and no number is given
without an interval. That of the spindle share are the shares that fit nearly as well as the best one, by a bootstrap
over the samples (:mod:`~lightning_interactions.distribution.plausible`); for the other parameters it is their range in
fits that are as good. A share whose interval spans more than :data:`WIDEST_SHARE` is not identified. Without samples,
the shares with :math:`R^2` within :data:`PROFILE_TOLERANCE` of the best are the interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import scipy.optimize
import torch
from torch import Tensor

from lightning_interactions.checks import check_ranges, check_whole
from lightning_interactions.distribution.decay import Decays
from lightning_interactions.distribution.plausible import PlausibleShares
from lightning_interactions.distribution.projection import Cells, Fits, Products
from lightning_interactions.distribution.spindle import spindle
from lightning_interactions.distribution.strength import Effects, check_strength, salient_effects
from lightning_interactions.interactions import check_interactions
from lightning_interactions.masking.devices import new_tensors_on_cpu

if TYPE_CHECKING:
    from lightning_interactions.interactions import Interactions

__all__ = ["PROFILE_TOLERANCE", "WIDEST_SHARE", "Disentangled", "disentangle"]

PROFILE_TOLERANCE = 0.01
"""How far below the best the R² of a fit may lie that still counts as good, where there are no samples to tell."""

WIDEST_SHARE = 0.5
"""A spindle share whose interval is wider than this is not identified."""

_DELTAS = 61
_ALPHAS = 57
_SHARES = 201
_FINE = 31
"""Points of the finer grid between the neighbours of the best (α, δ): with little noise, no point of the coarse one but
the best may be plausible."""
_PARAMETERS = ("alpha", "beta", "gamma", "delta", "spindle_share")


@dataclass(frozen=True, eq=False)
class Disentangled:
    r"""Strength of a network's interactions, split into decay and spindle.

    Attributes:
        alpha: :math:`\alpha` of the spindle; its peak is near order :math:`\alpha n / 2`.
        beta: :math:`\beta`, the spindle's size, in the unit of the strength.
        gamma: :math:`\gamma`, the decay's size.
        delta: :math:`\delta`, the parameter noise in the decay.
        decay: the decay part of the positive and the negative strength, ``(2, n)``, in the unit of the strength.
        spindle: the spindle part, the same for both signs, ``(n,)``, in the unit of the strength.
        residual: what neither explains, ``(2, n)``, in the unit of the strength.
        r_squared: share of the squared strength that the two parts explain.
        relative_l1: :math:`\sum |residual| / \sum A`.
        spindle_share: :math:`\sum spindle / \sum (spindle + decay)` over orders and signs; NaN where both are 0.
        intervals: for each parameter and the share, the lowest and highest plausible value.
        identified: whether the interval of the share is at most :data:`WIDEST_SHARE` wide.
        verdict: the same in words.
    """

    alpha: float
    beta: float
    gamma: float
    delta: float
    decay: Tensor
    spindle: Tensor
    residual: Tensor
    r_squared: float
    relative_l1: float
    spindle_share: float
    intervals: dict[str, tuple[float, float]]
    identified: bool
    verdict: str


@new_tensors_on_cpu()
def disentangle(
    positive: Tensor,
    negative: Tensor,
    reference: Interactions | Effects | Decays,
    *,
    threshold: float | None = None,
    delta_range: tuple[float, float] = (1e-6, 1.0),
    alpha_range: tuple[float, float] = (0.1, 1.5),
    bootstraps: int = 200,
    coverage: float = 0.9,
    seed: int = 0,
) -> Disentangled:
    r"""Fit decay and spindle to the strength of a network's interactions (Eq. 9).

    Args:
        positive: strength of the positive effects of each order, ``(n,)``, or ``(samples, n)`` as
            :func:`~.strength.sample_order_strength` returns it; only then is there a bootstrap.
        negative: likewise, non-negative.
        reference: :math:`I^*`, what the decay is made from: usually the network at the end of the normal phase. Fitting
            a network to itself always succeeds, with :math:`\delta \to 0`, and says nothing. Many fits with one
            reference are faster with its :class:`~.decay.Decays`.
        threshold: effects of the reference up to this absolute value are left out; ``None`` takes its own, 0 none. Of
            ``Decays``, which are made after that, only ``None`` is taken.
        delta_range: the :math:`\delta` allowed.
        alpha_range: the :math:`\alpha` allowed.
        bootstraps: resamplings of the samples; those of the reference are drawn along where there are as many.
        coverage: probability that an interval holds the truth.
        seed: decides the resampling.

    Returns:
        the two parts, their parameters and intervals.

    Raises:
        TypeError: if the reference is no :class:`~lightning_interactions.Interactions`, or ``bootstraps`` no
            whole number.
        ValueError: if the shapes or the orders do not match the reference's, for strength that is not finite, negative
            or all zero, for a range that is reversed or not positive, or for a threshold beside ``Decays``.

    Example:
        >>> import torch
        >>> from lightning_interactions import sparsify
        >>> reference = sparsify(torch.tensor([[0.0, 1.0, 2.0, 3.5, 1.0, 2.5, 3.0, 5.0]]))
        >>> from lightning_interactions.distribution.decay import decay
        >>> up, down = decay(reference.and_, reference.or_, delta=0.01, gamma=2.0)
        >>> noise = spindle(3, alpha=1.0, beta=0.5)
        >>> found = disentangle(up + noise, down + noise, reference, threshold=0.0, delta_range=(1e-4, 0.1))
        >>> round(found.r_squared, 4)
        1.0
    """
    if not isinstance(reference, (Effects, Decays)):
        check_interactions(reference=reference)
    check_whole(minimum=0, bootstraps=bootstraps)
    check_ranges(delta_range=delta_range, alpha_range=alpha_range)
    of_reference = _decays(reference, threshold)
    strength = _stacked(positive, negative, of_reference.n_variables)
    low, high = delta_range
    log_deltas = torch.linspace(math.log(low), math.log(high), _DELTAS, dtype=torch.float64)
    alphas = torch.linspace(*alpha_range, _ALPHAS, dtype=torch.float64)
    decays = of_reference.both_signs_kept(log_deltas.exp())
    coarse = Products.of(strength.mean(dim=0)[None], decays.mean(dim=1)[None], _both_signs(alphas, strength))
    alpha, delta = _refine(coarse.fits(), log_deltas, alphas, strength, of_reference)
    finer = _between_neighbours(log_deltas, math.log(delta))
    log_deltas = torch.cat([log_deltas, finer])
    alphas = torch.cat([alphas, _between_neighbours(alphas, alpha)])
    decays = torch.cat([decays, of_reference.both_signs(finer.exp())])
    spindles, cells = _both_signs(alphas, strength), Cells.of((_DELTAS, _ALPHAS), (_FINE, _FINE))
    mean, decay_shape = strength.mean(dim=0), of_reference.both_signs(delta).mean(dim=0)
    tried = Products.of(mean[None], decays.mean(dim=1)[None], spindles).at(cells)
    best = Products.of(mean[None], decay_shape[None, None], _both_signs(_alone(alpha), strength))
    point = {"alpha": alpha, "delta": delta, **best.fits().numbers()}
    shares = _shares(point["spindle_share"])
    losses = tried.best_at_shares(shares)[0]
    allowed = torch.full_like(shares, PROFILE_TOLERANCE * tried.aa.item())
    if len(strength) > 1 and bootstraps > 0:
        plausible = PlausibleShares(strength, decays, spindles, cells, tried, bootstraps=bootstraps, seed=seed)
        allowed = plausible.allowed(shares, losses, shares[-1].item(), coverage)
    intervals = _intervals(tried, log_deltas.exp()[cells.rows], alphas[cells.columns], point, (shares, losses, allowed))
    return _result(point, intervals, mean, decay_shape)


def _decays(reference: Interactions | Effects | Decays, threshold: float | None) -> Decays:
    if not isinstance(reference, Decays):
        return Decays(*salient_effects(reference, threshold))
    if threshold is not None:
        msg = (
            f"`threshold` must be None where `reference` is Decays, got {threshold}: their effects are chosen already."
            f" HINT: make them of `salient_effects(interactions, threshold)`, or pass the interactions."
        )
        raise ValueError(msg)
    return reference


def _between_neighbours(values: Tensor, best: float) -> Tensor:
    """Points from one neighbour of ``best`` on an even grid to the other, ``best`` among them."""
    step = (values[1] - values[0]).item()
    points = best + step * torch.linspace(-1, 1, _FINE, dtype=torch.float64)
    return points.clamp(values[0].item(), values[-1].item())


def _refine(grid: Fits, log_deltas: Tensor, alphas: Tensor, strength: Tensor, reference: Decays) -> tuple[float, float]:
    """The best (α, δ) of all samples together, searched around the best cell of the grid."""
    mean = strength.mean(dim=0)[None]
    row, column = divmod(int(grid.r_squared[0].argmax()), len(alphas))

    def loss(point: tuple[float, float]) -> float:
        decays = reference.both_signs(math.exp(point[1])).mean(dim=0)
        products = Products.of(mean, decays[None, None], _both_signs(_alone(point[0]), strength))
        return 1 - products.fits().r_squared.item()

    def around(values: Tensor, index: int) -> tuple[float, float]:
        return values[max(index - 1, 0)].item(), values[min(index + 1, len(values) - 1)].item()

    start = (alphas[column].item(), log_deltas[row].item())
    found = scipy.optimize.minimize(
        loss,
        start,
        method="Nelder-Mead",
        bounds=(around(alphas, column), around(log_deltas, row)),
        options={"xatol": 1e-3},
    )
    alpha, log_delta = found.x if found.fun <= loss(start) else start
    return float(alpha), math.exp(log_delta)


def _shares(best: float) -> Tensor:
    """The shares that are looked at; the best one is the last."""
    shares = torch.linspace(0, 1, _SHARES, dtype=torch.float64)
    if not math.isfinite(best):
        return shares
    return torch.cat([shares, _between_neighbours(shares, best), torch.tensor([best], dtype=torch.float64)])


def _intervals(
    tried: Products,
    deltas: Tensor,
    alphas: Tensor,
    point: dict[str, float],
    by_share: tuple[Tensor, Tensor, Tensor],
) -> dict[str, tuple[float, float]]:
    """Every parameter's values in the fits whose loss is plausible.

    Args:
        tried: all pairs of δ and α.
        deltas: of each pair.
        alphas: likewise.
        point: the best fit.
        by_share: the shares looked at, the best one last; the loss of the best fit with each; how much more than the
            smallest loss that may be.
    """
    shares, at_shares, allowed = by_share
    fits = tried.fits()
    losses = (tried.aa * (1 - fits.r_squared)).flatten()
    plausible = losses <= losses.min() + allowed[-1]
    # For the share there is more than the best fit of each α and δ.
    values = {
        "alpha": alphas[plausible],
        "beta": fits.beta.flatten()[plausible],
        "gamma": fits.gamma.flatten()[plausible],
        "delta": deltas[plausible],
        "spindle_share": shares[at_shares <= losses.min() + allowed],
    }
    intervals = {}
    for name in _PARAMETERS:
        ends = [end for end in (point[name], *values[name].tolist()) if math.isfinite(end)]
        intervals[name] = (min(ends), max(ends)) if ends else (math.nan, math.nan)
    return intervals


def _result(
    point: dict[str, float], intervals: dict[str, tuple[float, float]], strength: Tensor, decay_shape: Tensor
) -> Disentangled:
    n_variables = len(strength) // 2
    decay_part = point["gamma"] * decay_shape.reshape(2, n_variables)
    spindle_part = spindle(n_variables, point["alpha"], point["beta"])
    residual = strength.reshape(2, n_variables) - decay_part - spindle_part
    low, high = intervals["spindle_share"]
    identified = high - low <= WIDEST_SHARE
    return Disentangled(
        **{name: point[name] for name in _PARAMETERS},
        decay=decay_part,
        spindle=spindle_part,
        residual=residual,
        r_squared=point["r_squared"],
        relative_l1=(residual.abs().sum() / strength.sum()).item(),
        intervals=intervals,
        identified=identified,
        verdict=(
            f"spindle share {point['spindle_share']:.2f} in {low:.2f} … {high:.2f}"
            if identified
            else f"not identified: the spindle share may be anything in {low:.2f} … {high:.2f}"
        ),
    )


def _alone(alpha: float) -> Tensor:
    """One α, in the type of all fits so far whatever the user's default is: records can be computed again."""
    return torch.tensor([alpha], dtype=torch.float32)


def _both_signs(alphas: Tensor, strength: Tensor) -> Tensor:
    curve = spindle(strength.shape[1] // 2, alphas)
    return torch.cat([curve, curve], dim=-1)


def _stacked(positive: Tensor, negative: Tensor, n_variables: int) -> Tensor:
    """Both signs side by side: float64 ``(samples, 2n)``, one row where there is only the mean."""
    positive, negative = torch.atleast_2d(positive), torch.atleast_2d(negative)
    if positive.shape != negative.shape or positive.shape[1] != n_variables:
        msg = (
            f"`positive` and `negative` must have shape (samples, n) or (n,) with n = {n_variables} orders as in the"
            f" reference, got {tuple(positive.shape)} and {tuple(negative.shape)}."
        )
        raise ValueError(msg)
    strength = torch.cat([positive, negative], dim=1).double()
    check_strength(strength)
    return strength
