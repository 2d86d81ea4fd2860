"""Rows and columns by need, and one answer where the optimum is not unique."""

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_interactions import lattice
from lightning_interactions.extraction import column_generation as module
from lightning_interactions.extraction.basis import Basis
from lightning_interactions.extraction.column_generation import column_generation
from lightning_interactions.extraction.interior_point import interior_point
from lightning_interactions.extraction.lowest_order import lowest_order
from lightning_interactions.extraction.programme import apply_transpose, dual_bound, relative_gap, targets_of
from lightning_interactions.extraction.solve import solve

few = settings(max_examples=8, deadline=None)


def by_columns(values, noise_bound, **options):
    return solve(values, noise_bound, "column_generation", **options)


def total_order(solution):
    return ((solution.and_.abs() + solution.or_.abs()) * lattice.subset_order(variables(solution))).sum(1)


def variables(solution):
    return lattice.variable_count(solution.and_)


def strength_per_order(solution):
    sizes = solution.and_.abs() + solution.or_.abs()
    one_hot = torch.nn.functional.one_hot(lattice.subset_order(variables(solution))).double()
    return sizes @ one_hot


def assert_solved(solution, values, noise_bound):
    noise_bound = torch.as_tensor(noise_bound, dtype=torch.float64)
    scale = (values - values[:, :1]).abs().amax(1)
    assert (solution.gap <= 1e-6).all()
    assert (solution.noise <= torch.where(noise_bound > 0, noise_bound * (1 + 1e-9), 1e-9 * scale)).all()


def smallest_order_by_highs(targets, noise_bound, phi):
    """Both stages by HiGHS: the smallest L1, then the smallest total order with at most 1 + 1e-7 times that L1."""
    targets = np.asarray(targets)
    scale = np.abs(targets).max()
    phi, right, box = phi[1:], targets[1:] / scale, noise_bound / scale
    sides = np.vstack([np.hstack([phi, -phi]), np.hstack([-phi, phi])])
    edges = np.concatenate([right + box, box - right])
    options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    ones = np.ones(sides.shape[1])
    order = np.tile([int(i).bit_count() for i in range(len(targets))], 4).astype(float)
    first = scipy.optimize.linprog(ones, sides, edges, bounds=(0, None), method="highs", options=options)
    second = scipy.optimize.linprog(
        order,
        np.vstack([sides, ones]),
        np.append(edges, first.fun * (1 + 1e-7)),
        bounds=(0, None),
        method="highs",
        options=options,
    )
    assert second.status == 0
    return second.fun * scale


CASES = [(n, steps) for n in (4, 5, 6, 7) for steps in (0, 60)]


@pytest.mark.parametrize("case", [*CASES, (8, 60)])
@pytest.mark.parametrize("share", [1.0, 0.05, 20.0])
def test_reaches_the_optimum_of_highs(case, share, network_values, noise_bound_of, highs):
    n, steps = case
    values = network_values(n, steps=steps)[: 1 if n > 6 else 2]
    noise_bound = share * noise_bound_of(values)
    solution = by_columns(values, noise_bound)
    best = torch.tensor([highs(target, noise_bound) for target in targets_of(values)], dtype=torch.float64)
    torch.testing.assert_close(solution.l1, best, rtol=1e-6, atol=0)
    assert_solved(solution, values, noise_bound)


@pytest.mark.parametrize("case", [*CASES, (8, 60), (9, 60)])
@pytest.mark.parametrize("share", [1.0, 1e-3, 1e-9, 0.0])
def test_agrees_with_the_interior_point_method(case, share, network_values, noise_bound_of):
    n, steps = case
    values = network_values(n, steps=steps)
    noise_bound = share * noise_bound_of(values)
    solution = by_columns(values, noise_bound)
    torch.testing.assert_close(solution.l1, solve(values, noise_bound).l1, rtol=1e-6, atol=0)
    assert_solved(solution, values, noise_bound)


@pytest.mark.parametrize("share", [0.9, 0.99, 1.0, 2.0])
def test_noise_near_the_range(share, network_values):
    values = network_values(6)
    noise_bound = share * targets_of(values).abs().amax(1)
    solution = by_columns(values, noise_bound)
    torch.testing.assert_close(solution.l1, (1 - noise_bound / noise_bound * share).clamp(min=0) * noise_bound / share)
    assert_solved(solution, values, noise_bound)


@pytest.mark.parametrize("n", [8, 9, 10])
def test_the_matrix_stays_far_smaller_than_the_programme(n, network_values, noise_bound_of):
    values = network_values(n)
    noise_bound = noise_bound_of(values)
    solution = by_columns(values, noise_bound)
    nonzero = (torch.cat([solution.and_, solution.or_], 1) != 0).sum(1)
    assert (nonzero < 2**n / 5).all()
    assert (solution.iterations > nonzero).all()


