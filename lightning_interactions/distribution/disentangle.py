r"""Separate the generalisable (decay) from the non-generalisable (spindle) strength of interactions (Eq. 9).

.. math:: \min_{\alpha, \beta, \gamma, \delta} \sum_m \sum_\pm
    \left( A^{(m),\pm} - \gamma A^{(m),\pm}_{decay}(\delta) - \beta A^{(m)}_{spindle}(\alpha) \right)^2,
    \qquad \beta, \gamma \ge 0

For fixed :math:`(\alpha, \delta)` the best non-negative :math:`(\gamma, \beta)` has a closed form (variable
projection), so a grid over :math:`(\alpha, \delta)` covers the whole problem in one batched operation, for every
bootstrap sample at once. The best cell is then refined.

What the paper leaves open, and what is chosen here: the reference :math:`I^*` is the caller's; the range of
:math:`\delta` is a parameter, because it decides how much of the strength can pass as decay; and no number is given
without an interval. Two intervals are reported: a bootstrap over the samples, and the profile over :math:`\delta`, all
:math:`\delta` at which :math:`R^2` is within :data:`PROFILE_TOLERANCE` of the best. Their union is the interval of the
spindle share, and a share whose interval spans more than :data:`WIDEST_SHARE` is not identified.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import scipy.optimize
import torch
from torch import Tensor

from lightning_interactions.distribution.decay import sample_decay
from lightning_interactions.distribution.spindle import spindle
from lightning_interactions.distribution.strength import salient_effects

if TYPE_CHECKING:
    from lightning_interactions.interactions import Interactions

__all__ = ["PROFILE_TOLERANCE", "WIDEST_SHARE", "Disentangled", "disentangle"]

PROFILE_TOLERANCE = 0.01
"""How far below the best the R² of a δ may lie that still explains the strength as well."""

WIDEST_SHARE = 0.5
"""A spindle share whose interval is wider than this is not identified."""

_DELTAS = 61
_ALPHAS = 57
_PARAMETERS = ("alpha", "beta", "gamma", "delta", "spindle_share")


@dataclass(frozen=True, eq=False)
class Disentangled:
    r"""Strength of a network's interactions, split into decay and spindle.

    Attributes:
        alpha: :math:`\alpha` of the spindle; its peak is near order :math:`\alpha n / 2`.
        beta: :math:`\beta`, the spindle's size.
        gamma: :math:`\gamma`, the decay's size.
        delta: :math:`\delta`, the parameter noise in the decay.
        decay: the decay part of the positive and the negative strength, ``(2, n)``.
        spindle: the spindle part, the same for both signs, ``(n,)``.
        residual: what neither explains, ``(2, n)``.
        r_squared: share of the squared strength that the two parts explain.
        relative_l1: :math:`\sum |residual| / \sum A`.
        spindle_share: :math:`\sum spindle / \sum (spindle + decay)` over orders and signs; NaN where both are 0.
        intervals: for each parameter and the share, the lowest and highest plausible value.
        identified: whether the interval of the share is narrow enough to mean something.
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


