"""Simulated loss gaps of trainings of which it is known whether and when they overfit."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

__all__ = ["FAMILIES", "LENGTHS", "Curve", "simulate"]


class Curve(NamedTuple):
    """A simulated training, and the truth about it."""

    held_out: np.ndarray
    gap: np.ndarray
    onset: int | None
    """Index of the first measurement of the overfitting phase."""
    level: float
    growth: np.ndarray
    """The gap above its level without noise."""
    noise: float
    """Standard deviation."""


LENGTHS = {13: 1000, 50: 1000, 200: 1000, 1000: 50}
"""Measurements of a training, and how many of each family are simulated."""

FAMILIES = {
    "flat": "constant gap, independent noise: normal",
    "slow drift": "the gap grows evenly by 0 … 0.05 over the whole run, less than what matters: normal",
    "noisy": "constant gap, independent noise of 0.05 … 0.3: normal",
    "correlated": "the same with noise that is correlated in time (0.5): normal",
    "restarts": "constant gap that jumps by 0.1 … 0.5 at each of 4–10 restarts of the learning rate and decays: normal",
    "knee": "constant, then even growth to 0.3 … 3 from a place in 20–80 % of the run",
    "noisy knee": "the same with noise of 0.05 … 0.3",
    "steady growth": "even growth by 0.5 … 3 from the first measurement: overfitting from then on",
    "dip": "constant, down by 0.2 … 0.5 within a tenth of the run, and from there even growth by 0.5 … 2, as with wrong"
    " labels: overfitting from the lowest gap on",
    "double descent": "constant, up to 0.5 … 2, back within a third of the run, constant again",
}
"""What is simulated, and what counts as the truth."""


def simulate(family: str, length: int, generator: np.random.Generator) -> Curve:
    """One training: training loss falls, the gap is the family's, held-out loss is their sum."""
    position = np.arange(length) / length
    level = generator.uniform(-0.1, 0.4)
    size = math.exp(generator.uniform(math.log(0.002), math.log(0.05)))
    gap, onset = np.zeros(length), None
    if family == "slow drift":
        gap = generator.uniform(0.0, 0.05) * position
    elif family in {"noisy", "correlated"}:
        size = generator.uniform(0.05, 0.3)
    elif family == "restarts":
        cycle = length / generator.integers(4, 11)
        gap = generator.uniform(0.1, 0.5) * np.exp(-(np.arange(length) % cycle) / generator.uniform(0.5, 3))
    elif "knee" in family:
        size = generator.uniform(0.05, 0.3) if family == "noisy knee" else size
        place = generator.uniform(0.2, 0.8)
        growth = math.exp(generator.uniform(math.log(0.3), math.log(3)))
        gap = growth * np.maximum(position - place, 0) / (1 - place)
        onset = math.floor(place * length) + 1
    elif family == "steady growth":
        gap = generator.uniform(0.5, 3) * position
        onset = 1
    elif family == "dip":
        place, depth = generator.uniform(0.1, 0.4), generator.uniform(0.2, 0.5)
        gap = np.interp(position, [place, place + 0.1, 1], [0, -depth, generator.uniform(0.5, 2) - depth])
        onset = math.floor((place + 0.1) * length) + 1
    elif family == "double descent":
        place, width = generator.uniform(0.2, 0.5), generator.uniform(0.2, 1 / 3)
        gap = np.interp(position, [place, place + width / 2, place + width], [0, generator.uniform(0.5, 2), 0])
        onset = math.floor(place * length) + 1
    noise_ = generator.normal(size=length)
    if family == "correlated":
        for index in range(1, length):
            noise_[index] = 0.5 * noise_[index - 1] + math.sqrt(0.75) * noise_[index]
    growth_, gap = gap, level + gap + size * noise_
    train = 2.3 * np.exp(-6 * position) * np.exp(0.05 * generator.normal(size=length))
    return Curve(train + gap, gap, onset, level, growth_, size)