def test_a_corner_is_proved_to_the_last_digits(network_values, noise_bound_of):
    values = network_values(8)
    solution = by_columns(values, noise_bound_of(values))
    assert (solution.gap < 1e-9).all()


def test_too_long_a_path_is_left_to_the_interior_point_method(network_values, noise_bound_of):
    values = network_values(6)
    noise_bound = noise_bound_of(values)
    cut, full = by_columns(values, noise_bound, max_iterations=5), by_columns(values, noise_bound)
    assert (cut.iterations < 40).all()
    torch.testing.assert_close(cut.l1, full.l1, rtol=1e-6, atol=0)
    torch.testing.assert_close(total_order(cut), total_order(full), rtol=1e-5, atol=0)
    assert_solved(cut, values, noise_bound)


def test_a_hopeless_path_is_given_up_early(network_values):
    values = network_values(9, steps=0, samples=1)
    targets = targets_of(values)[0]
    path = module._Path((targets / targets.abs().max()).numpy(), module._weights(9, "lowest_order"))
    assert not path.follow(1e-6, 512)
    assert path.exchanges < 400


def test_a_broken_path_is_left_to_the_interior_point_method(network_values, noise_bound_of, monkeypatch):
    def broken(*_):
        raise np.linalg.LinAlgError

    values = network_values(5)
    noise_bound = noise_bound_of(values)
    expected = by_columns(values, noise_bound)
    monkeypatch.setattr(Basis, "add", broken)
    solution = by_columns(values, noise_bound)
    torch.testing.assert_close(solution.l1, expected.l1, rtol=1e-6, atol=0)
    assert_solved(solution, values, noise_bound)


@pytest.mark.parametrize("spoilt", ["effects", "duals"])
def test_a_wrong_corner_is_never_returned(spoilt, network_values, noise_bound_of, monkeypatch):
    def wrong(path):
        effects, duals, _ = corner(path)
        return (0.9 * effects, duals, True) if spoilt == "effects" else (effects, 0.9 * duals, True)

    values = network_values(5)
    noise_bound = noise_bound_of(values)
    expected = by_columns(values, noise_bound)
    corner = module._Path.corner
    monkeypatch.setattr(module._Path, "corner", wrong)
    solution = by_columns(values, noise_bound)
    torch.testing.assert_close(solution.l1, expected.l1, rtol=1e-6, atol=0)
    assert_solved(solution, values, noise_bound)


# One answer instead of many.


@pytest.mark.parametrize("case", [*CASES, (8, 60)])
@pytest.mark.parametrize("solver", ["column_generation", "interior_point"])
def test_the_total_order_is_the_smallest_by_highs(case, solver, network_values, noise_bound_of, dense_phi):
    n, steps = case
    values = network_values(n, steps=steps)[: 1 if n > 6 else 2]
    noise_bound = noise_bound_of(values)
    solution = solve(values, noise_bound, solver, tie_break="lowest_order")
    best = [smallest_order_by_highs(target, noise_bound, dense_phi(n)) for target in targets_of(values)]
    torch.testing.assert_close(total_order(solution), torch.tensor(best, dtype=torch.float64), rtol=1e-4, atol=0)
    assert_solved(solution, values, noise_bound)


@pytest.mark.parametrize("case", [(6, 0), (7, 60), (8, 0), (8, 60)])
@pytest.mark.parametrize("share", [1.0, 0.1, 0.0])
def test_both_solvers_give_the_same_strength_per_order(case, share, network_values, noise_bound_of):
    n, steps = case
    values = network_values(n, steps=steps)
    noise_bound = share * noise_bound_of(values)
    columns = by_columns(values, noise_bound)
    interior = solve(values, noise_bound, tie_break="lowest_order")
    torch.testing.assert_close(total_order(columns), total_order(interior), rtol=1e-5, atol=0)
    bound = 1e-5 * columns.l1.max().item()
    torch.testing.assert_close(strength_per_order(columns), strength_per_order(interior), rtol=0, atol=bound)


def test_the_order_falls_and_the_objective_stays(network_values, noise_bound_of):
    values = network_values(8, samples=4)
    noise_bound = torch.full((4,), noise_bound_of(values), dtype=torch.float64)
    targets = targets_of(values)
    effects, duals, _ = interior_point(targets, noise_bound, tolerance=1e-8)
    lowered = lowest_order(targets, noise_bound, effects, duals)
    order = lattice.subset_order(8)
    assert ((lowered.abs() * order).sum((1, 2)) < 0.99 * (effects.abs() * order).sum((1, 2))).all()
    assert (relative_gap(lowered.abs().sum((1, 2)), dual_bound(targets, noise_bound, duals)) < 1e-6).all()