def disentangle(
    positive: Tensor,
    negative: Tensor,
    reference: Interactions,
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
            a network to itself always succeeds, with :math:`\delta \to 0`, and says nothing.
        threshold: effects of the reference up to this absolute value are left out; ``None`` takes its own, 0 none.
        delta_range: the :math:`\delta` allowed.
        alpha_range: the :math:`\alpha` allowed.
        bootstraps: resamplings of the samples; those of the reference are drawn along where there are as many.
        coverage: of the bootstrap intervals.
        seed: decides the resampling.

    Returns:
        the two parts, their parameters and intervals.

    Raises:
        ValueError: if the shapes or the orders do not match the reference's, for strength that is not finite, negative
            or all zero, or for a range that is reversed or not positive.

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
    _check_ranges(delta_range=delta_range, alpha_range=alpha_range)
    strength = _stacked(positive, negative, reference.n_variables)
    and_, or_ = salient_effects(reference, threshold)
    low, high = delta_range
    deltas = torch.logspace(math.log10(low), math.log10(high), _DELTAS, dtype=torch.float64)
    alphas = torch.linspace(*alpha_range, _ALPHAS, dtype=torch.float64)
    decays = torch.cat(sample_decay(and_, or_, deltas), dim=-1)  # (deltas, samples, 2n)
    weights = _resampling(len(strength), decays.shape[1], bootstraps, seed)
    grid = _Fits.of(
        weights[0] @ strength, torch.einsum("bs,dso->bdo", weights[1], decays), _both_signs(alphas, strength)
    )
    alpha, delta = _refine(grid, deltas, alphas, strength, and_, or_)
    decay_shape = torch.cat(sample_decay(and_, or_, delta), dim=-1).mean(dim=0)
    best = _Fits.of(strength.mean(dim=0)[None], decay_shape[None, None], _both_signs(torch.tensor([alpha]), strength))
    point = {"alpha": alpha, "delta": delta, **best.numbers()}
    intervals = _intervals(grid, deltas, alphas, point, coverage, has_samples=len(strength) > 1)
    return _result(point, intervals, strength.mean(dim=0), decay_shape)


@dataclass(frozen=True)
class _Fits:
    """The best non-negative (γ, β) for each resampling, δ and α, all ``(resamplings, deltas, alphas)``."""

    gamma: Tensor
    beta: Tensor
    r_squared: Tensor
    spindle_share: Tensor

    @classmethod
    def of(cls, strength: Tensor, decays: Tensor, spindles: Tensor) -> _Fits:
        """Two-column non-negative least squares from inner products.

        Args:
            strength: ``(resamplings, 2n)``.
            decays: ``(resamplings, deltas, 2n)``.
            spindles: ``(alphas, 2n)``.
        """
        dd = decays.square().sum(dim=-1)[:, :, None]
        ss = spindles.square().sum(dim=-1)[None, None, :]
        ds = decays @ spindles.T
        da = torch.einsum("bdo,bo->bd", decays, strength)[:, :, None]
        sa = (strength @ spindles.T)[:, None, :]
        aa = strength.square().sum(dim=-1)[:, None, None]

        def loss(gamma: Tensor, beta: Tensor) -> Tensor:
            return aa - 2 * (gamma * da + beta * sa) + gamma**2 * dd + 2 * gamma * beta * ds + beta**2 * ss

        zero = torch.zeros_like(ds)
        determinant = dd * ss - ds**2
        both = (ss * da - ds * sa) / determinant, (dd * sa - ds * da) / determinant
        inside = (determinant > 1e-12 * dd * ss) & (both[0] >= 0) & (both[1] >= 0)
        only_decay = torch.where(dd > 0, da / dd, zero).clamp(min=0).expand_as(ds), zero
        only_spindle = zero, (sa / ss).clamp(min=0).expand_as(ds)
        edge = loss(*only_decay) <= loss(*only_spindle)
        gamma, beta = (
            torch.where(inside, at_both, torch.where(edge, at_decay, at_spindle))
            for at_both, at_decay, at_spindle in zip(both, only_decay, only_spindle, strict=True)
        )
        spindle_total = beta * spindles.sum(dim=-1)
        decay_total = gamma * decays.sum(dim=-1)[:, :, None]
        return cls(gamma, beta, 1 - loss(gamma, beta) / aa, spindle_total / (spindle_total + decay_total))

    def numbers(self) -> dict[str, float]:
        """The only fit there is, as plain numbers."""
        return {name: value.item() for name, value in vars(self).items()}


def _refine(
    grid: _Fits, deltas: Tensor, alphas: Tensor, strength: Tensor, and_: Tensor, or_: Tensor
) -> tuple[float, float]:
    """The best (α, δ) of all samples together, searched around the best cell of the grid."""
    mean = strength.mean(dim=0)[None]
    row, column = divmod(int(grid.r_squared[0].argmax()), len(alphas))
    log_deltas = deltas.log()

    def loss(point: tuple[float, float]) -> float:
        decays = torch.cat(sample_decay(and_, or_, math.exp(point[1])), dim=-1).mean(dim=0)
        fit = _Fits.of(mean, decays[None, None], _both_signs(torch.tensor([point[0]]), strength))
        return 1 - fit.r_squared.item()

    def around(values: Tensor, index: int) -> tuple[float, float]:
        return values[max(index - 1, 0)].item(), values[min(index + 1, len(values) - 1)].item()

    start = (alphas[column].item(), log_deltas[row].item())
    found = scipy.optimize.minimize(
        loss, start, method="Nelder-Mead", bounds=(around(alphas, column), around(log_deltas, row))
    )
    alpha, log_delta = found.x if found.fun <= loss(start) else start
    return float(alpha), math.exp(log_delta)


def _intervals(
    grid: _Fits, deltas: Tensor, alphas: Tensor, point: dict[str, float], coverage: float, *, has_samples: bool
) -> dict[str, tuple[float, float]]:
    """The union of the profile over δ and, where there are samples, of the bootstrap."""
    over_alpha, column = grid.r_squared.max(dim=2)
    plausible = over_alpha[0] >= max(over_alpha[0].max().item(), point["r_squared"]) - PROFILE_TOLERANCE
    rows = torch.arange(len(deltas))[plausible]
    profile = _at(grid, deltas, alphas, torch.zeros_like(rows), rows, column[0, rows])
    intervals = {}
    resamplings = torch.arange(1, len(grid.gamma))
    best_row = over_alpha[1:].argmax(dim=1)
    drawn = _at(grid, deltas, alphas, resamplings, best_row, column[resamplings, best_row])
    for name in _PARAMETERS:
        ends = [point[name], *profile[name].tolist()]
        if has_samples and len(resamplings):
            tails = torch.tensor([(1 - coverage) / 2, (1 + coverage) / 2], dtype=torch.float64)
            ends += drawn[name].nanquantile(tails).tolist()
        finite = [end for end in ends if math.isfinite(end)]
        intervals[name] = (min(finite), max(finite)) if finite else (math.nan, math.nan)
    return intervals


def _at(
    grid: _Fits, deltas: Tensor, alphas: Tensor, resampling: Tensor, row: Tensor, column: Tensor
) -> dict[str, Tensor]:
    where = (resampling, row, column)
    return {
        "alpha": alphas[column],
        "delta": deltas[row],
        "beta": grid.beta[where],
        "gamma": grid.gamma[where],
        "spindle_share": grid.spindle_share[where],
    }


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


def _resampling(n_samples: int, n_reference: int, bootstraps: int, seed: int) -> tuple[Tensor, Tensor]:
    """Weights of the samples and of the reference's: row 0 is the plain mean, the others are bootstrap draws."""
    generator = torch.Generator().manual_seed(seed)

    def weights(size: int) -> Tensor:
        drawn = torch.randint(size, (bootstraps, size), generator=generator)
        counts = torch.zeros(bootstraps, size, dtype=torch.float64).scatter_add_(
            1, drawn, torch.ones(bootstraps, size, dtype=torch.float64)
        )
        return torch.cat([torch.ones(1, size, dtype=torch.float64), counts]) / size

    own = weights(n_samples)
    # The same images, measured at two times: resampled together, their common part cancels as it should.
    return own, own if n_reference == n_samples else weights(n_reference)


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
    if not strength.isfinite().all() or (strength < 0).any() or strength.sum() == 0:
        msg = (
            "`positive` and `negative` must be finite, non-negative and not all zero."
            " HINT: nothing is salient yet, or a measurement failed."
        )
        raise ValueError(msg)
    return strength


def _check_ranges(**ranges: tuple[float, float]) -> None:
    for name, (low, high) in ranges.items():
        if not 0 < low < high < math.inf:
            msg = f"`{name}` must be (low, high) with 0 < low < high, got {(low, high)!r}."
            raise ValueError(msg)
