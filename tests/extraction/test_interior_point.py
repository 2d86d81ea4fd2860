import itertools

import pytest
import torch

from lightning_interactions import lattice
from lightning_interactions.extraction.interior_point import interior_point
from lightning_interactions.extraction.programme import apply_transpose, dual_bound, residuals, targets_of
from lightning_interactions.extraction.solve import solve

CASES = [(n, steps) for n in (4, 5, 6, 7) for steps in (0, 60)]


@pytest.mark.parametrize("case", [*CASES, (8, 60)])
@pytest.mark.parametrize("share", [1.0, 0.05, 0.0])
def test_reaches_the_optimum_of_highs_on_network_values(case, share, network_values, noise_bound_of, highs):
    n, steps = case
    values = network_values(n, steps=steps)[: 1 if n > 6 else 2]
    noise_bound = share * noise_bound_of(values)
    solution = solve(values, noise_bound)
    best = torch.tensor([highs(target, noise_bound) for target in targets_of(values)], dtype=torch.float64)
    torch.testing.assert_close(solution.l1, best, rtol=1e-6, atol=0)
    assert (solution.gap <= 1e-6).all()
    assert ((1 - solution.gap) * solution.l1 <= best * (1 + 1e-9)).all()


@pytest.mark.parametrize("case", [*CASES, (8, 0), (8, 60)])
@pytest.mark.parametrize("share", [1.0, 1e-3, 1e-6, 0.0])
def test_the_certificate_is_what_the_effects_and_duals_say(case, share, network_values, noise_bound_of):
    n, steps = case
    values = network_values(n, steps=steps)
    noise_bound = torch.full((2,), share * noise_bound_of(values), dtype=torch.float64)
    solution = solve(values, noise_bound)
    targets = targets_of(values)
    rest = values - lattice.reconstruct(solution.and_, solution.or_, bias=values[:, :1])
    scale = targets.abs().amax(1)
    allowed = torch.where(noise_bound > 0, noise_bound * (1 + 1e-9), 1e-9 * scale)
    assert (rest.abs().amax(1) <= allowed).all()
    torch.testing.assert_close(solution.noise, rest.abs().amax(1), rtol=0, atol=1e-12 * scale.max().item())
    l1 = solution.and_.abs().sum(1) + solution.or_.abs().sum(1)
    torch.testing.assert_close(solution.l1, l1, rtol=1e-14, atol=0)
    assert (solution.gap <= 1e-6).all()
    assert solution.and_[:, 0].eq(0).all()
    assert solution.or_[:, 0].eq(0).all()


def test_dual_values_are_a_certificate_of_their_own(network_values, noise_bound_of):
    values = network_values(6)
    targets, noise_bound = targets_of(values), torch.full((2,), noise_bound_of(values), dtype=torch.float64)
    effects, duals, _ = interior_point(targets, noise_bound)
    assert (apply_transpose(duals).abs() <= 1).all()
    assert (residuals(targets, effects).abs() <= noise_bound[:, None]).all()
    l1 = effects.abs().sum((1, 2))
    torch.testing.assert_close(dual_bound(targets, noise_bound, duals), l1, rtol=1e-6, atol=0)


def test_effects_outside_the_support_are_exactly_zero(network_values, noise_bound_of):
    values = network_values(6)
    solution = solve(values, noise_bound_of(values))
    effects = torch.cat([solution.and_, solution.or_], 1)
    always_zero = 2 + 6
    assert ((effects == 0).sum(1) > 4 * always_zero).all()
    assert effects.abs()[effects != 0].min() > 1e-7 * targets_of(values).abs().max()


def test_samples_stop_on_their_own(network_values, noise_bound_of):
    values = torch.cat([network_values(5), torch.zeros(1, 32, dtype=torch.float64)])
    solution = solve(values, noise_bound_of(values))
    assert solution.iterations[2] == 0
    assert (solution.iterations[:2] > 0).all()


DEGENERATE = [
    -1,
    5,
    -1,
    0,
    1,
    -1,
    -5,
    0,
    -3,
    4,
    -1,
    0,
    -3,
    4,
    -1,
    -1,
    2,
    -2,
    1,
    -2,
    -1,
    2,
    0,
    3,
    3,
    -2,
    1,
    -2,
    4,
    1,
    -1,
    -3,
]
"""Integer outputs of five variables whose optimum is a corner that many effects meet in."""


def test_a_degenerate_game_is_solved_in_every_order_of_its_variables():
    n = 5
    orders = torch.tensor(list(itertools.permutations(range(n))))
    masks = (lattice.subset_masks(n).long() @ (1 << orders).T).T
    values = torch.tensor(DEGENERATE, dtype=torch.float64)[masks]
    solution = solve(values, 0.006)
    assert (solution.gap <= 1e-6).all()
    torch.testing.assert_close(solution.l1, torch.full_like(solution.l1, 70.742), rtol=1e-6, atol=0)


def test_what_coarse_factors_cannot_solve_is_solved_again(network_values, noise_bound_of, monkeypatch):
    values = network_values(6)
    expected = solve(values, noise_bound_of(values))
    monkeypatch.setattr("lightning_interactions.extraction.interior_point._COARSE", 0.0)
    solution = solve(values, noise_bound_of(values))
    assert (solution.iterations > expected.iterations).any()  # a second run was necessary
    assert (solution.gap <= 1e-6).all()
    torch.testing.assert_close(solution.l1, expected.l1, rtol=1e-6, atol=0)


@pytest.mark.parametrize("share", [1.0, 0.0])
def test_the_library_that_factorises_changes_nothing(share, network_values, noise_bound_of, monkeypatch):
    values = network_values(6)
    noise_bound = share * noise_bound_of(values)
    expected = solve(values, noise_bound)
    monkeypatch.setattr("lightning_interactions.extraction.lapack.has_routines", lambda _: False)
    solution = solve(values, noise_bound)
    assert (solution.gap <= 1e-6).all()
    torch.testing.assert_close(solution.l1, expected.l1, rtol=1e-7, atol=0)
    scale = targets_of(values).abs().max().item()
    for found, known in ((solution.and_, expected.and_), (solution.or_, expected.or_)):
        torch.testing.assert_close(found, known, rtol=0, atol=1e-5 * scale)


def test_a_run_cut_short_is_honest(network_values, noise_bound_of, highs):
    values = network_values(5)
    noise_bound = noise_bound_of(values)
    with pytest.warns(UserWarning, match=r"2 of 2 samples are not solved to a relative gap of 1e-06") as caught:
        solution = solve(values, noise_bound, max_iterations=4)
    assert len(caught) == 1
    assert (solution.gap > 1e-6).all()
    assert (solution.noise <= noise_bound * (1 + 1e-9)).all()
    best = torch.tensor([highs(target, noise_bound) for target in targets_of(values)], dtype=torch.float64)
    assert ((1 - solution.gap) * solution.l1 <= best * (1 + 1e-9)).all()
    assert (solution.l1 >= best * (1 - 1e-9)).all()


def test_a_looser_tolerance_takes_fewer_iterations(network_values, noise_bound_of):
    values = network_values(6)
    loose = solve(values, noise_bound_of(values), tolerance=1e-2)
    tight = solve(values, noise_bound_of(values), tolerance=1e-8)
    assert (loose.iterations < tight.iterations).all()
    assert (loose.gap <= 1e-2).all()
    assert (tight.gap <= 1e-8).all()
