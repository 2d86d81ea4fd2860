"""The transforms against sums over Python sets."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_interactions import lattice

TRANSFORMS = [
    lattice.moebius,
    lattice.zeta,
    lattice.and_interactions,
    lattice.or_interactions,
    lattice.values_from_and,
    lattice.values_from_or,
]


def subsets(n):
    """Subset number T as a set: variable i is present when digit i of T, counted from the lowest, is 1."""
    return [frozenset(i for i in range(n) if T // 2**i % 2 == 1) for T in range(2**n)]


def tabulate(n, value_of):
    return torch.tensor([value_of(S) for S in subsets(n)], dtype=torch.float64)


def slow_moebius(n, x):
    v = dict(zip(subsets(n), x.tolist(), strict=True))
    return tabulate(n, lambda s: sum((-1) ** len(s - t) * v[t] for t in v if t <= s))


def slow_zeta(n, x):
    v = dict(zip(subsets(n), x.tolist(), strict=True))
    return tabulate(n, lambda t: sum(v[s] for s in v if s <= t))


def slow_and(n, values):
    """Theorem 2.1, AND part."""
    v = dict(zip(subsets(n), values.tolist(), strict=True))
    return tabulate(n, lambda s: sum((-1) ** len(s - t) * v[t] for t in v if t <= s) if s else 0.0)


def slow_or(n, values):
    """Theorem 2.1, OR part."""
    everything = frozenset(range(n))
    v = dict(zip(subsets(n), values.tolist(), strict=True))
    return tabulate(n, lambda s: -sum((-1) ** len(s - t) * v[everything - t] for t in v if t <= s) if s else 0.0)


def slow_values_from_and(n, effects):
    effect = dict(zip(subsets(n), effects.tolist(), strict=True))
    return tabulate(n, lambda t: sum(effect[s] for s in effect if s and s <= t))


def slow_values_from_or(n, effects):
    effect = dict(zip(subsets(n), effects.tolist(), strict=True))
    return tabulate(n, lambda t: sum(effect[s] for s in effect if s & t))


SLOW = dict(
    zip(
        TRANSFORMS, [slow_moebius, slow_zeta, slow_and, slow_or, slow_values_from_and, slow_values_from_or], strict=True
    )
)


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@st.composite
def tables(draw, largest_n=5):
    """Whole numbers, so that sums are exact in any order."""
    n = draw(st.integers(1, largest_n))
    numbers = draw(st.lists(st.integers(-1000, 1000), min_size=2**n, max_size=2**n))
    return n, torch.tensor(numbers, dtype=torch.float64)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_bit_i_of_a_subset_is_variable_i(n):
    expected = [[i in S for i in range(n)] for S in subsets(n)]

    assert lattice.subset_masks(n).dtype == torch.bool
    assert lattice.subset_masks(n).tolist() == expected


@pytest.mark.parametrize("n", [1, 2, 5])
def test_order_is_the_number_of_present_variables(n):
    assert lattice.subset_order(n).dtype == torch.int64
    assert lattice.subset_order(n).tolist() == [len(S) for S in subsets(n)]


@given(table=tables())
@settings(max_examples=25, deadline=None)
def test_sum_by_order_is_a_sum_over_sets(table):
    n, x = table
    of = dict(zip(subsets(n), x.tolist(), strict=True))
    assert lattice.sum_by_order(x).tolist() == [sum(of[s] for s in of if len(s) == m) for m in range(n + 1)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.int64])
def test_sum_by_order_keeps_leading_axes_and_the_number_type(dtype):
    x = (100 * random(3, 2, 16)).to(dtype)
    sums = lattice.sum_by_order(x)
    assert (sums.shape, sums.dtype) == ((3, 2, 5), dtype)
    assert torch.equal(sums[1, 0], lattice.sum_by_order(x[1, 0]))
    assert lattice.sum_by_order(x[:0]).shape == (0, 2, 5)


@pytest.mark.parametrize("transform", TRANSFORMS)
@given(table=tables())
@settings(max_examples=25, deadline=None)
def test_transform_is_its_sum_over_sets(transform, table):
    n, x = table

    assert transform(x).tolist() == SLOW[transform](n, x).tolist()


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("butterfly", [False, True])
def test_both_algorithms_are_the_sum_over_sets(transform, butterfly, monkeypatch):
    if butterfly:
        monkeypatch.setattr(lattice, "_IN_CACHE", 1)
    for n in range(1, 7):
        x = random(2**n, seed=n)

        torch.testing.assert_close(transform(x), SLOW[transform](n, x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("n", range(1, 13))
def test_dense_factors_and_butterfly_agree(transform, n, monkeypatch):
    x = random(3, 2**n)
    monkeypatch.setattr(lattice, "_LARGEST_DENSE_FACTOR", 6)
    dense = transform(x)
    monkeypatch.setattr(lattice, "_IN_CACHE", 1)
    butterfly = transform(x)

    torch.testing.assert_close(dense, butterfly, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("n", [1, 4, 10, 11, 13])
def test_moebius_and_zeta_undo_each_other(n):
    x = torch.randint(-1000, 1000, (2, 2**n), generator=torch.Generator().manual_seed(n)).double()

    assert torch.equal(lattice.moebius(lattice.zeta(x)), x)
    assert torch.equal(lattice.zeta(lattice.moebius(x)), x)


def test_largest_number_of_variables_counts_its_subsets():
    n = lattice.MAX_VARIABLES
    counts = lattice.zeta(torch.ones(2**n))

    assert torch.equal(counts, 2.0 ** lattice.subset_order(n).double())


@given(table=tables())
@settings(max_examples=25, deadline=None)
def test_the_bias_is_no_interaction(table):
    _, x = table

    assert lattice.and_interactions(x)[0] == 0
    assert lattice.or_interactions(x)[0] == 0


@given(table=tables(), junk=st.integers(-1000, 1000))
@settings(max_examples=25, deadline=None)
def test_effect_of_the_empty_set_is_not_read(table, junk):
    _, x = table
    other = x.clone()
    other[0] = junk

    assert torch.equal(lattice.values_from_and(x), lattice.values_from_and(other))
    assert torch.equal(lattice.values_from_or(x), lattice.values_from_or(other))


@given(data=st.data(), table=tables(largest_n=4))
@settings(max_examples=50, deadline=None)
def test_any_split_of_the_values_explains_every_masked_sample(data, table):
    n, values = table
    numbers = st.lists(st.integers(-1000, 1000), min_size=2**n, max_size=2**n)
    gamma = torch.tensor(data.draw(numbers), dtype=torch.float64)
    and_ = lattice.and_interactions(values / 2 + gamma)
    or_ = lattice.or_interactions(values / 2 - gamma)

    by_sets = values[0] + slow_values_from_and(n, and_) + slow_values_from_or(n, or_)
    assert by_sets.tolist() == values.tolist()
    assert lattice.reconstruct(and_, or_, values[0]).tolist() == values.tolist()


def test_reconstruct_takes_a_bias_for_each_sample():
    values = random(2, 3, 32)
    half = lattice.and_interactions(values / 2), lattice.or_interactions(values / 2)

    torch.testing.assert_close(lattice.reconstruct(*half, values[..., :1]), values)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("n", [3, 11])
def test_batches_are_transformed_row_by_row(transform, n):
    x = random(2, 3, 2, 2**n)
    result = transform(x)

    assert result.shape == x.shape
    for index in product(range(2), range(3), range(2)):
        torch.testing.assert_close(result[index], transform(x[index]))


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("n", "samples"), [(1, 9), (4, 9), (8, 9), (11, 130), (12, 70), (17, 2)])
def test_the_last_digits_of_a_sample_do_not_depend_on_those_beside_it(transform, dtype, n, samples):
    x = random(samples, 2**n).to(dtype)
    result = transform(x)
    for first, last in [(0, 1), (1, 3), (samples - 2, samples)]:
        assert torch.equal(transform(x[first:last]), result[first:last])


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("n", [3, 11])
def test_an_empty_batch_stays_empty(transform, n):
    assert transform(torch.zeros(0, 2**n)).shape == (0, 2**n)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("n", [3, 11])
def test_input_need_not_be_contiguous_and_is_never_changed(transform, n):
    x = random(2**n, 4).T
    before = x.clone()

    torch.testing.assert_close(transform(x), transform(before.contiguous()))
    assert torch.equal(x, before)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.int32])
def test_any_number_type_is_computed_in_float64(transform, dtype):
    x = torch.randint(-8, 8, (16,), generator=torch.Generator().manual_seed(1))
    result = transform(x.to(dtype))

    assert result.dtype == torch.float64
    assert torch.equal(result, transform(x.double()))


@pytest.mark.parametrize("transform", [lattice.moebius, lattice.zeta, lattice.values_from_and, lattice.values_from_or])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
@pytest.mark.parametrize("n", [4, 11])
def test_precision_can_be_kept(transform, dtype, n):
    x = torch.randint(-8, 8, (2**n,), generator=torch.Generator().manual_seed(1))
    result = transform(x.to(dtype), dtype=None)

    assert result.dtype == dtype
    assert torch.equal(result.double(), transform(x))


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("butterfly", [False, True])
def test_gradients_flow(transform, butterfly, monkeypatch):
    if butterfly:
        monkeypatch.setattr(lattice, "_IN_CACHE", 1)

    assert torch.autograd.gradcheck(transform, random(2, 8).requires_grad_())


def test_factors_made_in_inference_mode_can_be_differentiated_through():
    lattice.dense_power.cache_clear()
    with torch.inference_mode():
        lattice.moebius(torch.ones(8))
    x = random(8).requires_grad_()
    (lattice.moebius(x) ** 2).sum().backward()

    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("n", [0, -1, 21])
def test_number_of_variables_out_of_range_is_refused(n):
    with pytest.raises(ValueError, match=rf"1 … 20, got {n}"):
        lattice.subset_masks(n)


@pytest.mark.parametrize("n", [True, 3.0, "3", None])
def test_number_of_variables_must_be_an_integer(n):
    with pytest.raises(TypeError, match="must be a whole number"):
        lattice.subset_order(n)


@pytest.mark.parametrize("transform", [*TRANSFORMS, lattice.sum_by_order])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3,), (4, 6), (8, 0), (1 << 21,)])
def test_last_axis_must_run_over_all_subsets(transform, shape):
    with pytest.raises(ValueError, match=r"2\*\*n"):
        transform(torch.empty(shape))
