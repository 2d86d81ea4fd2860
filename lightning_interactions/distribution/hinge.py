r"""A sequential test for a knee: has a noisy level begun to rise or to fall?

Against "the level is constant" stand all hinges :math:`y_i = \mu + b \max(i - k, 0) + \sigma \epsilon_i`, one for each
place :math:`k` of the knee. With :math:`b \mid \sigma \sim N(0, \tau^2 \sigma^2)` cut to one sign, a flat prior on
:math:`\mu` and one on :math:`\sigma` that counts as one more measurement, of the noise expected, the Bayes factor of a
hinge against the constant has a closed form in running sums,

.. math:: B_k = \frac{2 P(b > 0 \mid y)}{\sqrt{1 + \tau^2 S}}
    \left( 1 - r^2 \frac{\tau^2 S}{1 + \tau^2 S} \right)^{-n / 2},

:math:`S` the centred square of the hinge and :math:`r^2` the part of the squares, that of the expected noise among
them, which it explains. Weighted over the knees and over slopes :math:`\tau` with total weight 1, it is a test
martingale while the level is constant, averaged over the prior, so that it ever exceeds :math:`1 / p` with probability
at most :math:`p` however often one looks (Ville's inequality). Three things keep
it safe and cheap where the assumptions end: noise that is correlated in time counts as fewer measurements; knees are
kept at a relative resolution of a thirty-second; and later on it is evaluated only as often as the length doubles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import stdtr

__all__ = ["HingeTest", "Knee"]

_SLOPES = np.array([8.0, 0.5, 1 / 32])
"""Sizes of slope that are looked for, in standard deviations of the noise a measurement."""
_RESOLUTION = 32
_FEWEST_AFTER = 3
"""Measurements behind a knee before it counts."""
_FEWEST_FOR_CORRELATION = 4
_CAUTION = 1.5
"""Standard errors that the estimated correlation is raised by: what is missed of it would count as evidence."""
_CREDIBLE = (0.05, 0.95)
_STRONGEST_CORRELATION = 0.8
_LOOKS_PER_DOUBLING = 64


@dataclass(frozen=True)
class Knee:
    """The most probable knee in one direction.

    Attributes:
        evidence: logarithm of the Bayes factor for "rises" (or "falls") against "constant".
        index: the last measurement before the change, counted from 0.
        interval: the same for the ends of its 90 % credible interval.
        baseline: fitted level before the knee.
        change: fitted change of the level from the knee to the last measurement.
        noise: standard deviation of the measurements around the fit.
    """

    evidence: float
    index: int
    interval: tuple[int, int]
    baseline: float
    change: float
    noise: float


@dataclass
class HingeTest:
    """Running sums of a series, from which the evidence for a knee follows at any time.

    Args:
        noise: size of the noise to expect before there is data to tell; it counts as one measurement.

    Example:
        >>> test = HingeTest(noise=0.02)
        >>> for level in [0.0, 0.01, -0.01, 0.0, 0.2, 0.4, 0.6]:
        ...     test.add(level)
        >>> knee = test.knee(direction=1)
        >>> knee.index, round(knee.change, 1)
        (3, 0.6)
    """

    noise: float
    count: int = 0
    first: float = 0.0
    last: float = 0.0
    total: float = 0.0
    moment: float = 0.0
    square: float = 0.0
    roughness: float = 0.0
    knees: list[int] = field(default_factory=list)
    totals: list[float] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)

    def add(self, level: float) -> None:
        """Take in one measurement."""
        if not self.count:
            self.first = level
        level -= self.first  # the sums are of small numbers, and a constant series is exactly 0
        if self.count:
            self.roughness += (level - self.last) ** 2
        index = self.count
        self.count += 1
        self.last = level
        self.total += level
        self.moment += index * level
        self.square += level * level
        if index % _spacing(index) == 0:
            self.knees.append(index)
            self.totals.append(self.total)
            self.moments.append(self.moment)

    @property
    def is_due(self) -> bool:
        """Whether enough has been added since the last look for another one: always in a short series."""
        return self.count % max(1, (1 << self.count.bit_length()) // (2 * _LOOKS_PER_DOUBLING)) == 0

    @property
    def mean(self) -> float:
        """Of all measurements."""
        return self.first + self.total / self.count

    @property
    def standard_error(self) -> float:
        """Of the mean, with the expected noise as one measurement more."""
        spread = max(self.square - self.total**2 / self.count, 0.0) + self.noise**2
        return math.sqrt(spread / self.count / self.count)

    @property
    def difference_noise(self) -> float:
        """Standard deviation of the noise as told from neighbours alone, which a change of the level hardly touches."""
        return math.sqrt(max(self.roughness / (2 * max(self.count - 1, 1)), self.noise**2))

    def knee(self, direction: int, least: float = -math.inf) -> Knee | None:
        """The evidence that the level has begun to rise (``direction`` 1) or to fall (-1).

        Args:
            direction: 1 or -1.
            least: evidence below this is not worth the computation.

        Returns:
            the most probable knee; ``None`` while the series is too short or the evidence is below ``least``.
        """
        n = self.count
        fit = self._fit(direction)
        if fit is None:
            return None
        # No slope explains more than the fitted one: a cheap bound on the Bayes factor.
        bound = math.log(2) + fit.independent / 2 * np.log(fit.spread / fit.residual)
        if np.logaddexp.reduce(np.log(fit.weights) + bound) < least:
            return None
        factors = _log_bayes_factors(fit, n)
        evidence = float(np.logaddexp.reduce(np.log(fit.weights) + factors))
        if evidence < least:
            return None
        best = int(factors.argmax())
        inside = np.cumsum(fit.widths * np.exp(factors - factors[best]))
        low, high = (int(fit.knees[np.searchsorted(inside, end * inside[-1])]) for end in _CREDIBLE)
        index = int(fit.knees[best])
        slope = direction * fit.product[best] / fit.size[best]
        after = n - 1 - index
        return Knee(
            evidence=evidence,
            index=index,
            interval=(min(low, index), max(high, index)),
            baseline=float(self.mean - slope * after * (after + 1) / 2 / n),
            change=float(slope * after),
            noise=math.sqrt(fit.residual[best] / n),
        )

    def state_dict(self) -> dict[str, Any]:
        """The sums, as plain data."""
        return {key: list(value) if isinstance(value, list) else value for key, value in vars(self).items()}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> HingeTest:
        """What :meth:`state_dict` returned."""
        copied: dict[str, Any] = {
            key: list(value) if isinstance(value, list) else value for key, value in state.items()
        }
        return cls(**copied)

    def _fit(self, direction: int) -> _Fit | None:
        """Least squares of every knee whose slope has this direction."""
        n = self.count
        knees = np.array(self.knees, dtype=float)
        after = n - 1 - knees
        ends = np.append(knees[1:], knees[-1:] + _spacing(n))
        hinge_sum = after * (after + 1) / 2
        product = self.moment - np.array(self.moments) - knees * (self.total - np.array(self.totals))
        product = direction * (product - hinge_sum * self.total / n)
        usable = (after >= _FEWEST_AFTER) & (product > 0)
        if not usable.any():
            return None
        knees, ends, after, product = knees[usable], ends[usable], after[usable], product[usable]
        size = after * (after + 1) * (2 * after + 1) / 6 - hinge_sum[usable] ** 2 / n
        spread = max(self.square - self.total**2 / n, 0.0) + self.noise**2
        residual = np.maximum(spread - product**2 / size, self.noise**2)
        return _Fit(
            knees=knees,
            widths=ends - knees,
            weights=math.log(2) * (1 / np.log(knees + 2) - 1 / np.log(ends + 2)),
            size=size,
            product=product,
            spread=spread,
            residual=residual,
            independent=self._independent(residual),
        )

    def _independent(self, residual: np.ndarray) -> np.ndarray:
        """How many independent measurements the series is worth, after each knee is taken out.

        n (1 - φ) / (1 + φ), with the correlation φ of neighbours from von Neumann's ratio.
        """
        n = self.count
        if n < _FEWEST_FOR_CORRELATION:
            return np.full_like(residual, n)
        correlation = 1 - self.roughness / (2 * (n - 1)) / (residual / (n - 2))
        correlation = np.clip(correlation + _CAUTION / math.sqrt(n), 0.0, _STRONGEST_CORRELATION)
        return n * (1 - correlation) / (1 + correlation)


@dataclass(frozen=True)
class _Fit:
    """Least squares of hinges, one entry a knee."""

    knees: np.ndarray
    widths: np.ndarray
    weights: np.ndarray
    size: np.ndarray
    product: np.ndarray
    spread: float
    residual: np.ndarray
    independent: np.ndarray


def _log_bayes_factors(fit: _Fit, count: int) -> np.ndarray:
    """Of each knee, averaged over the slopes."""
    signal = _SLOPES[:, None] ** 2 * fit.size * (fit.independent / count)
    shrinkage = signal / (1 + signal)
    left = 1 - (1 - fit.residual / fit.spread) * shrinkage
    t = fit.product / np.sqrt(fit.size) * np.sqrt(shrinkage * fit.independent / (fit.spread * left))
    factors = np.log(2 * stdtr(fit.independent, t)) - np.log1p(signal) / 2 - fit.independent / 2 * np.log(left)
    return np.asarray(np.logaddexp.reduce(factors, axis=0) - math.log(len(_SLOPES)))


def _spacing(index: int) -> int:
    """Distance of the knees that are kept around this measurement: 1 at first, then a thirty-second of the length."""
    return max(1, (1 << index.bit_length()) // (2 * _RESOLUTION))
