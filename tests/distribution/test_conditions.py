"""The three conditions written out over sets of variables, and the power against a search."""

import math
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_interactions import Columns, explain, sparsify
from lightning_interactions.distribution.conditions import _smallest_power, conditions, mean_outputs
from lightning_interactions.lattice import values_from_and


def slow_means(values):
    """ū of each k: over samples and all sets of k variables."""
    n = len(values[0]).bit_length() - 1
    means = []
    for k in range(n + 1):
        found = [
            row[sum(1 << variable for variable in chosen)] - row[0]
            for row in values
            for chosen in combinations(range(n), k)
        ]
        means.append(sum(found) / len(found))
    return means


def slow_and(values):
    """Inclusion and exclusion over the subsets of each set; OR effects are those of the complements, negated."""
    return [
        sum(
            (-1) ** (subset.bit_count() - inner.bit_count()) * values[inner]
            for inner in range(len(values))
            if inner & subset == inner
        )
        for subset in range(len(values))
    ]


def slow_largest_order(kinds, limit):
    return max(
        (subset.bit_count() for effects in kinds for subset, effect in enumerate(effects) if abs(effect) > limit),
        default=0,
    )


def holds(means, p, slack=0.0):
    """Condition 3 for the mean outputs of orders 1 … n, with every right-hand side lowered by ``slack``."""
    return all(
        means[fewer - 1] >= (fewer / k) ** p * means[k - 1] - slack
        for k in range(1, len(means) + 1)
        for fewer in range(1, k + 1)
    )


