r"""Separate the generalisable (decay) from the non-generalisable (spindle) strength of interactions (Eq. 9).

.. math:: \min_{\alpha, \beta, \gamma, \delta} \sum_m \sum_\pm
    \left( A^{(m),\pm} - \gamma A^{(m),\pm}_{decay}(\delta) - \beta A^{(m)}_{spindle}(\alpha) \right)^2,
    \qquad \beta, \gamma \ge 0

For fixed :math:`(\alpha, \delta)` the best non-negative :math:`(\gamma, \beta)` has a closed form (variable
projection), so a grid over :math:`(\alpha, \delta)` covers the whole problem in one batched operation, for every
bootstrap sample at once. The best cell is then refined.

What the paper leaves open, and what is chosen here: the reference :math:`I^*` is the caller's; the range of
:math:`\delta` is a parameter, because it decides how much of the strength can pass as decay; and no number is given
without an interval. That of the spindle share are all shares :math:`s` that fit nearly as well as the best one,

.. math:: L(s) - L(\hat s) \le \varphi \, q, \qquad L(s) = \min \text{loss over } \alpha, \delta
    \text{ and the size, the share being } s,

where :math:`q` is the quantile, over a bootstrap of the samples, of the same difference for :math:`\hat s`. A share of
0, at the border of what is possible, is thus kept or left out for a reason, which percentiles of a bootstrap cannot do.
The factor :math:`\varphi \ge 1` is the loss over what sampling alone would leave: where Eq. 9 does not describe the
strength, its answers are that much less certain. A share whose interval spans more than :data:`WIDEST_SHARE` is not
identified. Without samples, the shares with :math:`R^2` within :data:`PROFILE_TOLERANCE` of the best are the interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING

import scipy.optimize
import torch
from torch import Tensor

from lightning_interactions.distribution.decay import sample_decay
from lightning_interactions.distribution.spindle import spindle
from lightning_interactions.distribution.strength import salient_effects
from lightning_interactions.interactions import check_interactions

if TYPE_CHECKING:
    from lightning_interactions.interactions import Interactions

__all__ = ["PROFILE_TOLERANCE", "WIDEST_SHARE", "Disentangled", "check_ranges", "disentangle"]

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
_CELLS = 800
"""The bootstrap looks at so many of the best cells of the coarse grid, and at the whole fine one."""
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
        TypeError: if the reference is no :class:`~lightning_interactions.Interactions`.
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
    check_interactions(reference=reference)
    if not isinstance(bootstraps, Integral) or bootstraps < 0:
        msg = f"`bootstraps` must be a whole number, at least 0, got {bootstraps!r}."
        raise ValueError(msg)
    check_ranges(delta_range=delta_range, alpha_range=alpha_range)
    strength = _stacked(positive, negative, reference.n_variables)
    and_, or_ = salient_effects(reference, threshold)
    low, high = delta_range
    log_deltas = torch.linspace(math.log(low), math.log(high), _DELTAS, dtype=torch.float64)
    alphas = torch.linspace(*alpha_range, _ALPHAS, dtype=torch.float64)
    decays = _decays(and_, or_, log_deltas.exp())
    coarse = _Products.of(strength.mean(dim=0)[None], decays.mean(dim=1)[None], _both_signs(alphas, strength))
    alpha, delta = _refine(coarse.fits(), log_deltas, alphas, strength, and_, or_)
    finer = _between_neighbours(log_deltas, math.log(delta))
    log_deltas = torch.cat([log_deltas, finer])
    alphas = torch.cat([alphas, _between_neighbours(alphas, alpha)])
    decays = torch.cat([decays, _decays(and_, or_, finer.exp())])
    spindles = _both_signs(alphas, strength)
    grid = _Products.of(strength.mean(dim=0)[None], decays.mean(dim=1)[None], spindles)
    decay_shape = _decays(and_, or_, delta).mean(dim=0)
    best = _Products.of(
        strength.mean(dim=0)[None], decay_shape[None, None], _both_signs(torch.tensor([alpha]), strength)
    )
    point = {"alpha": alpha, "delta": delta, **best.fits().numbers()}
    allowed = [PROFILE_TOLERANCE * grid.aa.item()] * 2
    if len(strength) > 1 and bootstraps > 0:
        own, others = _resampling(len(strength), decays.shape[1], bootstraps, seed)
        drawn = own @ strength, torch.einsum("bs,dso->bdo", others, decays)
        allowed = [_allowed_loss(grid, share, *drawn, spindles, coverage) for share in (point["spindle_share"], 0.0)]
    intervals = _intervals(grid, log_deltas.exp(), alphas, point, allowed)
    return _result(point, intervals, strength.mean(dim=0), decay_shape)


@dataclass(frozen=True)
class _Products:
    """Inner products of strength (a), decay (d) and spindle (s), all that the fits need: ``(draws, deltas, alphas)``.

    Those that do not depend on one of the three have a 1 in its place.
    """

    aa: Tensor
    dd: Tensor
    ss: Tensor
    ds: Tensor
    da: Tensor
    sa: Tensor
    decay_total: Tensor
    spindle_total: Tensor

    @classmethod
    def of(cls, strength: Tensor, decays: Tensor, spindles: Tensor) -> _Products:
        """From the curves themselves.

        Args:
            strength: ``(draws, 2n)``.
            decays: ``(draws, deltas, 2n)``.
            spindles: ``(alphas, 2n)``.
        """
        return cls(
            aa=strength.square().sum(dim=-1)[:, None, None],
            dd=decays.square().sum(dim=-1)[:, :, None],
            ss=spindles.square().sum(dim=-1)[None, None, :],
            ds=decays @ spindles.T,
            da=torch.einsum("bdo,bo->bd", decays, strength)[:, :, None],
            sa=(strength @ spindles.T)[:, None, :],
            decay_total=decays.sum(dim=-1)[:, :, None],
            spindle_total=spindles.sum(dim=-1)[None, None, :],
        )

    def cells(self, rows: Tensor, columns: Tensor) -> _Products:
        """Only some pairs of δ and α, all of them in the place of α."""

        def chosen(products: Tensor) -> Tensor:
            row = rows if products.shape[1] > 1 else torch.zeros_like(rows)
            column = columns if products.shape[2] > 1 else torch.zeros_like(columns)
            return products[:, row, column][:, None]

        return _Products(**{name: chosen(products) for name, products in vars(self).items()})

    def loss(self, gamma: Tensor, beta: Tensor) -> Tensor:
        """Squared distance between the strength and γ decay + β spindle."""
        fitted = gamma * (gamma * self.dd + 2 * (beta * self.ds - self.da))
        return self.aa + fitted + beta * (beta * self.ss - 2 * self.sa)

    def fits(self) -> _Fits:
        """Two-column non-negative least squares."""
        zero = torch.zeros_like(self.ds)
        determinant = self.dd * self.ss - self.ds**2
        both = (
            (self.ss * self.da - self.ds * self.sa) / determinant,
            (self.dd * self.sa - self.ds * self.da) / determinant,
        )
        inside = (determinant > 1e-12 * self.dd * self.ss) & (both[0] >= 0) & (both[1] >= 0)
        only_decay = torch.where(self.dd > 0, self.da / self.dd, 0.0).clamp(min=0)
        only_spindle = (self.sa / self.ss).clamp(min=0)
        edge = only_decay * self.da >= only_spindle * self.sa  # of the squared strength, what either explains alone
        gamma = torch.where(inside, both[0], torch.where(edge, only_decay, zero))
        beta = torch.where(inside, both[1], torch.where(edge, zero, only_spindle))
        spindle_total = beta * self.spindle_total
        share = spindle_total / (spindle_total + gamma * self.decay_total)
        return _Fits(gamma, beta, 1 - self.loss(gamma, beta) / self.aa, share)

    def fits_at_share(self, share: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
        """The loss, γ and β of the best size for a given spindle share.

        Args:
            share: a number, or a tensor ``(shares, 1, 1)`` where there is one draw.

        Returns:
            each ``(draws, deltas, alphas)``, or ``(shares, deltas, alphas)``.
        """
        # Where nothing is left of the decay, only the whole share can be the spindle's.
        of_decay = torch.where(self.decay_total > 0, (1 - share) / self.decay_total, 0.0)
        of_spindle = share / self.spindle_total
        along = of_decay * self.da + of_spindle * self.sa
        square = of_decay**2 * self.dd + of_spindle * (2 * of_decay * self.ds + of_spindle * self.ss)
        size = torch.where(square > 0, along / square, 0.0)
        return self.aa - size * along, size * of_decay, size * of_spindle


@dataclass(frozen=True)
class _Fits:
    """The best non-negative (γ, β) for each resampling, δ and α, all ``(resamplings, deltas, alphas)``."""

    gamma: Tensor
    beta: Tensor
    r_squared: Tensor
    spindle_share: Tensor

    def numbers(self) -> dict[str, float]:
        """The only fit there is, as plain numbers."""
        return {name: value.item() for name, value in vars(self).items()}


def _decays(and_: Tensor, or_: Tensor, delta: Tensor | float) -> Tensor:
    """The decay of every sample, both signs side by side: ``(samples, 2n)``, or ``(deltas, samples, 2n)``."""
    return torch.cat(sample_decay(and_, or_, delta), dim=-1)


def _between_neighbours(values: Tensor, best: float) -> Tensor:
    """Points from one neighbour of ``best`` on an even grid to the other, ``best`` among them."""
    step = (values[1] - values[0]).item()
    points = best + step * torch.linspace(-1, 1, _FINE, dtype=torch.float64)
    return points.clamp(values[0].item(), values[-1].item())


def _refine(
    grid: _Fits, log_deltas: Tensor, alphas: Tensor, strength: Tensor, and_: Tensor, or_: Tensor
) -> tuple[float, float]:
    """The best (α, δ) of all samples together, searched around the best cell of the grid."""
    mean = strength.mean(dim=0)[None]
    row, column = divmod(int(grid.r_squared[0].argmax()), len(alphas))

    def loss(point: tuple[float, float]) -> float:
        decays = _decays(and_, or_, math.exp(point[1])).mean(dim=0)
        products = _Products.of(mean, decays[None, None], _both_signs(torch.tensor([point[0]]), strength))
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


def _allowed_loss(
    grid: _Products, share: float, strength: Tensor, decays: Tensor, spindles: Tensor, coverage: float
) -> float:
    """How much more than the smallest loss this share may have and still be plausible: φ q.

    Args:
        grid: of all samples together.
        share: that would be true.
        strength: of each bootstrap draw, ``(draws, 2n)``.
        decays: likewise, ``(draws, deltas, 2n)``.
        spindles: ``(alphas, 2n)``.
        coverage: of the interval.
    """
    share = share if math.isfinite(share) else 0.0
    best = (grid.aa * (1 - grid.fits().r_squared)).flatten()
    of_share, gamma, beta = (side.flatten() for side in grid.fits_at_share(share))
    numbers = torch.arange(len(best)).view(grid.ds.shape[1:])
    coarse, fine = numbers[:_DELTAS, :_ALPHAS].flatten(), numbers[_DELTAS:, _ALPHAS:].flatten()
    cells = torch.cat([coarse[torch.minimum(best, of_share)[coarse].argsort()[:_CELLS]], fine])
    place = int(of_share.argmin())
    row, column = divmod(place, len(spindles))
    # What Eq. 9 with this share leaves of the mean is taken out: the draws are from a world in which it is true.
    left = strength - gamma[place] * decays[:, row] - beta[place] * spindles[column]
    misfit = left.mean(dim=0)
    drawn = _Products.of(strength - misfit, decays, spindles).cells(cells // len(spindles), cells % len(spindles))
    smallest = (drawn.aa * (1 - drawn.fits().r_squared)).flatten(start_dim=1).amin(dim=1)
    excess = drawn.fits_at_share(share)[0].flatten(start_dim=1).amin(dim=1) - smallest
    by_sampling = (left - misfit).square().sum(dim=1).mean().item()
    factor = max(1.0, best.min().item() / by_sampling) if by_sampling > 0 else 1.0
    return factor * excess.clamp(min=0).quantile(coverage).item()


def _intervals(
    grid: _Products, deltas: Tensor, alphas: Tensor, point: dict[str, float], allowed: list[float]
) -> dict[str, tuple[float, float]]:
    """Every parameter's values in the fits whose loss is within ``allowed`` of the smallest."""
    fits = grid.fits()
    loss = (grid.aa * (1 - fits.r_squared))[0]
    smallest = min(loss.min().item(), grid.aa.item() * (1 - point["r_squared"]))
    plausible = loss <= smallest + allowed[0]
    values = {
        "alpha": alphas.expand_as(loss)[plausible],
        "beta": fits.beta[0][plausible],
        "gamma": fits.gamma[0][plausible],
        "delta": deltas[:, None].expand_as(loss)[plausible],
        # For the share there is more than the best fit of each α and δ.
        "spindle_share": _plausible_shares(grid, point["spindle_share"], smallest, allowed),
    }
    intervals = {}
    for name in _PARAMETERS:
        ends = [end for end in (point[name], *values[name].tolist()) if math.isfinite(end)]
        intervals[name] = (min(ends), max(ends)) if ends else (math.nan, math.nan)
    return intervals


