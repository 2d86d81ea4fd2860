"""The phases of a finished training: where, seen from its end, the loss gap began to grow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from lightning_interactions.distribution.phases import EXPECTED_NOISE, Phase, PhaseDetector

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Records", "Segmentation", "segment"]

_POWERS = (0.5, 1.0, 2.0)
"""Shapes of growth: saturating, even, accelerating."""
_CREDIBLE = (0.05, 0.5, 0.95)
_PLACES = 512
"""Places of the knee that are tried at once."""
_ZOOMS = 3
_NEGLIGIBLE = 1e-6
"""Probability, relative to the most probable place, below which a place is left out when looking closer."""


@runtime_checkable
class Records(Protocol):
    """What :class:`~lightning_interactions.history.History` offers, of which this file knows no more."""

    @property
    def epochs(self) -> list[int]:
        """The measured epochs, ascending."""

    def column(self, key: str) -> list[Any]:
        """The values of one key, epoch by epoch."""


@dataclass(frozen=True)
class Segmentation:
    """The phases of a whole training.

    Attributes:
        phase: at the end of the training.
        onset_epoch: first measured epoch of the overfitting phase; ``None`` where it ends in the normal phase.
        onset_interval: epochs between which the onset lies with a probability of 90 %.
        detected_epoch: when a detector that watched the training would have said so.
        reason: the same in words.
    """

    phase: Phase
    onset_epoch: int | None
    onset_interval: tuple[int, int] | None
    detected_epoch: int | None
    reason: str


def segment(
    measured: Records | Sequence[int],
    gaps: Sequence[float] | None = None,
    *,
    rise: float = 0.1,
    false_alarm_rate: float = 0.05,
) -> Segmentation:
    r"""Divide a finished training into its phases; unlike the detector it sees what came after the onset.

    Where :class:`~lightning_interactions.PhaseDetector` finds an overfitting phase, its onset is looked for again by
    segmented regression, :math:`y_i = \mu + a (k - i)_+ + b (i - k)_+^q` with :math:`q` of ½, 1 or 2, :math:`b > 0`
    and the gap constant (:math:`a = 0`) or falling (:math:`a > 0`) before the knee :math:`k`, on the measurements from
    the last constant level to some way behind the detection. The place of the knee is averaged over the six shapes.

    Args:
        measured: the history of a monitor, or the measured epochs, ascending.
        gaps: beside epochs, held-out minus training loss at each; what is not finite is passed over.
        rise: see :class:`~lightning_interactions.PhaseDetector`.
        false_alarm_rate: see :class:`~lightning_interactions.PhaseDetector`.

    Returns:
        the phase at the end, and the onset with its interval.

    Raises:
        ValueError: if epochs and gaps differ in length, the epochs do not ascend, or gaps come beside a history.

    Example:
        >>> found = segment(range(8), [0.0, -0.02, 0.01, 0.0, 0.1, 0.3, 0.7, 1.1])
        >>> found.phase, found.onset_epoch, found.detected_epoch
        ('overfitting', 4, 7)
    """
    usable = _usable(measured, gaps)
    detector = PhaseDetector(rise, false_alarm_rate)
    start, detected = 0, None
    for epoch, gap in usable:
        since, phase = detector.since_epoch, detector.phase
        if detector.update(epoch=epoch, gap=gap) == "normal":
            detected = None
        elif phase == "normal":
            detected, start = epoch, epoch if since is None else since
    if detected is None or detector.onset_epoch is None:
        return Segmentation(detector.phase, None, None, None, detector.phase_message)
    window = _window(usable, start, detected, detector.onset_epoch)
    low, onset, high = _regress([gap for _, gap in window], EXPECTED_NOISE * rise)
    onset_epoch, interval = window[onset][0], (window[low][0], window[high][0])
    reason = f"overfitting since epoch {onset_epoch} ({interval[0]} … {interval[1]}): {detector.reason}"
    return Segmentation(detector.phase, onset_epoch, interval, detected, reason)


def _usable(measured: Records | Sequence[int], gaps: Sequence[float] | None) -> list[tuple[int, float]]:
    if isinstance(measured, Records):
        if gaps is not None:
            msg = f"`gaps` must be left out beside a history, which has its own, got {len(gaps)} of them."
            raise ValueError(msg)
        return _usable(measured.epochs, measured.column("loss_gap"))
    gaps = [] if gaps is None else gaps
    if len(measured) != len(gaps) or any(later <= earlier for earlier, later in pairwise(measured)):
        msg = (
            f"`measured` must be ascending epochs with one of the `gaps` each, got {list(measured)[:9]} and"
            f" {len(gaps)} gaps. HINT: a monitor's `history` can be given alone."
        )
        raise ValueError(msg)
    return [(int(epoch), float(gap)) for epoch, gap in zip(measured, gaps, strict=True) if math.isfinite(gap)]


def _window(usable: list[tuple[int, float]], start: int, detected: int, onset: int) -> list[tuple[int, float]]:
    """What the onset is looked for in: from one measurement before the level, which may be the lowest of a dip."""
    epochs = [epoch for epoch, _ in usable]
    behind = 2 * sum(onset <= epoch <= detected for epoch in epochs)
    return usable[max(0, epochs.index(start) - 1) : epochs.index(detected) + 1 + behind]


def _regress(gaps: Sequence[float], noise: float) -> tuple[int, int, int]:
    """Indices of the first measurement behind the knee: low end, median and high end of its 90 % credible interval."""
    levels = np.asarray(gaps) - np.mean(gaps)
    low, high = 0.0, len(levels) - 2.0
    for _ in range(_ZOOMS):
        step = (high - low) / _PLACES
        knees = low + step * (np.arange(_PLACES) + 0.5)
        evidence = _evidence(levels, noise, knees)
        probability = np.exp(evidence - evidence.max())
        likely = knees[probability > _NEGLIGIBLE]
        low, high = max(low, likely[0] - step), min(high, likely[-1] + step)
    inside = np.cumsum(probability)
    first_behind = np.floor(knees).astype(int) + 1
    low_end, middle, high_end = (int(first_behind[np.searchsorted(inside, end * inside[-1])]) for end in _CREDIBLE)
    return low_end, middle, high_end


def _evidence(levels: np.ndarray, noise: float, knees: np.ndarray) -> np.ndarray:
    """Logarithm of the marginal likelihood of each knee, but for a constant, averaged over the shapes."""
    count = len(levels)
    spread = levels @ levels + noise**2
    distance = np.arange(count) - knees[:, None]
    fall = _centred(np.maximum(-distance, 0.0))
    evidence = []
    for power in _POWERS:
        growth = _centred(np.maximum(distance, 0.0) ** power)
        evidence.append(_log_gain(_explained_by_growth(levels, growth) / spread, count, coefficients=1))
        evidence.append(_log_gain(_explained_by_both(levels, growth, fall) / spread, count, coefficients=2))
    return np.asarray(np.logaddexp.reduce(evidence, axis=0))


def _centred(columns: np.ndarray) -> np.ndarray:
    return columns - columns.mean(axis=1, keepdims=True)


def _explained_by_growth(levels: np.ndarray, growth: np.ndarray) -> np.ndarray:
    """Sum of squares that least squares explains, knee by knee; NaN where the gap would have to fall behind it."""
    product = growth @ levels
    return np.where(product > 0, product**2 / (growth**2).sum(axis=1), np.nan)


def _explained_by_both(levels: np.ndarray, growth: np.ndarray, fall: np.ndarray) -> np.ndarray:
    """The same with a fall before the knee; NaN where there is none, or no telling them apart."""
    growth_levels, fall_levels = growth @ levels, fall @ levels
    growth_square, fall_square, mixed = (growth**2).sum(axis=1), (fall**2).sum(axis=1), (growth * fall).sum(axis=1)
    determinant = growth_square * fall_square - mixed**2
    distinct = determinant > 1e-9 * growth_square * fall_square
    determinant = np.where(distinct, determinant, 1.0)
    rise = (fall_square * growth_levels - mixed * fall_levels) / determinant
    drop = (growth_square * fall_levels - mixed * growth_levels) / determinant
    return np.where(distinct & (rise > 0) & (drop > 0), rise * growth_levels + drop * fall_levels, np.nan)


def _log_gain(explained: np.ndarray, count: int, coefficients: int) -> np.ndarray:
    """Log Bayes factor against a constant by the share explained, with a unit-information prior; NaN: impossible."""
    left = 1 - explained * count / (1 + count)
    gain = -coefficients / 2 * math.log(1 + count) - (count - 1) / 2 * np.log(left)
    return np.where(np.isnan(gain), -np.inf, gain)
