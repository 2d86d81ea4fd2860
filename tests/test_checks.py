"""The checks that every part of the package makes of its arguments."""

import math

import numpy as np
import pytest
import torch

from lightning_interactions import FeatureMapPatches, InteractionMonitor, lattice, spindle
from lightning_interactions.checks import check_ranges, check_whole


@pytest.mark.parametrize("number", [1, 7, np.int64(3), np.uint8(3)])
def test_whole_numbers_pass(number):
    check_whole(minimum=1, n=number)


@pytest.mark.parametrize("thing", [True, np.True_, 2.0, np.float64(2), "3", None, math.nan, torch.tensor(3)])
def test_what_is_no_whole_number_is_refused_by_its_type(thing):
    with pytest.raises(TypeError, match=rf"`n` must be a whole number, got .* of type {type(thing).__name__}\.$"):
        check_whole(n=thing)


def test_a_number_below_the_smallest_is_refused_by_its_value():
    check_whole(n=-5)
    with pytest.raises(ValueError, match=r"^`m` must be a whole number, at least 0, got -1\. HINT: 3 is usual\.$"):
        check_whole(minimum=0, hint="3 is usual.", n=0, m=-1)


@pytest.mark.parametrize("bounds", [(0, 1), (-1, 1), (2, 1), (1, 1), (1, math.inf), (math.nan, 1)])
def test_a_range_must_rise_from_above_zero(bounds):
    check_ranges(alpha_range=(0.1, 1.5))
    with pytest.raises(ValueError, match=r"`delta_range` must be \(low, high\) with 0 < low < high, got "):
        check_ranges(alpha_range=(0.1, 1.5), delta_range=bounds)


def test_a_number_of_numpy_is_as_good_as_any():
    three = np.int64(3)

    assert torch.equal(lattice.subset_masks(three), lattice.subset_masks(3))
    assert torch.equal(spindle(three, 0.8), spindle(3, 0.8))
    # A NumPy number in a checkpoint would make the user's resume fail.
    assert type(FeatureMapPatches("features.4", n_variables=three).n_variables) is int
    assert InteractionMonitor(FeatureMapPatches("features.4"), every_n_epochs=three).should_measure(6)
