import numpy as np
import pytest
import torch

from lightning_interactions.extraction import programme

SIZES = [1, 2, 3, 5]


def random_effects(n, samples=3, seed=0):
    effects = torch.randn(samples, 2, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    effects[..., 0] = 0
    return effects


def random_row(n, samples=3, seed=1):
    return random_effects(n, samples, seed)[:, 0]


@pytest.mark.parametrize("n", SIZES)
def test_residuals_are_targets_minus_the_dense_product(n, dense_phi):
    effects, targets = random_effects(n), random_row(n)
    expected = targets.numpy() - effects.flatten(1).numpy() @ dense_phi(n).T
    np.testing.assert_allclose(programme.residuals(targets, effects).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("n", SIZES)
def test_apply_transpose_is_the_dense_transposed_product(n, dense_phi):
    duals = random_row(n)
    expected = duals.numpy() @ dense_phi(n)
    np.testing.assert_allclose(programme.apply_transpose(duals).flatten(1).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("n", SIZES)
def test_free_columns_have_the_rank_of_all_columns_and_no_duplicates(n, dense_phi):
    phi = dense_phi(n)
    free = phi[:, programme.free_effects(n).flatten().numpy()]
    assert len(np.unique(free, axis=1).T) == free.shape[1] == 2 * (2**n - 1) - n
    assert np.linalg.matrix_rank(free) == np.linalg.matrix_rank(phi)


@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("noise_bound", [0.0, 0.3])
def test_any_dual_values_bound_the_optimum_from_below(n, noise_bound, highs):
    targets, duals = random_row(n, samples=6), 2 * random_row(n, samples=6, seed=2)
    bounds = programme.dual_bound(targets, torch.full((6,), noise_bound), duals)
    for target, bound in zip(targets, bounds, strict=True):
        assert 0 <= bound.item() <= highs(target, noise_bound) * (1 + 1e-9)


def test_relative_gap_is_zero_without_effects_and_never_negative():
    gap = programme.relative_gap(torch.tensor([0.0, 2.0, 2.0]), torch.tensor([0.0, 1.0, 2.0 + 1e-12]))
    assert gap.tolist() == [0.0, 0.5, 0.0]


@pytest.mark.parametrize("n", SIZES)
def test_merging_order_one_changes_no_prediction_and_raises_no_objective(n):
    effects = random_effects(n)
    and_, or_ = programme.merge_order_one(*effects.unbind(1))
    merged = torch.stack([and_, or_], 1)
    nothing = torch.zeros(3, 2**n, dtype=torch.float64)
    torch.testing.assert_close(programme.residuals(nothing, merged), programme.residuals(nothing, effects))
    assert (merged.abs().sum((1, 2)) <= effects.abs().sum((1, 2)) + 1e-12).all()
    assert all(or_[:, 1 << i].eq(0).all() for i in range(n))


def test_merging_leaves_its_arguments_alone():
    effects = random_effects(3)
    before = effects.clone()
    programme.merge_order_one(*effects.unbind(1))
    assert torch.equal(effects, before)
