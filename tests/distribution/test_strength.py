"""Strength by order against loops over sets, and what must hold for any effects."""

import math
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_interactions.distribution.strength import (
    Effects,
    cancellation,
    high_order_share,
    mean_order,
    order_strength,
    salient_counts,
    salient_effects,
    sample_order_strength,
    signed_strength,
)
from lightning_interactions.interactions import Interactions


def make(and_, or_, threshold=0.0):
    """Interactions with the given effects; the rest does not matter here."""
    and_, or_ = (torch.as_tensor(effects, dtype=torch.float64) for effects in (and_, or_))
    zeros = torch.zeros(len(and_), dtype=torch.float64)
    return Interactions(torch.zeros_like(and_), and_, or_, l1=zeros, gap=zeros, noise_bound=zeros, threshold=threshold)


def random(samples=3, n=4, seed=0, threshold=0.5):
    generator = torch.Generator().manual_seed(seed)
    and_, or_ = (torch.randn(samples, 2**n, dtype=torch.float64, generator=generator) for _ in range(2))
    and_[:, 0] = or_[:, 0] = 0
    return make(and_, or_, threshold)


def slow_strength(found, threshold):
    """Eq. 4 for every sample: ``(samples, n)`` twice, as lists."""
    positive, negative = [], []
    for row in range(len(found)):
        up, down = [0.0] * found.n_variables, [0.0] * found.n_variables
        for effects in (found.and_[row].tolist(), found.or_[row].tolist()):
            for subset in range(1, 2**found.n_variables):
                if abs(effects[subset]) > threshold:
                    side = up if effects[subset] > 0 else down
                    side[subset.bit_count() - 1] += abs(effects[subset])
        positive.append(up)
        negative.append(down)
    return positive, negative


def mean_of(rows):
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


CASES = list(product([1, 2, 5], [1, 3], [0.0, 0.3, 1.5]))


@pytest.mark.parametrize(("n", "samples", "threshold"), CASES)
def test_strength_is_the_sum_over_salient_effects(n, samples, threshold):
    found = random(samples, n, seed=n)
    slow = slow_strength(found, threshold)

    for side, expected in zip(order_strength(found, threshold), slow, strict=True):
        assert side.dtype == torch.float64
        assert side.tolist() == pytest.approx(mean_of(expected), rel=1e-12)
    for side, expected in zip(sample_order_strength(found, threshold), slow, strict=True):
        assert side.shape == (samples, n)
        torch.testing.assert_close(side, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0)


def test_bare_effects_are_as_good_as_interactions():
    found = random(threshold=0.9)
    bare = Effects(found.and_, found.or_, found.threshold)

    for threshold in (None, 0.3):
        expected = sample_order_strength(found, threshold)
        for side, same in zip(signed_strength(*salient_effects(bare, threshold)), expected, strict=True):
            assert torch.equal(side, same)
    with pytest.raises(ValueError, match="`threshold` must be a number ≥ 0, got -1"):
        salient_effects(bare, -1)


def test_the_threshold_is_that_of_the_interactions_unless_given():
    found = random(threshold=0.9)

    for default, given_ in zip(order_strength(found), order_strength(found, 0.9), strict=True):
        assert torch.equal(default, given_)
    assert not torch.equal(order_strength(found)[0], order_strength(found, 0.0)[0])
    assert torch.equal(salient_counts(found), salient_counts(found, 0.9))


def test_an_effect_at_the_threshold_is_not_salient():
    found = make([[0.0, 0.5, -0.5, 0.75]], [[0.0, 0.0, 0.0, -0.75]])

    assert [side.tolist() for side in order_strength(found, 0.5)] == [[0.0, 0.75], [0.0, 0.75]]
    assert [side.tolist() for side in order_strength(found, 0.75)] == [[0.0, 0.0], [0.0, 0.0]]


