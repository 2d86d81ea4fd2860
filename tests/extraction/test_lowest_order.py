"""One answer where the optimum is not unique."""

import numpy as np
import pytest
import scipy.optimize
import torch

from lightning_interactions import lattice
from lightning_interactions.extraction.interior_point import interior_point
from lightning_interactions.extraction.lowest_order import lowest_order
from lightning_interactions.extraction.programme import dual_bound, relative_gap, targets_of
from lightning_interactions.extraction.solve import solve


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


@pytest.mark.parametrize("case", [*((n, steps) for n in (4, 5, 6, 7) for steps in (0, 60)), (8, 60)])
def test_the_total_order_is_the_smallest_by_highs(case, network_values, noise_bound_of, dense_phi, total_order):
    n, steps = case
    values = network_values(n, steps=steps)[: 1 if n > 6 else 2]
    noise_bound = noise_bound_of(values)
    solution = solve(values, noise_bound, tie_break="lowest_order")
    best = [smallest_order_by_highs(target, noise_bound, dense_phi(n)) for target in targets_of(values)]
    torch.testing.assert_close(total_order(solution), torch.tensor(best, dtype=torch.float64), rtol=1e-4, atol=0)
    assert (solution.gap <= 1e-6).all()
    assert (solution.noise <= noise_bound * (1 + 1e-9)).all()


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


@pytest.mark.parametrize("noise_bound", [0.0, 0.1])
def test_two_single_effects_rather_than_their_and_plus_or(noise_bound):
    values = torch.tensor([[0.0, 1.0, 1.0, 2.0]], dtype=torch.float64)
    solution = solve(values, noise_bound, tie_break="lowest_order")
    assert solution.and_[0, 3].abs() + solution.or_[0, 3].abs() < 1e-9


def test_no_tie_break_is_as_sparse(network_values, noise_bound_of, total_order):
    values = network_values(7)
    noise_bound = noise_bound_of(values)
    with_, without = (solve(values, noise_bound, tie_break=tie_break) for tie_break in ("lowest_order", "none"))
    torch.testing.assert_close(without.l1, with_.l1, rtol=1e-6, atol=0)
    assert (total_order(with_) <= total_order(without) * (1 + 1e-9)).all()


def test_an_unknown_tie_break_is_refused():
    with pytest.raises(ValueError, match=r"`tie_break`.*'highest'.*HINT"):
        solve(torch.zeros(1, 4), 0.1, tie_break="highest")
