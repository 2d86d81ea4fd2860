r"""Which spindle shares are plausible, by a bootstrap over the samples.

With :math:`L(s)` the smallest loss of Eq. 9 over all shapes and sizes with the share :math:`s`, and :math:`\hat s`
the best share, :math:`s` is plausible where

.. math:: L(s) - L(\hat s) \le \varphi \, c(\hat s) V

or where, for it and all shares between it and the best,

.. math:: L(s) - L(\hat s) \le \varphi \, \chi^2 \max(V_s, V_{\hat s}).

:math:`c(s)` is the quantile of :math:`(L(s) - L(\hat s)) / V` in bootstrap draws from a world in which :math:`s` is
true: the best fit with this share, with the deviations of the samples from the best fit of all. :math:`V` is the
squared standard error of the mean over the samples, summed over orders and signs, of the draw and then of the
samples: a difference divided by its own error hardly depends on how the samples are distributed, as the few large
ones among them enlarge both. A share of 0, at the border of what is possible and where :math:`\alpha` is free to fit
noise, has its own quantile where that is larger; so it is kept or left out for a reason, which percentiles of a
bootstrap cannot do.

:math:`V_s` is the squared standard error in the one direction in which the best fit of a share moves with the share.
That other samples would have had another decay is part of it: asked for is the share in all samples there might be.
:math:`\chi^2` is the quantile of that distribution with one degree of freedom, which the difference divided by
:math:`V_s` has far from all borders: the best fit may lie at a border of :math:`\alpha` or :math:`\delta` where the
true one does not.

:math:`\varphi \ge 1` is :math:`L(\hat s)` over what sampling alone would leave: where Eq. 9 does not describe the
strength, its answers are that much less certain.
"""

from __future__ import annotations

import math

import torch
from scipy.stats import chi2
from torch import Tensor
from torch.nn import functional

from lightning_interactions.distribution.projection import Cells, Products

__all__ = ["PlausibleShares"]

_STEP = 0.05
"""How far from a share, on either side, the fits are taken between which it moves."""
_ROUNDING = 1e-15
"""Squared errors and losses below this part of the squared strength are rounding."""


