"""Definition 2.2 against loops over samples, kinds, signs and subsets."""

import math
import pickle
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_interactions import Columns, InputPatches, explain
from lightning_interactions.distribution.similarity import InteractionSimilarity, similarity
from lightning_interactions.masking.fixed import SamePositions


def slow_mean(found, rows, threshold):
    """The mean over samples of the positive and the negative part of each effect: a list of ``4 · 2**n`` numbers."""
    means = {}
    for kind, effects in (("AND", found.and_), ("OR", found.or_)):
        for sign in (1, -1):
            for subset in range(2**found.n_variables):
                total = 0.0
                for row in rows:
                    effect = effects[row, subset].item()
                    if abs(effect) > threshold and effect * sign > 0:
                        total += abs(effect)
                means[kind, sign, subset] = total / len(rows)
    return means


def slow_similarity(train, test, threshold=0.0, train_rows=None, test_rows=None):
    a = slow_mean(train, range(len(train)) if train_rows is None else train_rows, threshold)
    b = slow_mean(test, range(len(test)) if test_rows is None else test_rows, threshold)
    result = []
    for order in range(1, train.n_variables + 1):
        keys = [key for key in a if key[2].bit_count() == order]
        below, above = sum(min(a[key], b[key]) for key in keys), sum(max(a[key], b[key]) for key in keys)
        result.append(below / above if above else math.nan)
    return result


def close(expected):
    return pytest.approx(expected, rel=1e-12, nan_ok=True)


@pytest.mark.parametrize("threshold", [0.0, 0.4, 1.5])
@pytest.mark.parametrize("n", [1, 2, 4])
def test_it_is_the_definition(n, threshold, random_interactions):
    train, test = random_interactions(3, n, seed=1), random_interactions(5, n, seed=2)
    found = similarity(train, test, threshold=threshold)

    assert found.dtype == torch.float64
    assert found.tolist() == close(slow_similarity(train, test, threshold))


def test_the_threshold_is_none_by_default_and_each_ones_own_on_request(random_interactions, make_interactions):
    train, test = random_interactions(seed=1, threshold=0.3), random_interactions(seed=2, threshold=1.0)
    assert similarity(train, test).tolist() == close(slow_similarity(train, test))

    kept = make_interactions(
        torch.where(test.and_.abs() > 1.0, test.and_, 0.0), torch.where(test.or_.abs() > 1.0, test.or_, 0.0)
    )
    expected = similarity(
        make_interactions(
            torch.where(train.and_.abs() > 0.3, train.and_, 0.0), torch.where(train.or_.abs() > 0.3, train.or_, 0.0)
        ),
        kept,
    )
    torch.testing.assert_close(similarity(train, test, threshold=None), expected)


def test_by_hand(make_interactions):
    train = make_interactions([[0, 2, 0, 1], [0, 4, -2, 1]])  # means: 3 up, 1 down; 1
    test = make_interactions([[0, 1, 1, -1]])

    assert similarity(train, test).tolist() == pytest.approx([1 / (3 + 1 + 1), 0])


def test_and_and_or_are_different_interactions(make_interactions):
    one, zero = [[0.0, 0.0, 0.0, 1.0]], [[0.0] * 4]

    assert similarity(make_interactions(one, zero), make_interactions(zero, one)).tolist() == close([math.nan, 0])