def test_both_signs_of_and_and_or_by_hand():
    #             ∅    {0}   {1}  {0,1}
    found = make([[0.0, 2.0, -1.0, -3.0], [0.0, 0.0, 0.0, 1.0]], [[0.0, 0.0, 4.0, 5.0], [0.0, 0.0, 0.0, -1.0]])

    positive, negative = order_strength(found, 0.0)
    assert (positive.tolist(), negative.tolist()) == ([3.0, 3.0], [0.5, 2.0])
    assert salient_counts(found).tolist() == [5, 2]
    assert salient_counts(found, 2.5).tolist() == [3, 0]


@pytest.mark.parametrize("threshold", [0.0, 0.6])
def test_normalised_by_the_mean_strength_of_order_one(threshold):
    found = random(samples=5)
    up, down = (mean_of(side) for side in slow_strength(found, threshold))
    z = up[0] + down[0]
    positive, negative = order_strength(found, threshold, normalize=True)

    assert positive.tolist() == pytest.approx([a / z for a in up], rel=1e-12)
    assert negative.tolist() == pytest.approx([a / z for a in down], rel=1e-12)
    assert (positive[0] + negative[0]).item() == pytest.approx(1.0)


def test_without_order_one_the_normalised_strength_is_not_a_number():
    found = make([[0.0, 0.1, 0.0, 3.0]], [[0.0, 0.0, 0.0, 0.0]], threshold=0.2)

    for side in order_strength(found, normalize=True):
        assert side.isnan().tolist() == [True, True]


def test_without_samples_everything_is_not_a_number():
    found = make(torch.zeros(0, 8), torch.zeros(0, 8))

    for normalize in (False, True):
        for side in order_strength(found, normalize=normalize):
            assert side.isnan().tolist() == [True] * 3
    assert salient_counts(found).tolist() == []


@pytest.mark.parametrize("threshold", [-1e-9, float("nan"), -float("inf")])
@pytest.mark.parametrize("measure", [order_strength, sample_order_strength, salient_counts])
def test_a_threshold_that_is_none_is_refused(measure, threshold):
    with pytest.raises(ValueError, match="`threshold` must be a number ≥ 0, got"):
        measure(random(), threshold)


def test_the_interactions_are_left_alone():
    found = random()
    before = found.and_.clone(), found.or_.clone()
    order_strength(found, 0.7)
    salient_counts(found, 0.7)

    assert torch.equal(found.and_, before[0])
    assert torch.equal(found.or_, before[1])


@st.composite
def effects(draw):
    """Quarters, so that sums are exact in any order; entry 0 is 0."""
    n = draw(st.integers(1, 4))
    samples = draw(st.integers(1, 4))
    numbers = st.lists(st.integers(-40, 40), min_size=2 * samples * 2**n, max_size=2 * samples * 2**n)
    table = torch.tensor(draw(numbers), dtype=torch.float64).reshape(2, samples, 2**n) / 4
    table[..., 0] = 0
    return table, draw(st.integers(0, 20)) / 4


@given(effects())
@settings(max_examples=60, deadline=None)
def test_the_other_sign_swaps_the_sides(case):
    (and_, or_), threshold = case
    positive, negative = order_strength(make(and_, or_), threshold)
    flipped = order_strength(make(-and_, -or_), threshold)

    assert torch.equal(flipped[0], negative)
    assert torch.equal(flipped[1], positive)


@given(effects())
@settings(max_examples=60, deadline=None)
def test_and_and_or_count_alike(case):
    (and_, or_), threshold = case
    for one, other in zip(
        order_strength(make(and_, or_), threshold), order_strength(make(or_, and_), threshold), strict=True
    ):
        assert torch.equal(one, other)


@given(effects(), st.sampled_from([0.25, 2.0, 1024.0]))
@settings(max_examples=60, deadline=None)
def test_another_unit_scales_the_strength_and_not_its_shape(case, factor):
    (and_, or_), threshold = case
    found, scaled = make(and_, or_), make(factor * and_, factor * or_)
    strengths = order_strength(found, threshold)
    scaled_strengths = order_strength(scaled, factor * threshold)

    for one, other in zip(strengths, scaled_strengths, strict=True):
        assert torch.equal(factor * one, other)
    for one, other in zip(
        order_strength(found, threshold, normalize=True),
        order_strength(scaled, factor * threshold, normalize=True),
        strict=True,
    ):
        torch.testing.assert_close(one, other, equal_nan=True, rtol=1e-12, atol=0)
    assert torch.equal(salient_counts(found, threshold), salient_counts(scaled, factor * threshold))
    assert mean_order(*scaled_strengths) == pytest.approx(mean_order(*strengths), rel=1e-12, nan_ok=True)