def test_poor_dual_values_leave_the_effects_alone_or_within_the_certificate(network_values, noise_bound_of):
    values = network_values(6, samples=4)
    noise_bound = torch.full((4,), noise_bound_of(values), dtype=torch.float64)
    targets = targets_of(values)
    effects, duals, _ = interior_point(targets, noise_bound)
    generator = torch.Generator().manual_seed(0)
    for noise in (1e-7, 1e-4, 1e-1):
        poor = duals * (1 + noise * torch.randn(duals.shape, dtype=torch.float64, generator=generator))
        before = relative_gap(effects.abs().sum((1, 2)), dual_bound(targets, noise_bound, poor))
        lowered = lowest_order(targets, noise_bound, effects, poor)
        after = relative_gap(lowered.abs().sum((1, 2)), dual_bound(targets, noise_bound, poor))
        assert (after <= before.clamp(min=1e-6) + 1e-12).all()
        rest = targets - lattice.reconstruct(*lowered.unbind(1))
        assert (rest.abs().amax(1) <= noise_bound * (1 + 1e-9)).all()


def test_two_single_effects_rather_than_their_and_plus_or():
    values = torch.tensor([[0.0, 1.0, 1.0, 2.0]], dtype=torch.float64)
    for solver in ("column_generation", "interior_point"):
        for noise_bound in (0.0, 0.1):
            solution = solve(values, noise_bound, solver, tie_break="lowest_order")
            assert solution.and_[0, 3].abs() + solution.or_[0, 3].abs() < 1e-9


def test_no_tie_break_is_as_sparse(network_values, noise_bound_of):
    values = network_values(7)
    noise_bound = noise_bound_of(values)
    with_, without = by_columns(values, noise_bound), by_columns(values, noise_bound, tie_break="none")
    torch.testing.assert_close(without.l1, with_.l1, rtol=1e-9, atol=0)
    assert (total_order(with_) <= total_order(without) * (1 + 1e-9)).all()


@pytest.mark.parametrize("solver", ["column_generation", "interior_point"])
def test_an_unknown_tie_break_is_refused(solver):
    with pytest.raises(ValueError, match=r"`tie_break`.*'highest'.*HINT"):
        solve(torch.zeros(1, 4), 0.1, solver, tie_break="highest")


# What must hold for every game.


@st.composite
def games(draw, smallest=1, largest=5):
    """Generic values, integer values (ties everywhere) and values of a few random interactions."""
    n = draw(st.integers(smallest, largest))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    kind = draw(st.sampled_from(["generic", "integer", "sparse"]))
    drawn = torch.randn(2, 2, 2**n, dtype=torch.float64, generator=generator)
    if kind == "generic":
        return drawn[:, 0]
    if kind == "integer":
        return (2 * drawn[:, 0]).round()
    kept = torch.rand(drawn.shape, generator=generator) < 3 / 2**n
    return lattice.reconstruct(*(drawn * kept).unbind(1), bias=drawn[:, 0, :1])


noise_shares = st.sampled_from([1e-3, 0.02, 0.2])


def noise_bound_for(values, share):
    return share * (values - values[:, :1]).abs().amax(1)


def permuted(values, order):
    """The same game with variable ``order[i]`` renamed to ``i``."""
    weights = torch.tensor([1 << i for i in order])
    return values[:, (lattice.subset_masks(lattice.variable_count(values)) * weights).sum(1)]


def assert_same_objectives(first, second, scale=1.0):
    torch.testing.assert_close(first.l1 / scale, second.l1, rtol=2e-6, atol=1e-12)
    torch.testing.assert_close(total_order(first) / scale, total_order(second), rtol=1e-4, atol=1e-9)


@few
@given(games(), noise_shares)
def test_solved_and_as_low_as_after_the_interior_point_method(values, share):
    noise_bound = noise_bound_for(values, share)
    solution = by_columns(values, noise_bound)
    assert_solved(solution, values, noise_bound)
    assert_same_objectives(solution, solve(values, noise_bound, tie_break="lowest_order"))


@few
@given(games(), noise_shares)
def test_sign_flip(values, share):
    noise_bound = noise_bound_for(values, share)
    assert_same_objectives(by_columns(-values, noise_bound), by_columns(values, noise_bound))


@few
@given(games(), noise_shares, st.sampled_from([1e-9, 1e9]))
def test_scaling(values, share, factor):
    noise_bound = noise_bound_for(values, share)
    scaled = by_columns(factor * values, factor * noise_bound)
    assert_solved(scaled, factor * values, factor * noise_bound)
    assert_same_objectives(scaled, by_columns(values, noise_bound), factor)


@few
@given(games(smallest=2), noise_shares, st.randoms(use_true_random=False))
def test_permuting_variables(values, share, random):
    order = list(range(lattice.variable_count(values)))
    random.shuffle(order)
    noise_bound = noise_bound_for(values, share)
    assert_same_objectives(by_columns(permuted(values, order), noise_bound), by_columns(values, noise_bound))


