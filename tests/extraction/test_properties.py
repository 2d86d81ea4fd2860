"""What must hold for every game, whatever its values."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_interactions import lattice
from lightning_interactions.extraction.solve import solve

few = settings(max_examples=15, deadline=None)


@st.composite
def games(draw, smallest=1, largest=5, samples=None):
    """Generic values, integer values (many optima, degenerate corners) and values of a few random interactions."""
    n = draw(st.integers(smallest, largest))
    samples = samples or draw(st.integers(1, 3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    kind = draw(st.sampled_from(["generic", "integer", "sparse"]))
    drawn = torch.randn(samples, 2, 2**n, dtype=torch.float64, generator=generator)
    if kind == "generic":
        return drawn[:, 0]
    if kind == "integer":
        return (2 * drawn[:, 0]).round()
    kept = torch.rand(drawn.shape, generator=generator) < 3 / 2**n
    return lattice.reconstruct(*(drawn * kept).unbind(1), bias=drawn[:, 0, :1])


noise_shares = st.sampled_from([0.0, 1e-3, 0.02, 0.2])


def noise_bound_of(values, share):
    return share * (values - values[:, :1]).abs().amax(1)


def permuted(values, order):
    """The same game with variable ``order[i]`` renamed to ``i``."""
    n = lattice.variable_count(values)
    weights = torch.tensor([1 << i for i in order])
    return values[:, (lattice.subset_masks(n) * weights).sum(1)]


def assert_same_objective(first, second):
    torch.testing.assert_close(first.l1, second.l1, rtol=2e-6, atol=1e-12)


@few
@given(games(), noise_shares)
def test_solved_and_feasible(values, share):
    noise_bound = noise_bound_of(values, share)
    solution = solve(values, noise_bound)
    scale = (values - values[:, :1]).abs().amax(1)
    assert (solution.gap <= 1e-6).all()
    assert (solution.noise <= torch.where(noise_bound > 0, noise_bound * (1 + 1e-9), 1e-9 * scale)).all()


@few
@given(games(), noise_shares)
def test_sign_flip_keeps_the_objective(values, share):
    noise_bound = noise_bound_of(values, share)
    solution, flipped = solve(values, noise_bound), solve(-values, noise_bound)
    assert_same_objective(flipped, solution)


def test_sign_flip_flips_the_effects_of_a_network(network_values, noise_bound_of):
    values = network_values(6)
    solution, flipped = solve(values, noise_bound_of(values)), solve(-values, noise_bound_of(values))
    torch.testing.assert_close(flipped.and_, -solution.and_, rtol=0, atol=1e-6)
    torch.testing.assert_close(flipped.or_, -solution.or_, rtol=0, atol=1e-6)


@few
@given(games(), noise_shares, st.sampled_from([1e-9, 1e-3, 1e9]))
def test_effects_scale_with_the_values(values, share, factor):
    noise_bound = noise_bound_of(values, share)
    solution, scaled = solve(values, noise_bound), solve(factor * values, factor * noise_bound)
    assert (scaled.gap <= 1e-6).all()
    torch.testing.assert_close(scaled.l1 / factor, solution.l1, rtol=2e-6, atol=1e-12)


@few
@given(games(smallest=2), noise_shares, st.randoms(use_true_random=False))
def test_permuting_variables_permutes_the_game(values, share, random):
    order = list(range(lattice.variable_count(values)))
    random.shuffle(order)
    noise_bound = noise_bound_of(values, share)
    assert_same_objective(solve(permuted(values, order), noise_bound), solve(values, noise_bound))


def test_permuting_variables_permutes_the_effects_of_a_network(network_values, noise_bound_of):
    values, order = network_values(6), [3, 0, 5, 1, 4, 2]
    noise_bound = noise_bound_of(values)
    solution, renamed = solve(values, noise_bound), solve(permuted(values, order), noise_bound)
    torch.testing.assert_close(renamed.and_, permuted(solution.and_, order), rtol=0, atol=1e-5)
    torch.testing.assert_close(renamed.or_, permuted(solution.or_, order), rtol=0, atol=1e-5)


@pytest.mark.parametrize("steps", [0, 60])
def test_permuting_variables_keeps_the_strength_per_order_of_a_network(
    steps, network_values, noise_bound_of, strength_per_order
):
    values = network_values(6, steps=steps)
    noise_bound = noise_bound_of(values)
    solution = solve(values, noise_bound, tie_break="lowest_order")
    renamed = solve(permuted(values, [3, 0, 5, 1, 4, 2]), noise_bound, tie_break="lowest_order")
    bound = 1e-6 * solution.l1.max().item()
    torch.testing.assert_close(strength_per_order(renamed), strength_per_order(solution), rtol=0, atol=bound)


@few
@given(games(), noise_shares, st.sampled_from([-1.0, 1e-9, 1e9]))
def test_scaling_keeps_the_lowest_total_order(total_order, values, share, factor):
    noise_bound = noise_bound_of(values, share)
    solution = solve(values, noise_bound, tie_break="lowest_order")
    scaled = solve(factor * values, abs(factor) * noise_bound, tie_break="lowest_order")
    torch.testing.assert_close(total_order(scaled) / abs(factor), total_order(solution), rtol=1e-4, atol=1e-9)


@few
@given(games(smallest=2), noise_shares, st.randoms(use_true_random=False))
def test_permuting_variables_keeps_the_lowest_total_order(total_order, values, share, random):
    order = list(range(lattice.variable_count(values)))
    random.shuffle(order)
    noise_bound = noise_bound_of(values, share)
    solution = solve(values, noise_bound, tie_break="lowest_order")
    renamed = solve(permuted(values, order), noise_bound, tie_break="lowest_order")
    torch.testing.assert_close(total_order(renamed), total_order(solution), rtol=1e-4, atol=1e-9)


@few
@given(games(largest=4))
def test_a_dummy_variable_has_no_effects_without_noise(values):
    n = lattice.variable_count(values)
    solution = solve(torch.cat([values, values], 1))
    scale = values.abs().max().clamp(min=1e-9).item()
    for effects in (solution.and_, solution.or_):
        assert effects[:, 1 << n :].abs().max() <= 1e-6 * scale


@few
@given(games(largest=4), noise_shares)
def test_a_dummy_variable_does_not_change_the_objective(values, share):
    noise_bound = noise_bound_of(values, share)
    assert_same_objective(solve(torch.cat([values, values], 1), noise_bound), solve(values, noise_bound))


@few
@given(st.integers(1, 6), st.data(), st.sampled_from(["and_", "or_"]), st.sampled_from([-3.0, 1e-6, 1.0, 250.0]))
def test_one_interaction_is_recovered_exactly(n, data, kind, size):
    subset = data.draw(st.integers(1, 2**n - 1))
    effects = {name: torch.zeros(1, 2**n, dtype=torch.float64) for name in ("and_", "or_")}
    effects[kind][0, subset] = size
    solution = solve(lattice.reconstruct(effects["and_"], effects["or_"], bias=0.7))
    if subset.bit_count() == 1:
        effects["and_"], effects["or_"] = effects["and_"] + effects["or_"], torch.zeros(1, 2**n, dtype=torch.float64)
    for name, expected in effects.items():
        torch.testing.assert_close(getattr(solution, name), expected, rtol=0, atol=1e-9 * max(1.0, abs(size)))
    assert solution.gap.item() <= 1e-6


@few
@given(games(samples=1), st.lists(st.floats(0, 1.5), min_size=2, max_size=5))
def test_more_noise_never_raises_the_objective(values, shares):
    bounds = noise_bound_of(values, 1.0) * torch.tensor(sorted(shares), dtype=torch.float64)
    l1 = solve(values.repeat(len(shares), 1), bounds).l1
    assert (l1[1:] <= l1[:-1] * (1 + 1e-6) + 1e-12).all()


@few
@given(games(samples=4), noise_shares)
def test_a_batch_equals_single_runs(values, share):
    noise_bound = noise_bound_of(values, share)
    together = solve(values, noise_bound)
    alone = [solve(values[i : i + 1], noise_bound[i : i + 1]) for i in range(4)]
    scale = values.abs().max().clamp(min=1).item()
    for name in ("and_", "or_", "l1"):
        expected = torch.cat([getattr(solution, name) for solution in alone])
        torch.testing.assert_close(getattr(together, name), expected, rtol=0, atol=1e-9 * scale)


@pytest.mark.parametrize("steps", [0, 60])
@pytest.mark.parametrize("share", [1.0, 0.0])
def test_memory_does_not_change_results(steps, share, network_values, noise_bound_of):
    values = network_values(8, samples=5, steps=steps)
    noise_bound = share * noise_bound_of(values)
    scale = values.abs().max().item()
    reference = solve(values, noise_bound)
    one_by_one = solve(values, noise_bound, max_memory_mb=1)
    torch.testing.assert_close(one_by_one.and_, reference.and_, rtol=0, atol=1e-9 * scale)
    torch.testing.assert_close(one_by_one.or_, reference.or_, rtol=0, atol=1e-9 * scale)


@pytest.mark.parametrize("steps", [0, 60])
@pytest.mark.parametrize("share", [1.0, 0.0])
def test_threads_do_not_change_the_objective(steps, share, network_values, noise_bound_of):
    # Threads round differently, and where the optimum is not unique rounding decides between equally good effects.
    values = network_values(7, steps=steps)
    noise_bound = share * noise_bound_of(values)
    single = solve(values, noise_bound)
    torch.set_num_threads(2)
    try:
        double = solve(values, noise_bound)
    finally:
        torch.set_num_threads(1)
    torch.testing.assert_close(double.l1, single.l1, rtol=1e-9, atol=0)


@few
@given(games(), noise_shares)
def test_float32_input_is_computed_in_float64(values, share):
    single = values.float()
    noise_bound = noise_bound_of(single, share)
    solution, reference = solve(single, noise_bound), solve(single.double(), noise_bound.double())
    assert solution.and_.dtype == solution.or_.dtype == solution.gap.dtype == torch.float64
    assert torch.equal(solution.and_, reference.and_)
    assert torch.equal(solution.or_, reference.or_)


@few
@given(games(samples=1), noise_shares)
def test_duplicate_samples_get_the_same_effects(values, share):
    solution = solve(values.repeat(3, 1), noise_bound_of(values, share).repeat(3))
    for effects in (solution.and_, solution.or_):
        torch.testing.assert_close(
            effects[1:], effects[:1].expand(2, -1), rtol=0, atol=1e-9 * values.abs().max().item()
        )


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("noise_bound", [0.0, 0.1])
@pytest.mark.parametrize("constant", [0.0, -3.7, 1e9])
def test_a_constant_function_has_no_effects(n, noise_bound, constant):
    solution = solve(torch.full((2, 2**n), constant, dtype=torch.float64), noise_bound)
    assert solution.l1.tolist() == solution.gap.tolist() == solution.noise.tolist() == [0.0, 0.0]


@few
@given(games(), st.floats(1.0, 1e6))
def test_noise_larger_than_the_range_leaves_nothing(values, factor):
    solution = solve(values, noise_bound_of(values, factor))
    assert not solution.and_.any()
    assert not solution.or_.any()
    assert not solution.gap.any()


@pytest.mark.parametrize(("noise_bound", "expected"), [(0.0, -2.0), (0.5, -1.5), (2.0, 0.0)])
def test_one_variable_has_one_effect(noise_bound, expected):
    solution = solve(torch.tensor([[3.0, 1.0]]), noise_bound)
    torch.testing.assert_close(solution.and_, torch.tensor([[0.0, expected]], dtype=torch.float64), rtol=0, atol=1e-9)
    assert not solution.or_.any()