@given(effects(), st.integers(2, 3))
@settings(max_examples=60, deadline=None)
def test_samples_counted_twice_change_nothing(case, times):
    (and_, or_), threshold = case
    for normalize in (False, True):
        for one, other in zip(
            order_strength(make(and_, or_), threshold, normalize),
            order_strength(make(and_.repeat(times, 1), or_.repeat(times, 1)), threshold, normalize),
            strict=True,
        ):
            torch.testing.assert_close(one, other, equal_nan=True, rtol=1e-12, atol=0)


@given(effects())
@settings(max_examples=60, deadline=None)
def test_all_orders_together_are_the_mean_l1(case):
    (and_, or_), _ = case
    positive, negative = order_strength(make(and_, or_), 0.0)
    l1 = sum(abs(effect) for effect in torch.stack([and_, or_]).flatten().tolist()) / len(and_)

    assert (positive.sum() + negative.sum()).item() == pytest.approx(l1, rel=1e-12)


@given(effects())
@settings(max_examples=60, deadline=None)
def test_counts_are_those_of_a_loop(case):
    (and_, or_), threshold = case
    expected = [
        sum(abs(effect) > threshold for effect in [*a, *o]) for a, o in zip(and_.tolist(), or_.tolist(), strict=True)
    ]

    assert salient_counts(make(and_, or_), threshold).tolist() == expected


@given(effects())
@settings(max_examples=60, deadline=None)
def test_the_summaries_lie_in_their_ranges(case):
    (and_, or_), threshold = case
    sides = order_strength(make(and_, or_), threshold)

    if salient_counts(make(and_, or_), threshold).sum() == 0:
        assert math.isnan(mean_order(*sides))
        assert math.isnan(high_order_share(*sides))
    else:
        assert 1 <= mean_order(*sides) <= len(sides[0]) + 1e-12
        assert 0 <= high_order_share(*sides) <= 1 + 1e-12
    offset = cancellation(*sides)
    salient_orders = (sides[0] + sides[1]) > 0
    assert torch.equal(offset.isnan(), ~salient_orders)
    assert ((offset[salient_orders] >= 0) & (offset[salient_orders] <= 1)).all()


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("positive", "negative", "expected"),
    [
        (numbers(1, 0, 0), numbers(0, 0, 0), 1.0),
        (numbers(0, 0, 1), numbers(0, 0, 1), 3.0),
        (numbers(1, 0, 1), numbers(2, 2, 0), 10 / 6),  # (1 · 3 + 2 · 2 + 3 · 1) / (3 + 2 + 1)
    ],
)
def test_mean_order_by_hand(positive, negative, expected):
    assert mean_order(positive, negative) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("positive", "negative", "expected"),
    [
        (numbers(1, 1, 1, 1), numbers(0, 0, 0, 4), 6 / 8),  # n = 4: orders 3 and 4
        (numbers(1, 1, 1), numbers(1, 0, 0), 2 / 4),  # n = 3: orders 2 and 3
        (numbers(3, 0), numbers(1, 0), 0.0),
        (numbers(5), numbers(0), 1.0),  # n = 1: its only order lies above 1/2
    ],
)
def test_high_order_share_by_hand(positive, negative, expected):
    assert high_order_share(positive, negative) == pytest.approx(expected)


def test_cancellation_by_hand():
    found = cancellation(numbers(2, 0, 3, 0), numbers(2, 5, 1, 0))

    assert found[:3].tolist() == [1.0, 0.0, 0.5]
    assert found[3].isnan()


def test_summaries_of_strength_that_is_not_a_number():
    nothing = numbers(math.nan, math.nan)

    assert math.isnan(mean_order(nothing, nothing))
    assert math.isnan(high_order_share(nothing, nothing))
    assert cancellation(nothing, nothing).isnan().all()
