import numpy as np
import pytest
import torch

from lightning_interactions import lattice
from lightning_interactions.extraction.programme import dual_bound, targets_of
from lightning_interactions.extraction.sgd import half_split, sgd
from lightning_interactions.extraction.sign_dual import nearest_to_signs, sign_dual
from lightning_interactions.extraction.solve import solve


def autograd_recipe(values, noise_bound, steps, learning_rate):
    """The recipe with PyTorch's own optimiser, schedule and differentiation, one sample at a time."""
    gamma = torch.zeros_like(values, requires_grad=True)
    delta = torch.zeros_like(values, requires_grad=True)
    free = torch.ones_like(values)
    free[0] = 0
    optimizer = torch.optim.SGD([gamma, delta], lr=learning_rate, momentum=0.9)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1 ** (1 / steps))

    def effects():
        half = (values - delta * free) / 2
        return lattice.and_interactions(half + gamma), lattice.or_interactions(half - gamma)

    for _ in range(steps):
        delta.data.clamp_(-noise_bound, noise_bound)
        optimizer.zero_grad()
        and_, or_ = effects()
        (and_.abs().sum() + or_.abs().sum()).backward()
        optimizer.step()
        schedule.step()
    delta.data.clamp_(-noise_bound, noise_bound)
    return torch.stack(effects()).detach()


@pytest.mark.parametrize("n", [1, 3, 5])
def test_follows_the_recipe_step_by_step(n, network_values, noise_bound_of):
    values = network_values(n)
    noise_bound = noise_bound_of(values)
    effects, _ = sgd(
        targets_of(values), torch.full((2,), noise_bound, dtype=torch.float64), steps=50, learning_rate=1e-3
    )
    expected = torch.stack([autograd_recipe(sample, noise_bound, 50, 1e-3) for sample in values])
    torch.testing.assert_close(effects, expected, rtol=0, atol=1e-9)


def test_improves_on_the_half_split_and_stays_above_the_optimum(network_values, noise_bound_of):
    values = network_values(6)
    noise_bound = noise_bound_of(values)
    best = solve(values, noise_bound)
    none = solve(values, solver="none")
    recipe = solve(values, noise_bound, solver="sgd", steps=1000, learning_rate=1e-4)
    assert (best.l1 < recipe.l1).all()
    assert (recipe.l1 < none.l1).all()


def test_keeps_to_the_noise_bound(network_values, noise_bound_of):
    values = network_values(6)
    noise_bound = noise_bound_of(values)
    solution = solve(values, noise_bound, solver="sgd", steps=200, learning_rate=1e-2)
    assert (solution.noise <= noise_bound * (1 + 1e-9)).all()
    assert (solution.noise > 0.5 * noise_bound).all()
    assert solution.iterations.tolist() == [200, 200]


@pytest.mark.parametrize("solver", ["sgd", "none"])
@pytest.mark.parametrize("share", [1.0, 0.0])
@pytest.mark.filterwarnings("error")
def test_the_gap_is_honest(solver, share, network_values, noise_bound_of):
    values = network_values(6)
    noise_bound = share * noise_bound_of(values)
    options = {"steps": 300, "learning_rate": 1e-3} if solver == "sgd" else {}
    solution = solve(values, noise_bound, solver, **options)
    best = solve(values, noise_bound)
    assert ((1 - solution.gap) * solution.l1 <= best.l1 * (1 + 1e-9)).all()
    assert ((solution.gap > 0) & (solution.gap < 1)).all()


@pytest.mark.parametrize("n", [1, 2, 4])
def test_half_split_is_half_of_each(n, network_values):
    values = network_values(n)
    effects = half_split(targets_of(values))
    torch.testing.assert_close(effects[:, 0], lattice.and_interactions(values) / 2)
    torch.testing.assert_close(effects[:, 1], lattice.or_interactions(values) / 2)
    solution = solve(values, solver="none", merge_order_one=False)
    torch.testing.assert_close(solution.and_, effects[:, 0])
    torch.testing.assert_close(solution.or_, effects[:, 1])
    assert (solution.noise <= 1e-9 * values.abs().max()).all()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_nearest_to_signs_is_the_least_squares_solution(n, dense_phi):
    effects = torch.randn(2, 2, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    effects[..., 0] = 0
    phi = dense_phi(n)[1:]
    for duals, sample in zip(nearest_to_signs(effects), effects, strict=True):
        expected, *_ = np.linalg.lstsq(phi.T, sample.sign().flatten().numpy(), rcond=None)
        np.testing.assert_allclose(duals[1:].numpy(), expected, atol=1e-8)


def test_sign_dual_proves_at_least_the_largest_target():
    targets = torch.tensor([[0.0, 1.0, -2.0, 0.5]], dtype=torch.float64)
    noise_bound = torch.tensor([0.25], dtype=torch.float64)
    duals = sign_dual(targets, noise_bound, half_split(targets))
    assert dual_bound(targets, noise_bound, duals).item() >= 1.75
