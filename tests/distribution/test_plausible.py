"""Which shares are plausible, against the same test written out sample by sample, draw by draw and fit by fit."""

import math

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import torch

from lightning_interactions import spindle
from lightning_interactions.distribution.plausible import PlausibleShares, _resampling
from lightning_interactions.distribution.projection import Cells, Products

N = 5
SHARES = [0.0, 0.3, 0.9]
BOOTSTRAPS = 30


def some_curves(n_samples, n_reference, noise):
    """Strength of samples that is decay, spindle and noise; three decays and three spindles that may explain it."""
    generator = torch.Generator().manual_seed(n_samples)
    orders = torch.arange(1, N + 1, dtype=torch.float64)
    sizes = torch.exp(0.3 * torch.randn(max(n_samples, n_reference), 1, generator=generator).double())
    decays = torch.stack([sizes * torch.exp(-steep * orders) for steep in (0.6, 0.8, 1.0)])
    decays = torch.cat([decays, 0.7 * decays], dim=-1)
    curves = spindle(N, torch.tensor([0.7, 0.9, 1.1]))
    spindles = torch.cat([curves, curves], dim=-1)
    strength = decays[1, :n_samples] + 0.02 * spindles[1]
    factors = torch.exp(noise * torch.randn(n_samples, 2 * N, generator=generator).double())
    return strength * factors, decays[:, :n_reference], spindles


def plausible_shares(strength, decays, spindles, cells, **options):
    tried = Products.of(strength.mean(dim=0)[None], decays.mean(dim=1)[None], spindles).at(cells)
    return PlausibleShares(strength, decays, spindles, cells, tried, **options)


def losses_at(found, shares):
    return found._fits.best_at_shares(shares)[0]


class ByHand:
    """The test of a share, with loops and SciPy."""

    def __init__(self, strength, decays, spindles, cells, own, others):
        self.strength, self.decays, self.spindles, self.own, self.others = (
            each.numpy() for each in (strength, decays, spindles, own, others)
        )
        self.cells = list(zip(cells.rows.tolist(), cells.columns.tolist(), strict=True))
        self.paired = len(self.strength) == self.decays.shape[1]
        target, decay = self.strength.mean(axis=0), self.decays.mean(axis=1)
        self.smallest, self.gamma, _, (self.row, _) = self.best(target, decay)

    def best(self, target, decay):
        """Loss, γ, β and cell of the best fit of all."""
        found = []
        for row, column in self.cells:
            (gamma, beta), norm = scipy.optimize.nnls(np.stack([decay[row], self.spindles[column]], axis=1), target)
            found.append((norm**2, gamma, beta, (row, column)))
        return min(found)

    def best_with(self, share, target, decay):
        """The same with a given share."""
        found = []
        for row, column in self.cells:
            sizes = (1 - share) / decay[row].sum(), share / self.spindles[column].sum()
            shape = sizes[0] * decay[row] + sizes[1] * self.spindles[column]
            size = shape @ target / (shape @ shape)
            loss = ((target - size * shape) ** 2).sum()
            found.append((loss, size * sizes[0], size * sizes[1], (row, column)))
        return min(found)

    def curve(self, share):
        decay = self.decays.mean(axis=1)
        _, gamma, beta, (row, column) = self.best_with(share, self.strength.mean(axis=0), decay)
        return gamma * decay[row] + beta * self.spindles[column]

    def error(self, direction, own, others, by_decay=0.0):
        """Squared standard error of the weighted mean along a direction, where twice the decay counts ``by_decay``."""

        def of(along, weights):
            return (weights * (along - weights @ along) ** 2).sum() / (len(along) - 1)

        decay = self.decays[self.row]
        taken = self.gamma * decay @ direction + by_decay * decay.sum(axis=1) / decay.sum(axis=1).mean()
        if self.paired:
            return of(self.strength @ direction - taken, own)
        return of(self.strength @ direction, own) + of(taken, others)

    def total_error(self, own, others):
        return sum(self.error(axis, own, others) for axis in np.eye(2 * N))

    def quantile(self, share, coverage):
        """Of the difference of the losses over the error, in draws in which the share is true."""
        mean, decay = self.strength.mean(axis=0), self.decays.mean(axis=1)
        _, gamma, beta, (row, column) = self.best_with(share, mean, decay)
        statistics = []
        for own, others in zip(self.own, self.others, strict=True):
            drawn = np.einsum("s,dso->do", others, self.decays)
            deviation = own @ self.strength - mean - self.gamma * (drawn[self.row] - decay[self.row])
            target = gamma * drawn[row] + beta * self.spindles[column] + deviation
            excess = self.best_with(share, target, drawn)[0] - self.best(target, drawn)[0]
            statistics.append(max(excess, 0) / self.total_error(own, others))
        return sorted(statistics)[math.ceil(coverage * (len(statistics) + 1)) - 1]

    def allowed(self, shares, best, coverage):
        even = [np.full(size, 1 / size) for size in (len(self.strength), self.decays.shape[1])]
        total = self.total_error(*even)
        misfit = max(1, self.smallest / total)
        quantile, at_zero = (self.quantile(share, coverage) for share in (best, 0.0))
        by_draws = [misfit * total * (max(quantile, at_zero) if share == 0 else quantile) for share in shares]
        regular = scipy.stats.chi2.ppf(coverage, df=1)
        near = [misfit * regular * max(self.along(share, even), self.along(best, even)) for share in shares]
        mean, decay = self.strength.mean(axis=0), self.decays.mean(axis=1)
        plausible = [
            self.best_with(share, mean, decay)[0] - self.smallest <= max(limits)
            for share, *limits in zip(shares, by_draws, near, strict=True)
        ]
        return [
            max(by_draws[place], near[place])
            if all(
                plausible[other]
                for other, between in enumerate(shares)
                if min(share, best) <= between <= max(share, best)
            )
            else by_draws[place]
            for place, share in enumerate(shares)
        ]

    def along(self, share, even):
        above, below = min(share + 0.05, 1), max(share - 0.05, 0)
        slope = (self.curve(above) - self.curve(below)) / (above - below)
        # The share is s = b / (b + d): ds / dlog d = -s (1 - s).
        by_decay = share * (1 - share) * np.linalg.norm(slope)
        return self.error(slope / np.linalg.norm(slope), *even, by_decay)


