"""What must hold for every game, whatever its values, and for which solver."""

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_interactions import lattice
from lightning_interactions.extraction import cholesky
from lightning_interactions.extraction.solve import solve

few = settings(max_examples=15, deadline=None)

OPTIMAL = {"interior_point": 1e-6, "admm": 0.02}
"""How far above the optimum the solvers that look for it may end, relative to it. Random games have no sparse
explanation, for which ``admm`` needs more iterations than for networks."""

OPTIONS = {
    "interior_point": {},
    "admm": {"max_iterations": 1000},
    "sgd": {"steps": 200, "learning_rate": 1e-3},
    "none": {},
}

for_each_optimal = pytest.mark.parametrize("solver", OPTIMAL)
for_each_solver = pytest.mark.parametrize("solver", OPTIONS)


def solved(values, noise_bound, solver, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a missed goal is in the gap
        return solve(values, noise_bound, solver, **OPTIONS[solver] | options)


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


def assert_same_objective(first, second, solver):
    """Both are as near to one optimum as their certificates say, and as the solver should come."""
    assert (first.l1 * (1 - first.gap) <= second.l1 * (1 + 1e-9) + 1e-12).all()
    assert (second.l1 * (1 - second.gap) <= first.l1 * (1 + 1e-9) + 1e-12).all()
    torch.testing.assert_close(first.l1, second.l1, rtol=2 * OPTIMAL[solver], atol=1e-12)


def assert_same(first, second, factor=1.0):
    for name in ("and_", "or_", "l1"):
        assert torch.equal(getattr(first, name), factor * getattr(second, name))


@few
@given(games(), noise_shares)
def test_solved(values, share):
    assert (solve(values, noise_bound_of(values, share)).gap <= 1e-6).all()


@for_each_solver
@few
@given(values=games(), share=noise_shares)
def test_feasible_and_certified(solver, values, share):
    noise_bound = noise_bound_of(values, share)
    solution, best = solved(values, noise_bound, solver), solve(values, noise_bound).l1
    scale = (values - values[:, :1]).abs().amax(1)
    assert (solution.noise <= torch.where(noise_bound > 0, noise_bound * (1 + 1e-9), 1e-9 * scale)).all()
    assert ((1 - solution.gap) * solution.l1 <= best * (1 + 1e-6) + 1e-12).all()
    assert (solution.l1 <= best * (1 + OPTIMAL.get(solver, torch.inf)) + 1e-12).all()


@for_each_optimal
@few
@given(values=games(), share=noise_shares)
def test_sign_flip_keeps_the_objective(solver, values, share):
    noise_bound = noise_bound_of(values, share)
    assert_same_objective(solved(-values, noise_bound, solver), solved(values, noise_bound, solver), solver)


@pytest.mark.parametrize("solver", ["admm", "sgd", "none"])
@few
@given(values=games(), share=noise_shares)
def test_sign_flip_flips_the_effects(solver, values, share):
    noise_bound = noise_bound_of(values, share)
    flipped, solution = solved(-values, noise_bound, solver), solved(values, noise_bound, solver)
    for name in ("and_", "or_"):
        assert torch.equal(getattr(flipped, name), -getattr(solution, name))


def test_sign_flip_flips_the_effects_of_a_network(network_values, noise_bound_of):
    values = network_values(6)
    solution, flipped = solve(values, noise_bound_of(values)), solve(-values, noise_bound_of(values))
    torch.testing.assert_close(flipped.and_, -solution.and_, rtol=0, atol=1e-6)
    torch.testing.assert_close(flipped.or_, -solution.or_, rtol=0, atol=1e-6)


@for_each_optimal
@few
@given(values=games(), share=noise_shares, factor=st.sampled_from([1e-9, 1e-3, 1e9]))
def test_effects_scale_with_the_values(solver, values, share, factor):
    noise_bound = noise_bound_of(values, share)
    solution, scaled = solved(values, noise_bound, solver), solved(factor * values, factor * noise_bound, solver)
    torch.testing.assert_close(scaled.l1 / factor, solution.l1, rtol=2 * OPTIMAL[solver], atol=1e-12)
    if solver == "interior_point":
        assert (scaled.gap <= 1e-6).all()


@for_each_solver
@few
@given(values=games(), share=noise_shares, power=st.integers(-40, 40))
def test_effects_scale_to_the_last_digit_with_powers_of_two(solver, values, share, power):
    noise_bound, factor = noise_bound_of(values, share), 2.0**power
    # The recipe's learning rate has the unit of the values.
    options = {"learning_rate": factor * 1e-3} if solver == "sgd" else {}
    scaled = solved(factor * values, factor * noise_bound, solver, **options)
    assert_same(scaled, solved(values, noise_bound, solver), factor)


@for_each_optimal
@few
@given(values=games(smallest=2), share=noise_shares, random=st.randoms(use_true_random=False))
def test_permuting_variables_keeps_the_objective(solver, values, share, random):
    order = list(range(lattice.variable_count(values)))
    random.shuffle(order)
    noise_bound = noise_bound_of(values, share)
    renamed = solved(permuted(values, order), noise_bound, solver)
    assert_same_objective(renamed, solved(values, noise_bound, solver), solver)


@few
@given(games(smallest=2), st.randoms(use_true_random=False))
def test_permuting_variables_permutes_the_half_split(values, random):
    order = list(range(lattice.variable_count(values)))
    random.shuffle(order)
    renamed, solution = solved(permuted(values, order), 0.0, "none"), solved(values, 0.0, "none")
    scale = values.abs().max().item()
    torch.testing.assert_close(renamed.and_, permuted(solution.and_, order), rtol=0, atol=1e-12 * scale)
    torch.testing.assert_close(renamed.or_, permuted(solution.or_, order), rtol=0, atol=1e-12 * scale)


@pytest.mark.parametrize(("solver", "allowed"), [("interior_point", 1e-5), ("admm", 1e-4)])
def test_permuting_variables_permutes_the_effects_of_a_network(solver, allowed, network_values, noise_bound_of):
    values, order = network_values(6), [3, 0, 5, 1, 4, 2]
    noise_bound = noise_bound_of(values)
    solution, renamed = solved(values, noise_bound, solver), solved(permuted(values, order), noise_bound, solver)
    torch.testing.assert_close(renamed.and_, permuted(solution.and_, order), rtol=0, atol=allowed)
    torch.testing.assert_close(renamed.or_, permuted(solution.or_, order), rtol=0, atol=allowed)


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


@for_each_optimal
@few
@given(values=games(largest=4), share=noise_shares, dummies=st.sets(st.integers(0, 4), min_size=1, max_size=2))
def test_a_dummy_variable_has_no_effects(solver, values, share, dummies):
    larger = values
    for dummy in sorted(dummies):
        below = 1 << min(dummy, lattice.variable_count(larger))
        larger = larger.unflatten(1, (-1, below)).repeat_interleave(2, dim=1).flatten(1)
    noise_bound = noise_bound_of(values, share)
    solution, without = solved(larger, noise_bound, solver), solved(values, noise_bound, solver)
    assert (solution.gap <= without.gap + 1e-12).all()
    for name in ("and_", "or_"):
        # To the last digit the effects without it, beside nothing.
        effects = getattr(solution, name).sort(1).values
        padded = torch.cat([getattr(without, name), torch.zeros(len(values), larger.shape[1] - values.shape[1])], 1)
        assert torch.equal(effects, padded.sort(1).values)


@few
@given(games(largest=4))
def test_nor_has_it_in_the_half_split(values):
    solution = solved(torch.cat([values, values], 1), 0.0, "none")
    for effects in (solution.and_, solution.or_):
        assert (effects[:, values.shape[1] :].abs() <= 1e-12 * values.abs().max()).all()


@for_each_optimal
@few
@given(st.integers(1, 6), st.data(), st.sampled_from(["and_", "or_"]), st.sampled_from([-3.0, 1e-6, 1.0, 250.0]))
def test_one_interaction_is_recovered_exactly(solver, n, data, kind, size):
    subset = data.draw(st.integers(1, 2**n - 1))
    effects = {name: torch.zeros(1, 2**n, dtype=torch.float64) for name in ("and_", "or_")}
    effects[kind][0, subset] = size
    solution = solved(lattice.reconstruct(effects["and_"], effects["or_"], bias=0.7), 0.0, solver)
    if subset.bit_count() == 1:
        effects["and_"], effects["or_"] = effects["and_"] + effects["or_"], torch.zeros(1, 2**n, dtype=torch.float64)
    for name, expected in effects.items():
        allowed = {"interior_point": 1e-9 * max(1.0, abs(size)), "admm": 1e-2 * abs(size)}
        torch.testing.assert_close(getattr(solution, name), expected, rtol=0, atol=allowed[solver])
    assert solution.gap.item() <= OPTIMAL[solver]


@for_each_optimal
@few
@given(values=games(samples=1), shares=st.lists(st.floats(0, 1.5), min_size=2, max_size=5))
def test_more_noise_never_raises_the_objective(solver, values, shares):
    bounds = noise_bound_of(values, 1.0) * torch.tensor(sorted(shares), dtype=torch.float64)
    l1 = solved(values.repeat(len(shares), 1), bounds, solver).l1
    assert (l1[1:] <= l1[:-1] * (1 + OPTIMAL[solver]) + 1e-12).all()


@for_each_solver
@few
@given(values=games(samples=4), share=noise_shares)
def test_a_batch_equals_single_runs_to_the_last_digit(solver, values, share):
    noise_bound = noise_bound_of(values, share)
    together = solved(values, noise_bound, solver)
    for sample in range(4):
        alone = solved(values[sample : sample + 1], noise_bound[sample : sample + 1], solver)
        for name in ("and_", "or_", "l1", "gap", "iterations"):
            assert torch.equal(getattr(alone, name), getattr(together, name)[sample : sample + 1])


@pytest.fixture
def _tiles(monkeypatch):
    """Matrices are cut into tiles that threads share, as large ones are."""
    monkeypatch.setattr(cholesky, "_FIRST_TILED", 64)
    monkeypatch.setattr(cholesky, "_TILE", 48)


@pytest.fixture
def threads():
    """Sets the number of torch's threads."""
    yield torch.set_num_threads
    torch.set_num_threads(1)


@pytest.mark.usefixtures("least_work")
@for_each_solver
@pytest.mark.parametrize("n", [6, 9])
@pytest.mark.parametrize("share", [1.0, 0.0])
def test_memory_threads_and_batch_change_no_digit(solver, n, share, network_values, noise_bound_of, threads):
    values = network_values(n, samples=4)
    noise_bound = share * noise_bound_of(values)
    reference = solved(values, noise_bound, solver)
    threads(3)
    assert_same(solved(values, noise_bound, solver), reference)
    alone = solved(values[3:4], noise_bound, solver)
    assert torch.equal(alone.and_, reference.and_[3:4])
    assert torch.equal(alone.or_, reference.or_[3:4])
    if solver in OPTIMAL:
        assert_same(solved(values, noise_bound, solver, max_memory_mb=0), reference)


@pytest.mark.usefixtures("_tiles")
@pytest.mark.parametrize("share", [1.0, 0.0])
def test_nor_do_they_where_threads_share_a_matrix(share, network_values, noise_bound_of, threads):
    values = network_values(8, samples=2)
    noise_bound = share * noise_bound_of(values)
    reference = solve(values, noise_bound)
    for count in (2, 5):
        threads(count)
        assert_same(solve(values, noise_bound), reference)
        assert torch.equal(solve(values[:1], noise_bound).and_, reference.and_[:1])


@for_each_solver
@few
@given(values=games(), share=noise_shares)
def test_float32_input_is_computed_in_float64(solver, values, share):
    single = values.float()
    noise_bound = noise_bound_of(single, share)
    solution, reference = (
        solved(single, noise_bound, solver),
        solved(single.double(), noise_bound.double(), solver),
    )
    assert solution.and_.dtype == solution.or_.dtype == solution.gap.dtype == torch.float64
    assert_same(solution, reference)


@for_each_solver
@few
@given(values=games(), share=noise_shares)
def test_how_values_lie_in_memory_changes_no_digit(solver, values, share):
    noise_bound = noise_bound_of(values, share)
    solution, by_columns = (solved(given, noise_bound, solver) for given in (values, values.T.contiguous().T))
    assert_same(by_columns, solution)
    assert torch.equal(by_columns.gap, solution.gap)


@for_each_solver
@few
@given(values=games(samples=1), share=noise_shares)
def test_duplicate_samples_get_the_same_effects(solver, values, share):
    solution = solved(values.repeat(3, 1), noise_bound_of(values, share).repeat(3), solver)
    for effects in (solution.and_, solution.or_):
        assert torch.equal(effects[1:], effects[:1].expand(2, -1))


@for_each_solver
@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("noise_bound", [0.0, 0.1])
@pytest.mark.parametrize("constant", [0.0, -3.7, 1e9])
def test_a_constant_function_has_no_effects(solver, n, noise_bound, constant):
    solution = solved(torch.full((2, 2**n), constant, dtype=torch.float64), noise_bound, solver)
    assert solution.l1.tolist() == solution.gap.tolist() == solution.noise.tolist() == [0.0, 0.0]


@for_each_optimal
@few
@given(values=games(), factor=st.floats(1.0, 1e6))
def test_noise_larger_than_the_range_leaves_nothing(solver, values, factor):
    solution = solved(values, noise_bound_of(values, factor), solver)
    assert not solution.and_.any()
    assert not solution.or_.any()
    assert not solution.gap.any()


@for_each_optimal
@pytest.mark.parametrize(("noise_bound", "expected"), [(0.0, -2.0), (0.5, -1.5), (2.0, 0.0)])
def test_one_variable_has_one_effect(solver, noise_bound, expected):
    solution = solved(torch.tensor([[3.0, 1.0]]), noise_bound, solver)
    allowed = 2e-2 if solver == "admm" else 1e-9
    torch.testing.assert_close(
        solution.and_, torch.tensor([[0.0, expected]], dtype=torch.float64), rtol=0, atol=allowed
    )
    assert not solution.or_.any()