@pytest.mark.parametrize("steps", [0, 60])
def test_permuting_variables_keeps_the_strength_per_order_of_a_network(steps, network_values, noise_bound_of):
    values = network_values(6, steps=steps)
    noise_bound = noise_bound_of(values)
    solution, renamed = by_columns(values, noise_bound), by_columns(permuted(values, [3, 0, 5, 1, 4, 2]), noise_bound)
    bound = 1e-6 * solution.l1.max().item()
    torch.testing.assert_close(strength_per_order(renamed), strength_per_order(solution), rtol=0, atol=bound)


@few
@given(games(largest=4), noise_shares)
def test_a_dummy_variable_changes_no_objective(values, share):
    noise_bound = noise_bound_for(values, share)
    doubled = by_columns(torch.cat([values, values], 1), noise_bound)
    assert_solved(doubled, torch.cat([values, values], 1), noise_bound)
    assert_same_objectives(doubled, by_columns(values, noise_bound))


@few
@given(st.integers(1, 6), st.data(), st.sampled_from(["and_", "or_"]), st.sampled_from([-3.0, 1e-6, 250.0]))
def test_one_interaction_shrinks_by_the_noise_bound(n, data, kind, size):
    subset = data.draw(st.integers(1, 2**n - 1))
    effects = {name: torch.zeros(1, 2**n, dtype=torch.float64) for name in ("and_", "or_")}
    effects[kind][0, subset] = size
    solution = by_columns(lattice.reconstruct(effects["and_"], effects["or_"], bias=0.7), 0.1 * abs(size))
    torch.testing.assert_close(solution.l1, torch.tensor([0.9 * abs(size)], dtype=torch.float64), rtol=1e-6, atol=0)
    assert solution.gap.item() <= 1e-6


@few
@given(games(), noise_shares)
def test_a_batch_equals_single_runs_and_duplicates_each_other(values, share):
    noise_bound = noise_bound_for(values, share)
    together = by_columns(values[[0, 1, 0]], noise_bound[[0, 1, 0]])
    alone = by_columns(values[:1], noise_bound[:1])
    scale = values.abs().max().clamp(min=1).item()
    for name in ("and_", "or_"):
        effects = getattr(together, name)
        torch.testing.assert_close(effects[:1], getattr(alone, name), rtol=0, atol=1e-9 * scale)
        torch.testing.assert_close(effects[:1], effects[2:], rtol=0, atol=1e-9 * scale)


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("noise_bound", [0.0, 0.1])
def test_a_constant_function_has_no_effects(n, noise_bound):
    solution = by_columns(torch.full((2, 2**n), -3.7, dtype=torch.float64), noise_bound)
    assert solution.l1.tolist() == solution.gap.tolist() == solution.noise.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("noise_bound", "expected"), [(0.0, -2.0), (0.5, -1.5), (2.0, 0.0)])
def test_one_variable_has_one_effect(noise_bound, expected):
    solution = by_columns(torch.tensor([[3.0, 1.0]]), noise_bound)
    torch.testing.assert_close(solution.and_, torch.tensor([[0.0, expected]], dtype=torch.float64), rtol=0, atol=1e-9)


def test_dual_values_are_feasible(network_values, noise_bound_of):
    values = network_values(6)
    targets, noise_bound = targets_of(values), torch.full((2,), noise_bound_of(values), dtype=torch.float64)
    _, duals, _ = column_generation(targets, noise_bound)
    assert (apply_transpose(duals).abs() <= 1 + 1e-9).all()


# The small matrix.


def test_exchanges_keep_the_inverse():
    basis = Basis(row=3, column=3, size=8)
    basis.add(5, 8 + 5, basis.row_image(5))
    basis.add(6, 6, basis.row_image(6))
    basis.add(7, 8 + 2, basis.row_image(7))
    basis.swap_row(0, 2, basis.row_image(2))
    basis.swap_column(1, 5)
    basis.drop(0, 2)
    assert sorted(basis.rows.tolist()) == [5, 6, 7]
    assert sorted(basis.columns.tolist()) == [3, 5, 10]
    np.testing.assert_allclose(basis.inverse @ basis.matrix(), np.eye(3), atol=1e-12)


def test_a_singular_exchange_is_refused():
    basis = Basis(row=1, column=1, size=4)
    with pytest.raises(np.linalg.LinAlgError):
        basis.add(1, 2, basis.row_image(1))


def test_storage_grows():
    basis = Basis(row=1, column=1, size=128)
    for subset in range(2, 128):
        basis.add(subset, subset, basis.row_image(subset))
    np.testing.assert_allclose(basis.inverse @ basis.matrix(), np.eye(127), atol=1e-9)