class PlausibleShares:
    """Which spindle shares are plausible by the samples of one measurement.

    Args:
        strength: of each sample, both signs side by side: ``(samples, 2n)``.
        decays: of each sample of the reference: ``(deltas, samples of the reference, 2n)``.
        spindles: ``(alphas, 2n)``.
        cells: the pairs of them that are tried.
        tried: the products of the means over the samples at these pairs.
        bootstraps: number of draws.
        seed: decides them.
    """

    def __init__(
        self,
        strength: Tensor,
        decays: Tensor,
        spindles: Tensor,
        cells: Cells,
        tried: Products,
        *,
        bootstraps: int,
        seed: int,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        own = _resampling(len(strength), bootstraps, generator)
        # The same images, measured at two times: resampled together, their common part cancels as it should.
        paired = decays.shape[1] == len(strength)
        others = own if paired else _resampling(decays.shape[1], bootstraps, generator)
        self._decays, self._spindles, self._cells = decays.mean(dim=1), spindles, cells
        self._drawn_decays = torch.einsum("bs,dso->bdo", others, decays)
        mean = strength.mean(dim=0)
        self._squared_strength = mean.square().sum().item()
        self._fits = tried
        gammas, betas = (side.flatten() for side in self._fits.sizes())
        self._losses = self._fits.loss(gammas, betas).flatten()
        best = self._losses.argmin()
        row = cells.rows[best]
        taken = gammas[best] * decays[row]
        self._deviations = own @ strength - mean - gammas[best] * (self._drawn_decays[:, row] - self._decays[row])
        relative = decays[row].sum(dim=1, keepdim=True) / self._decays[row].sum().clamp(min=_ROUNDING)
        # What is left of the strength, and in the last column what moves the share that is true.
        if paired:
            parts = [(torch.cat([strength - taken, -relative], dim=1), own)]
        else:
            parts = [(functional.pad(strength, (0, 1)), own), (torch.cat([taken, relative], dim=1), others)]
        self._parts = [(rows - rows.mean(dim=0), weights) for rows, weights in parts]
        axes = torch.eye(len(mean) + 1, len(mean), dtype=torch.float64)
        self._error, self._drawn_errors = (
            self._squared_errors(axes, drawn=drawn).sum(dim=1) for drawn in (False, True)
        )
        self._misfit = (self._losses.min() / self._error).clamp(min=1)

    def allowed(self, shares: Tensor, losses: Tensor, best: float, coverage: float) -> Tensor:
        """How much more than the smallest loss each share may have and still be plausible.

        Args:
            shares: ``(shares,)``.
            losses: of the best fit with each.
            best: the share that fits best.
            coverage: the probability that a share is plausible if it is true.
        """
        by_draws = torch.full_like(shares, self._quantile(best, coverage))
        by_draws[shares == 0] = by_draws[shares == 0].clamp(min=self._quantile(0.0, coverage))
        by_draws *= self._error
        errors = self._squared_errors(self._directions(torch.cat([shares, shares.new_tensor([best])])))[0]
        if_regular = float(chi2.ppf(coverage, df=1)) * torch.maximum(errors[:-1], errors[-1])
        allowed = self._misfit * torch.maximum(by_draws, if_regular)
        near = _reached(shares, best, losses - self._losses.min() <= allowed)
        return torch.where(near, allowed, self._misfit * by_draws)

    def _quantile(self, share: float, coverage: float) -> float:
        """Of the statistic, in draws from a world in which the share is true."""
        losses, gammas, betas = (side.flatten() for side in self._fits.fits_at_share(share))
        place = losses.argmin()
        decay, spindle = self._drawn_decays[:, self._cells.rows[place]], self._spindles[self._cells.columns[place]]
        strength = gammas[place] * decay + betas[place] * spindle + self._deviations
        near = self._cells.best(torch.minimum(losses, self._losses))
        fits = Products.of(strength, self._drawn_decays, self._spindles).at(near)
        smallest = fits.loss(*fits.sizes()).flatten(start_dim=1).amin(dim=1)
        excess = fits.fits_at_share(share)[0].flatten(start_dim=1).amin(dim=1) - smallest
        statistics = excess.clamp(min=0) / self._drawn_errors
        # So that the samples themselves are one of the draws.
        rank = min(math.ceil(coverage * (len(statistics) + 1)), len(statistics))
        return statistics.sort().values[rank - 1].item()

    def _directions(self, shares: Tensor) -> Tensor:
        """Where the best fit moves with the share, as unit columns, and how far it moves when the decay doubles."""
        above, below = ((shares + step).clamp(0, 1) for step in (_STEP, -_STEP))
        moved = (self._curves(above) - self._curves(below)) / (above - below)[:, None]
        doubled = shares * (1 - shares) * moved.norm(dim=1)
        return torch.cat([functional.normalize(moved, dim=1).T, doubled[None]])

    def _curves(self, shares: Tensor) -> Tensor:
        """The best fit with each share: ``(shares, 2n)``."""
        _, gamma, beta, place = self._fits.best_at_shares(shares)
        decay, spindle = self._decays[self._cells.rows[place]], self._spindles[self._cells.columns[place]]
        return gamma[:, None] * decay + beta[:, None] * spindle

    def _squared_errors(self, directions: Tensor, *, drawn: bool = False) -> Tensor:
        """V: the squared standard error of the mean in each direction, of the samples or in each draw.

        Args:
            directions: ``(2n + 1, directions)``.
            drawn: whether of the draws.

        Returns:
            ``(1, directions)`` or ``(draws, directions)``.
        """
        total = torch.zeros(1, directions.shape[1], dtype=torch.float64)
        for rows, weights in self._parts:
            along, counts = rows @ directions, weights if drawn else torch.full_like(weights[:1], 1 / len(rows))
            variance = counts @ along.square() - (counts @ along).square()
            total = total + variance / max(len(rows) - 1, 1)
        return total.clamp(min=_ROUNDING * self._squared_strength)


def _reached(shares: Tensor, best: float, plausible: Tensor) -> Tensor:
    """The shares between which and the best one all are plausible.

    Example:
        >>> plausible = torch.tensor([True, False, True, True, False])
        >>> _reached(torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4]), 0.25, plausible).tolist()
        [False, False, True, True, False]
    """
    reached = torch.zeros_like(plausible)
    for side in (shares >= best, shares <= best):
        places = side.nonzero()[:, 0]
        places = places[(shares[places] - best).abs().argsort()]
        reached[places] = plausible[places].cumprod(dim=0).bool()
    return reached


def _resampling(size: int, draws: int, generator: torch.Generator) -> Tensor:
    """Weights of samples drawn with replacement: ``(draws, size)``."""
    drawn = torch.randint(size, (draws, size), generator=generator)
    counts = torch.zeros(draws, size, dtype=torch.float64)
    return counts.scatter_add_(1, drawn, torch.ones(draws, size, dtype=torch.float64)) / size