@given(st.integers(0, 2**31), st.integers(1, 4), st.floats(1e-3, 1e3))
@settings(deadline=None, max_examples=25)
def test_equal_sets_have_1_disjoint_ones_0_and_scaled_ones_their_ratio(seed, n, scale):
    # Fixtures are made once for all examples, so the effects are drawn here.
    from lightning_interactions.interactions import Interactions  # noqa: PLC0415

    effects = torch.randn(2, 3, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    effects[..., 0] = 0
    zeros = torch.zeros(3, dtype=torch.float64)

    def of(and_, or_):
        return Interactions(torch.zeros_like(and_), and_, or_, l1=zeros, gap=zeros, noise_bound=zeros, threshold=0.0)

    found, nothing = of(*effects), torch.zeros_like(effects[0])
    torch.testing.assert_close(similarity(found, found), torch.ones(n, dtype=torch.float64))
    torch.testing.assert_close(
        similarity(of(effects[0], nothing), of(nothing, effects[1])), torch.zeros(n, dtype=torch.float64)
    )
    ratio = torch.full((n,), min(scale, 1 / scale), dtype=torch.float64)
    torch.testing.assert_close(similarity(found, of(*(scale * effects))), ratio)
    other = of(effects[1], effects[0].flip(0))
    torch.testing.assert_close(similarity(found, other), similarity(other, found))
    assert ((similarity(found, other) >= 0) & (similarity(found, other) <= 1)).all()


def test_samples_at_the_same_positions_can_be_compared_and_others_are_refused():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
    images = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    targets, patches = torch.zeros(6, dtype=torch.int64), InputPatches(grid=4, border=0, n_variables=3)
    train, test = (
        [explain(model, images[rows], targets[rows], variables, solver="none") for rows in (slice(0, 3), slice(3, 6))]
        for variables in (SamePositions(patches, images), patches)
    )
    assert similarity(*train).tolist() == close(slow_similarity(*train))
    with pytest.raises(ValueError, match=r"same input variables.*HINT: draw them with `SamePositions`"):
        similarity(*test)


def test_columns_are_the_same_in_every_row():
    model, rows = torch.nn.Linear(3, 2), torch.rand(4, 3)
    found = explain(model, rows, torch.zeros(4), Columns(n_variables=3), solver="none")

    assert similarity(found, found).tolist()[0] == pytest.approx(1)


def test_bad_input_is_refused(random_interactions):
    with pytest.raises(ValueError, match="`test` must have 4 input variables like the rest, got 3"):
        similarity(random_interactions(n=4), random_interactions(n=3))
    with pytest.raises(ValueError, match="`test` must hold at least one sample"):
        similarity(random_interactions(2), random_interactions(0))
    with pytest.raises(ValueError, match="`threshold`"):
        similarity(random_interactions(), random_interactions(), threshold=-1.0)


CLASSES = {"train": torch.tensor([0, 2, 0, 1, 0]), "test": torch.tensor([2, 0, 0, 2])}


@pytest.fixture
def sets(random_interactions):
    return {"train": random_interactions(5, 3, seed=1), "test": random_interactions(4, 3, seed=2)}


@pytest.fixture
def expected(sets):
    rows = {
        split: [[row for row, label in enumerate(labels.tolist()) if label == wanted] for wanted in range(4)]
        for split, labels in CLASSES.items()
    }
    return [
        slow_similarity(sets["train"], sets["test"], 0.0, train_rows, test_rows)
        if train_rows and test_rows
        else [math.nan] * 3
        for train_rows, test_rows in zip(rows["train"], rows["test"], strict=True)
    ]


def part(found, rows, make_interactions):
    return make_interactions(found.and_[rows], found.or_[rows], found.threshold)


def filled(sets, make_interactions, *slices):
    metric = InteractionSimilarity(3, n_classes=4)
    for split in ("test", "train"):
        for rows in slices:
            metric.update(part(sets[split], rows, make_interactions), split, CLASSES[split][rows])
    return metric


def matches(found, expected):
    assert found.dtype == torch.float64
    assert found.shape == (4, 3)
    for row, wanted in zip(found.tolist(), expected, strict=True):
        assert row == close(wanted)


@pytest.mark.parametrize("cuts", [[0, 9], [0, 2, 9], [0, 1, 2, 3, 4, 9]])
def test_the_metric_is_the_definition_for_each_class_however_the_samples_are_batched(
    cuts, sets, expected, make_interactions
):
    slices = [slice(*pair) for pair in pairwise(cuts)]
    matches(filled(sets, make_interactions, *slices).compute(), expected)


def test_one_class_needs_no_labels(sets):
    metric = InteractionSimilarity(3)
    metric.update(sets["train"], "train")
    metric.update(sets["test"], "test")

    torch.testing.assert_close(metric.compute(), similarity(sets["train"], sets["test"])[None])


def test_the_metric_knows_the_threshold(sets):
    metric = InteractionSimilarity(3, threshold=0.8)
    metric.update(sets["train"], "train")
    metric.update(sets["test"], "test")

    torch.testing.assert_close(metric.compute()[0], similarity(sets["train"], sets["test"], threshold=0.8))


def test_the_metric_can_be_reset_pickled_and_called(sets, expected, make_interactions):
    metric = filled(sets, make_interactions, slice(0, 9))
    matches(pickle.loads(pickle.dumps(metric)).compute(), expected)  # noqa: S301

    # A call takes the batch in and returns the value of the batch alone.
    alone = metric(sets["train"], "train", CLASSES["train"])
    assert alone.isnan().all()
    matches(metric.compute(), expected)
    metric.reset()
    assert metric.counts.sum() == 0
    matches(filled(sets, make_interactions, slice(0, 9)).compute(), expected)


def test_the_metric_refuses_other_positions_within_a_class(random_interactions):
    def at(place, seed):
        return random_interactions(2, 2, seed, draws=[{"positions": [[0], [place]]}] * 2)

    metric = InteractionSimilarity(2, n_classes=2)
    metric.update(at(1, seed=0), "train", torch.tensor([0, 0]))
    metric.update(at(2, seed=1), "test", torch.tensor([1, 1]))
    before = metric.amounts.clone()
    for wrong in (torch.tensor([0, 0]), torch.tensor([1, 0])):
        with pytest.raises(ValueError, match="same input variables"):
            metric.update(at(2, seed=2), "test", wrong)
        with pytest.raises(ValueError, match="same input variables"):
            metric(at(2, seed=2), "test", wrong)
    assert torch.equal(metric.amounts, before)
    metric.reset()
    metric.update(at(2, seed=1), "test", torch.tensor([0, 0]))


@pytest.mark.parametrize(
    ("split", "classes", "message"),
    [
        ("val", torch.tensor([0, 0, 0, 0]), "`split` must be 'train' or 'test', got 'val'"),
        ("test", None, r"`classes` must hold one whole number 0 … 3 for each of the 4 samples, got None"),
        ("test", torch.tensor([0, 0]), r"of shape \(2,\)"),
        ("test", torch.tensor([0, 0, 0, 4]), r"got \[0, 0, 0, 4\]"),
        ("test", torch.tensor([0, 0, 0, -1]), r"got \[0, 0, 0, -1\]"),
        ("test", torch.zeros(4), r"got \[0.0"),
    ],
)
def test_the_metric_refuses_bad_input(split, classes, message, sets):
    with pytest.raises(ValueError, match=message):
        InteractionSimilarity(3, n_classes=4).update(sets["test"], split, classes)


def test_the_metric_refuses_another_n_and_no_classes(sets):
    with pytest.raises(ValueError, match="must have 2 input variables"):
        InteractionSimilarity(2).update(sets["test"], "test")
    with pytest.raises(ValueError, match="`n_classes` must be a whole number, at least 1"):
        InteractionSimilarity(2, n_classes=0)