@pytest.mark.parametrize(("n_samples", "n_reference"), [(12, 12), (12, 9)])
@pytest.mark.parametrize("misfit", [0.0, 0.3])
@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_as_written_out_by_hand(n_samples, n_reference, misfit, coverage):
    strength, decays, spindles = some_curves(n_samples, n_reference, noise=0.5)
    strength[:, N - 1] += misfit  # what neither part explains, in all samples alike
    cells = Cells.of((2, 2), (1, 1))
    found = plausible_shares(strength, decays, spindles, cells, bootstraps=BOOTSTRAPS, seed=3)
    generator = torch.Generator().manual_seed(3)
    own = _resampling(n_samples, BOOTSTRAPS, generator)
    others = own if n_reference == n_samples else _resampling(n_reference, BOOTSTRAPS, generator)
    by_hand = ByHand(strength, decays, spindles, cells, own, others)

    for best in (0.4, 0.95):
        expected = by_hand.allowed(SHARES, best, coverage)
        shares = torch.tensor(SHARES, dtype=torch.float64)
        allowed = found.allowed(shares, losses_at(found, shares), best, coverage)
        np.testing.assert_allclose(allowed, expected, rtol=1e-6)


def test_resampling_gives_every_sample_the_same_chance():
    weights = _resampling(4, 20_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(20_000, dtype=torch.float64))
    torch.testing.assert_close(weights.mean(dim=0), torch.full((4,), 0.25, dtype=torch.float64), atol=0.005, rtol=0)


def test_without_any_noise_only_the_true_share_is_plausible():
    strength, decays, spindles = some_curves(10, 10, noise=0.0)
    decays = decays.mean(dim=1, keepdim=True).expand_as(decays)
    strength = strength.mean(dim=0).expand_as(strength)
    test = plausible_shares(strength, decays, spindles, Cells.of((2, 2), (1, 1)), bootstraps=BOOTSTRAPS, seed=0)
    size = strength[0].square().sum()
    shares = torch.linspace(0, 1, 11, dtype=torch.float64)
    assert test.allowed(shares, losses_at(test, shares), 0.3, 0.9).max() < 1e-12 * size


def test_without_noise_the_samples_still_are_a_choice():
    """Each has the same spindle and a decay of its own: what is left to chance is their mean decay."""
    generator = torch.Generator().manual_seed(0)
    sizes = torch.exp(0.5 * torch.randn(400, 1, generator=generator).double())
    strength, decays, spindles = some_curves(1, 1, noise=0.0)
    decays, spindles = (decays * sizes)[[1, 1]], spindles[[1, 1]]
    strength = decays[1] + 0.05 * spindles[1]
    shares = torch.linspace(0, 1, 2001, dtype=torch.float64)
    test = plausible_shares(strength, decays, spindles, Cells.of((1, 1), (1, 1)), bootstraps=400, seed=0)
    losses = losses_at(test, shares)
    plausible = shares[losses <= losses.min() + test.allowed(shares, losses, shares[losses.argmin()].item(), 0.9)]

    of_spindle = 0.05 * spindles[1].sum()
    totals = decays[1].sum(dim=1)
    share = of_spindle / (of_spindle + totals.mean())
    error = (share * (1 - share) * totals.std() / totals.mean() / 20).item()  # ds / dlog d = -s (1 - s)
    assert plausible.min().item() == pytest.approx(share.item() - 1.645 * error, abs=0.25 * error)
    assert plausible.max().item() == pytest.approx(share.item() + 1.645 * error, abs=0.25 * error)
