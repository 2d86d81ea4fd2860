"""What says from a growing record of losses that a training overfits: our detector, two simple rules and a limit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lightning_interactions.distribution.phases import PhaseDetector

if TYPE_CHECKING:
    from simulated_gaps import Curve

__all__ = ["LIMIT", "LIMIT_FAMILIES", "LIMIT_RUNS", "RULES", "limit_rule"]


def new_rule(held_out: np.ndarray, gaps: np.ndarray) -> tuple[int | None, int | None, str]:  # noqa: ARG001
    """First detection, the onset it dated, and the phase at the end: this project's detector."""
    detector, detected, onset = PhaseDetector(), None, None
    for index, gap in enumerate(gaps):
        if detector.update(epoch=index, gap=gap) == "overfitting" and detected is None:
            detected, onset = index, detector.onset_epoch
    return detected, onset, detector.phase


def previous_rule(held_out: np.ndarray, gaps: np.ndarray) -> tuple[int | None, int | None, str]:  # noqa: ARG001
    """Two gaps in a row more than 0.1 above the lowest before; as many below it go back to normal."""
    lowest, against, phase, first, onset = math.inf, 0, "normal", None, None
    for index, gap in enumerate(gaps):
        high = gap > lowest + 0.1
        against = against + 1 if high == (phase == "normal") else 0
        if against == 2:  # noqa: PLR2004
            phase, against = ("overfitting" if phase == "normal" else "normal"), 0
            if first is None:
                first, onset = index, index - 1
        lowest = min(lowest, gap)
    return first, onset, phase


def naive_rule(held_out: np.ndarray, gaps: np.ndarray) -> tuple[int | None, int | None, str]:  # noqa: ARG001
    """The held-out loss has risen for three checks in a row."""
    rising = np.diff(held_out) > 0
    for index in range(3, len(held_out)):
        if rising[index - 3 : index].all():
            return index, index - 2, "overfitting"
    return None, None, "normal"


RULES = {"detector": new_rule, "rise 0.1 twice": previous_rule, "held-out loss rose 3 times": naive_rule}

LIMIT = "limit: told all but when"
LIMIT_FAMILIES = ("knee", "noisy knee")
LIMIT_RUNS = 100
_LIMIT_DRAWS = 200


def limit_rule(curve: Curve, generator: np.random.Generator) -> tuple[int | None, int | None, str]:
    """What hardly any rule beats that alarms in a twentieth of the runs without growth: a likelihood ratio told all.

    It knows the level, the noise and the slope of this very training, and not when the growth begins: the ratio is
    averaged over all beginnings (Shiryaev and Roberts), and its threshold is the 95 % quantile of the highest ratio in
    simulations without growth.
    """
    slope = curve.growth[-1] - curve.growth[-2]
    first = curve.growth[curve.onset]
    template = (first + slope * np.arange(len(curve.gap))) / curve.noise
    highest = _log_ratios(generator.normal(size=(_LIMIT_DRAWS, len(curve.gap))), template).max(axis=1)
    ratios = _log_ratios((curve.gap - curve.level)[None] / curve.noise, template)[0]
    alarms = np.flatnonzero(ratios > np.quantile(highest, 0.95))
    detected = int(alarms[0]) if len(alarms) else None
    return detected, None, "normal" if detected is None else "overfitting"


def _log_ratios(levels: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Log of the summed likelihood ratios of all beginnings so far; levels ``(runs, length)`` in units of the noise."""
    found = np.full(levels.shape, -np.inf)
    for begin in range(levels.shape[1]):
        expected = template[: levels.shape[1] - begin]
        ratio = np.cumsum(levels[:, begin:] * expected - expected**2 / 2, axis=1)
        found[:, begin:] = np.logaddexp(found[:, begin:], ratio)
    return found
