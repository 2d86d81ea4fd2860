"""The onset of a finished training, found again from both sides of it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_interactions.distribution import segmentation
from lightning_interactions.distribution.segmentation import segment
from lightning_interactions.history import History


def noise(size, scale, seed=0):
    return scale * np.random.default_rng(seed).normal(size=size)


def slow_evidence(levels, noise_size, knee):
    """Log of the mean marginal likelihood over the six shapes, each fitted by least squares of its own."""
    position = np.arange(len(levels))
    found = []
    for power in (0.5, 1.0, 2.0):
        growth = np.where(position > knee, np.abs(position - knee) ** power, 0.0)
        fall = np.maximum(knee - position, 0.0)
        for columns in ([growth], [growth, fall]):
            design = np.stack([np.ones(len(levels)), *columns], axis=1)
            if np.linalg.matrix_rank(design) < design.shape[1]:
                continue
            coefficients = np.linalg.lstsq(design, levels, rcond=None)[0]
            if (coefficients[1:] <= 0).any():
                continue
            spread = ((levels - levels.mean()) ** 2).sum() + noise_size**2
            left = ((levels - design @ coefficients) ** 2).sum() + noise_size**2
            share = 1 - (1 - left / spread) * len(levels) / (1 + len(levels))
            found.append(-len(columns) / 2 * math.log(1 + len(levels)) - (len(levels) - 1) / 2 * math.log(share))
    return np.logaddexp.reduce(found) if found else -math.inf


@given(st.lists(st.floats(-3, 3), min_size=4, max_size=40), st.floats(0.01, 0.99))
@settings(deadline=None, max_examples=50)
def test_the_evidence_is_that_of_least_squares(levels, place):
    levels = np.array(levels) - np.mean(levels)
    knee = place * (len(levels) - 2)
    expected = slow_evidence(levels, 0.02, knee)
    assert segmentation._evidence(levels, 0.02, np.array([knee]))[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", ["linear", "saturating", "accelerating"])
def test_a_finished_training_gives_the_onset_with_an_interval(shape):
    position = np.clip((np.arange(100) - 60) / 39, 0, None)
    growth = {"linear": position, "saturating": np.sqrt(position), "accelerating": position**2}[shape]
    covered = 0
    for seed in range(20):
        found = segment([5 * k for k in range(100)], 1.5 * growth + noise(100, 0.02, seed))
        assert found.phase == "overfitting"
        assert abs(found.onset_epoch - 305) <= 20
        assert found.onset_interval[0] <= found.onset_epoch <= found.onset_interval[1] <= found.detected_epoch
        covered += found.onset_interval[0] <= 305 <= found.onset_interval[1]
    assert covered >= 14


def test_a_gap_that_falls_before_it_grows_grows_from_the_lowest():
    covered = 0
    for seed in range(20):
        gaps = np.interp(np.arange(200), [0, 40, 60, 199], [0.2, 0.2, -0.2, 1.0]) + noise(200, 0.02, seed)
        found = segment(range(200), gaps)
        assert abs(found.onset_epoch - 61) <= 8
        covered += found.onset_interval[0] <= 61 <= found.onset_interval[1]
    assert covered >= 14


def test_a_finished_training_without_growth_has_no_onset():
    found = segment(range(50), noise(50, 0.05))
    assert (found.phase, found.onset_epoch, found.onset_interval, found.detected_epoch) == ("normal", None, None, None)
    assert found.reason.startswith("normal: ")


def test_what_is_not_finite_is_passed_over_and_the_level_is_free():
    gaps = 0.4 + 2.0 * np.maximum(np.arange(60) - 30, 0) / 29 + noise(60, 0.01)
    gaps[[3, 35, 40]] = math.nan
    assert segment(range(60), gaps).onset_epoch == pytest.approx(31, abs=2)


def test_a_history_is_segmented_by_its_own_gaps():
    gaps = [0.0, -0.02, 0.01, math.nan, 0.0, 0.1, 0.3, 0.7, 1.1]
    history = History({"epoch": 10 * number, "loss_gap": gap} for number, gap in enumerate(gaps))
    assert segment(history) == segment(history.epochs, gaps)
    assert segment(history).onset_epoch == 50
    with pytest.raises(ValueError, match="`gaps` must be left out beside a history"):
        segment(history, gaps)


@pytest.mark.parametrize(
    ("epochs", "gaps"), [([0, 1], [0.0]), ([0, 0], [0.0, 0.0]), ([1, 0], [0.0, 0.0]), ([0, 1], None)]
)
def test_epochs_and_gaps_must_belong_together(epochs, gaps):
    with pytest.raises(ValueError, match="`measured` must be ascending epochs"):
        segment(epochs, gaps)