def _plausible_shares(grid: _Products, share: float, smallest: float, allowed: list[float]) -> Tensor:
    """Shares within the loss allowed; for 0, where α loses its meaning and is free to fit noise, it has its own."""
    shares = torch.linspace(0, 1, _SHARES, dtype=torch.float64)
    if math.isfinite(share):
        shares = torch.cat([shares, _between_neighbours(shares, share)])
    loss = grid.fits_at_share(shares[:, None, None])[0].flatten(start_dim=1).amin(dim=1)
    limits = torch.full_like(shares, allowed[0])
    limits[0] = max(allowed)
    return shares[loss <= smallest + limits]


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
    """Weights of the samples, and of the reference's, in each bootstrap draw."""
    generator = torch.Generator().manual_seed(seed)

    def weights(size: int) -> Tensor:
        drawn = torch.randint(size, (bootstraps, size), generator=generator)
        counts = torch.zeros(bootstraps, size, dtype=torch.float64)
        return counts.scatter_add_(1, drawn, torch.ones(bootstraps, size, dtype=torch.float64)) / size

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
            f"`positive` and `negative` must be finite, non-negative and not all zero, got means of"
            f" {strength.mean(dim=0).tolist()}."
            f" HINT: nothing is salient yet, or a measurement failed."
        )
        raise ValueError(msg)
    return strength


def check_ranges(**ranges: tuple[float, float]) -> None:
    """Refuse ranges that are reversed or not positive.

    Raises:
        ValueError: naming the argument.
    """
    for name, (low, high) in ranges.items():
        if not 0 < low < high < math.inf:
            msg = f"`{name}` must be (low, high) with 0 < low < high, got {(low, high)!r}."
            raise ValueError(msg)
