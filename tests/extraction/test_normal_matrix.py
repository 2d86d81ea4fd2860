import numpy as np
import pytest
import torch

from lightning_interactions.extraction.normal_matrix import NormalMatrix
from lightning_interactions.extraction.programme import free_effects

SIZES = [1, 2, 3, 4, 5, 6]


def diagonals(n, samples, spread, seed=0):
    """Random positive Θ and D over ``10**-spread … 10**spread``, with the zeros the solver puts in."""
    generator = torch.Generator().manual_seed(seed)
    exponents = 2 * torch.rand(samples, 3, 2**n, dtype=torch.float64, generator=generator) - 1
    drawn = 10 ** (spread * exponents)
    drawn[:, :2] *= free_effects(n)
    drawn[:, 2, 0] = 0
    return drawn[:, :2].contiguous(), drawn[:, 2].contiguous()


def dense(weights, box, phi):
    """ΦΘΦᵀ + D over the non-empty subsets."""
    return ((phi * weights.flatten().numpy()) @ phi.T + np.diag(box.numpy()))[1:, 1:]


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("boxed", [True, False])
def test_factorises_the_dense_matrix(n, boxed, dense_phi):
    weights, box = diagonals(n, 2, spread=0.5)
    box = box * boxed
    matrix = NormalMatrix(2, n)
    assert matrix.factorise(weights, box).all()
    for sample in range(2):
        # Undo the change of basis: columns of the Möbius transform, with signs.
        lower = matrix._factors[sample].tril()
        product = (lower @ lower.T).numpy()
        zeta = dense_phi(n)[:, : 2**n].copy()
        zeta[:, 0] = 1
        signs = matrix._signs.numpy()
        actual = zeta @ (signs[:, None] * product * signs) @ zeta.T
        expected = dense(weights[sample], box[sample], dense_phi(n))
        # Row and column of the empty set hold a 1 that the transform spreads over all entries.
        np.testing.assert_allclose(actual[1:, 1:] - actual[0, 0], expected, rtol=1e-10, atol=1e-10)


def test_refinement_makes_up_for_float32_factors(dense_phi):
    weights, box = diagonals(5, 1, spread=1)
    system = dense(weights[0], box[0], dense_phi(5))
    expected = np.random.default_rng(2).standard_normal(31)
    right = torch.zeros(1, 32, dtype=torch.float64)
    right[0, 1:] = torch.from_numpy(system @ expected)
    matrix = NormalMatrix(1, 5)
    assert matrix.factorise(weights, box, torch.float32).all()
    errors = [np.abs(matrix.solve(right, refined=refined)[0, 1:].numpy() - expected).max() for refined in (False, True)]
    matrix.factorise(weights, box)
    errors.append(np.abs(matrix.solve(right)[0, 1:].numpy() - expected).max())

    assert matrix._factors.data_ptr() == matrix._storage.data_ptr()
    assert 1e-9 < errors[0] < 1e-2
    assert errors[1] < 1e-2 * errors[0]
    assert errors[2] < 1e-9


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("spread", [0, 2, 4])
def test_solves_the_dense_system(n, spread, dense_phi):
    weights, box = diagonals(n, 3, spread)
    expected = torch.randn(3, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected[:, 0] = 0
    matrix = NormalMatrix(3, n)
    matrix.factorise(weights, box)
    for sample in range(3):
        system = dense(weights[sample], box[sample], dense_phi(n))
        right = torch.zeros(3, 2**n, dtype=torch.float64)
        right[sample, 1:] = torch.from_numpy(system @ expected[sample, 1:].numpy())
        solution = matrix.solve(right)[sample]
        np.testing.assert_allclose(system @ solution[1:].numpy(), right[sample, 1:].numpy(), rtol=1e-8, atol=1e-8)
        assert solution[0] == 0


def test_storage_is_used_again_for_fewer_samples_without_new_matrices():
    matrix = NormalMatrix(4, 4)
    weights, box = diagonals(4, 4, spread=1)
    matrix.factorise(weights, box)
    matrix.factorise(weights[1:2], box[1:2])
    assert matrix._factors.data_ptr() == matrix._storage.data_ptr()
    alone = NormalMatrix(1, 4)
    alone.factorise(weights[1:2], box[1:2])
    right = torch.ones(1, 16, dtype=torch.float64)
    right[:, 0] = 0
    assert torch.equal(matrix.solve(right), alone.solve(right))


def test_a_singular_matrix_is_regularised_alone():
    weights, box = diagonals(4, 2, spread=0.5)
    weights[1, :, 1:] = 1e-40
    weights[1, 1, 15] = 1
    matrix, alone = NormalMatrix(2, 4), NormalMatrix(1, 4)
    assert matrix.factorise(weights, 0 * box).all()
    alone.factorise(weights[:1], 0 * box[:1])
    assert torch.equal(matrix._factors[0].tril(), alone._factors[0].tril())


def test_a_broken_matrix_is_reported():
    weights = torch.full((2, 2, 8), torch.nan, dtype=torch.float64)
    weights[1] = 1
    weights[1, :, 0] = 0
    box = torch.zeros(2, 8, dtype=torch.float64)
    assert NormalMatrix(2, 3).factorise(weights, box).tolist() == [False, True]