@pytest.mark.parametrize(("samples", "n"), [(1, 1), (3, 2), (2, 5)])
def test_mean_outputs_are_means_over_sets_of_one_size(samples, n, random_interactions):
    values = random_interactions(samples, n).values
    found = mean_outputs(values)

    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(slow_means(values.tolist()), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("threshold", [None, 0.0, 1.2, 9.0])
def test_the_numbers_are_those_of_the_definitions(seed, threshold, random_interactions):
    found = random_interactions(2, 4, seed, threshold=1.5)
    verdict = conditions(found, threshold=threshold)
    limit = 1.5 if threshold is None else threshold
    means = slow_means(found.values.tolist())
    largest = max(
        min(
            slow_largest_order([found.and_[row].tolist(), found.or_[row].tolist()], limit),
            slow_largest_order([slow_and(values)], limit),
            slow_largest_order([slow_and([-v for v in reversed(values)])], limit),
        )
        for row, values in enumerate(found.values.tolist())
    )
    fall = max(means[a] - means[b] for b in range(5) for a in range(b + 1))

    assert verdict.largest_order == largest
    assert verdict.no_extreme_order == (largest < 4)
    assert verdict.largest_fall == pytest.approx(fall, rel=1e-12)
    assert verdict.is_monotone == all(means[k] <= means[k + 1] for k in range(4))
    assert verdict.is_bounded == any(holds(means[1:], p / 100) for p in range(5000))
    if verdict.is_bounded:
        assert holds(means[1:], verdict.power, slack=1e-12)


MEANS = st.lists(st.floats(-10, 10).map(lambda mean: round(mean, 3)), min_size=1, max_size=6)


@given(MEANS)
@settings(deadline=None, max_examples=100)
def test_the_power_is_the_smallest_that_is_enough(means):
    power = _smallest_power(means)
    if math.isfinite(power):
        assert power >= 0
        assert holds(means, power, slack=1e-9)
        if power > 0:
            assert not holds(means, power * (1 - 1e-6), slack=0.0)
            assert not holds(means, 0.0)
    else:
        assert not any(holds(means, p / 50) for p in range(2000))


@given(st.lists(st.floats(0.01, 10), min_size=2, max_size=6))
@settings(deadline=None, max_examples=25)
def test_positive_means_always_have_a_power(means):
    power = _smallest_power(means)

    assert math.isfinite(power)
    assert (power == 0) == all(means[fewer] >= means[k] for k in range(len(means)) for fewer in range(k))


@pytest.mark.parametrize(
    ("means", "power"),
    [
        ([3.0], 0.0),
        ([-3.0], 0.0),
        ([0.0, 0.0, 0.0], 0.0),
        ([2.0, 1.0], 0.0),
        ([1.0, 2.0, 3.0], 1.0),
        ([1.0, 4.0, 9.0], 2.0),
        ([0.0, 1.0], math.inf),
        ([-1.0, 1.0], math.inf),
        ([-1.0, -2.0], 0.0),  # any p up to 1
        ([-2.0, -1.0], math.inf),
        ([-1.0, -1.0], 0.0),
        ([1.0, 4.0, -1.0], 2.0),
        ([-1.0, -2.0, -2.0], 0.0),
    ],
)
def test_powers_by_hand(means, power):
    assert _smallest_power(means) == pytest.approx(power)


def test_an_additive_network_meets_all_conditions_and_a_parity_none():
    bits = torch.tensor([[subset >> i & 1 for i in range(4)] for subset in range(16)], dtype=torch.float64)
    additive = conditions(sparsify((bits @ torch.tensor([1.0, 2.0, 0.5, 1.5], dtype=torch.float64))[None]))
    parity = conditions(sparsify(1 - 2 * (bits.sum(dim=1) % 2)[None]))

    assert additive.all_hold
    assert additive.largest_order == 1
    assert additive.power == pytest.approx(1)
    assert not parity.all_hold
    assert (parity.no_extreme_order, parity.is_monotone, parity.is_bounded) == (False, False, False)
    assert parity.largest_fall == 2


@pytest.mark.parametrize("kind", ["and", "or"])
def test_one_interaction_needs_its_own_order_in_whatever_way_it_was_split(kind, make_interactions):
    present = [subset & 0b110 for subset in range(8)]
    values = [[float(seen == 0b110 if kind == "and" else seen > 0) for seen in present]]

    for solver in ("none", "interior_point"):
        assert conditions(sparsify(torch.tensor(values), solver=solver)).largest_order == 2
    assert conditions(make_interactions(torch.ones(1, 8), values=values)).largest_order == 2


def test_rounding_is_neither_rise_nor_fall(make_interactions):
    values = 1e3 + 1e-13 * torch.randn(2, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = conditions(make_interactions(torch.zeros(2, 16), values=values))

    assert found.all_hold
    assert (found.largest_order, found.largest_fall, found.power) == (0, 0, 0)


@pytest.mark.parametrize(("n", "level"), [(3, 0.1), (4, 0.1), (5, 0.3)])
def test_a_flat_mean_does_not_fall(n, level, make_interactions):
    values = [[0.0] + [level] * (2**n - 1)]
    found = conditions(make_interactions(torch.zeros(1, 2**n), values=values))

    assert found.is_monotone
    assert found.largest_fall == 0


def test_the_record_is_plain_numbers(make_interactions, random_interactions):
    found = conditions(random_interactions())
    record = found.as_record()
    none = conditions(make_interactions([[0.0] * 4], values=[[0.0, 1, -1, 1]]))

    assert list(record) == [
        "condition_1",
        "condition_1_holds",
        "condition_2",
        "condition_2_holds",
        "condition_3",
        "condition_3_holds",
    ]
    assert all(type(value) is float for value in record.values())
    assert (record["condition_1"], record["condition_1_holds"]) == (found.largest_order, found.no_extreme_order)
    assert (record["condition_2"], record["condition_2_holds"]) == (found.largest_fall, found.is_monotone)
    assert none.power == math.inf
    assert math.isnan(none.as_record()["condition_3"])
    assert none.as_record()["condition_3_holds"] == 0


def test_the_largest_order_allowed_can_be_given(make_interactions):
    effects = torch.tensor([[0, 1.0, 0, 0, 0, 0, 1.0, 0]])
    found = make_interactions(effects, values=values_from_and(effects))

    assert conditions(found).no_extreme_order
    assert conditions(found, max_order=2).no_extreme_order
    assert not conditions(found, max_order=1).no_extreme_order


def test_a_network_end_to_end():
    model, rows = torch.nn.Linear(3, 1, bias=False), torch.ones(2, 3)
    model.weight.data = torch.tensor([[1.0, 2.0, 3.0]])
    found = conditions(explain(model, rows, torch.ones(2), Columns(n_variables=3, baseline=0.0)))

    assert found.all_hold
    assert found.mean_outputs.tolist() == pytest.approx([0, 2, 4, 6])


def test_bad_input_is_refused(random_interactions, make_interactions):
    with pytest.raises(ValueError, match=r"`max_order` must lie in 0 … 4.*got 5"):
        conditions(random_interactions(), max_order=5)
    with pytest.raises(ValueError, match="at least one sample"):
        conditions(random_interactions(0))
    with pytest.raises(ValueError, match="must be finite"):
        conditions(make_interactions([[0.0] * 4], values=[[0, math.nan, 0, 0]]))
    with pytest.raises(ValueError, match="`threshold`"):
        conditions(random_interactions(), threshold=-1.0)
