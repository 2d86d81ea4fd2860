import subprocess
import sys

import pytest
import torch

from lightning_interactions.extraction import cholesky, lapack

LIMITS = {torch.float64: 1e-9, torch.float32: 1e-3}


@pytest.fixture(params=["SciPy", "torch"])
def _library(request, monkeypatch):
    """Which library does the work."""
    if request.param == "torch":
        monkeypatch.setattr(lapack, "has_routines", lambda _: False)


def matrices(batch, rows, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(batch, rows, 2 * rows, dtype=torch.float64, generator=generator)
    return (drawn @ drawn.mT).to(dtype)


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize(("batch", "rows"), [(1, 1), (1, 5), (3, 32), (7, 64)])
@pytest.mark.usefixtures("_library")
def test_factors_and_solutions_are_those_of_the_dense_matrix(dtype, batch, rows):
    matrix = matrices(batch, rows, dtype)
    factors = matrix.clone()
    assert cholesky.factorise(factors).tolist() == [0] * batch
    lower = factors.tril().double()
    torch.testing.assert_close(lower @ lower.mT, matrix.double(), rtol=LIMITS[dtype] / 1e3, atol=LIMITS[dtype] / 10)
    expected = torch.randn(batch, rows, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    right = (matrix.double() @ expected[..., None])[..., 0].to(dtype)
    given = right.clone()
    torch.testing.assert_close(
        cholesky.substitute(factors, right).double(), expected, rtol=LIMITS[dtype], atol=LIMITS[dtype]
    )
    assert torch.equal(right, given)


@pytest.fixture
def in_tiles(monkeypatch):
    monkeypatch.setattr(cholesky, "_FIRST_TILED", 1)
    monkeypatch.setattr(cholesky, "_TILE", 16)


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("rows", [1, 15, 16, 17, 48, 70])
@pytest.mark.usefixtures("in_tiles")
def test_a_matrix_cut_into_tiles_has_the_same_factor(dtype, rows):
    matrix = matrices(2, rows, dtype)
    garbage = matrix.tril() + torch.full_like(matrix, torch.nan).triu(1)
    assert cholesky.factorise(garbage).tolist() == [0, 0]
    expected = torch.linalg.cholesky(matrix.double())
    scale = expected.abs().max().item()
    torch.testing.assert_close(garbage.tril().double(), expected, rtol=0, atol=LIMITS[dtype] / 100 * scale)


@pytest.mark.usefixtures("in_tiles")
def test_so_it_has_whatever_the_default_device():
    matrix = matrices(1, 48, torch.float64)
    expected = torch.linalg.cholesky(matrix)
    with torch.device("meta"):  # where a number would have no address
        told = cholesky.factorise(matrix)
    assert told.tolist() == [0]
    torch.testing.assert_close(matrix.tril(), expected)


@pytest.mark.usefixtures("in_tiles")
@pytest.mark.parametrize("row", [0, 20, 47])
def test_a_tile_that_is_not_positive_definite_is_told(row):
    matrix = matrices(2, 48, torch.float64)
    matrix[1, row, row] = -1
    assert cholesky.factorise(matrix).tolist() == [0, row + 1]


@pytest.mark.usefixtures("in_tiles")
@pytest.mark.parametrize("spare", [2, 3, 16])
def test_threads_change_no_digit_of_a_matrix_cut_into_tiles(spare, monkeypatch):
    alone, shared = matrices(1, 100, torch.float64), matrices(1, 100, torch.float64)
    cholesky.factorise(alone)
    monkeypatch.setattr(cholesky, "to_spare", lambda: spare)
    cholesky.factorise(shared)
    assert torch.equal(shared.tril(), alone.tril())


@pytest.mark.usefixtures("_library")
def test_only_the_lower_triangle_is_read():
    matrix = matrices(2, 16, torch.float64)
    garbage = matrix.tril() + torch.full_like(matrix, torch.nan).triu(1)
    clean = matrix.clone()
    cholesky.factorise(clean)
    assert cholesky.factorise(garbage).tolist() == [0, 0]
    torch.testing.assert_close(garbage.tril(), clean.tril(), rtol=1e-12, atol=1e-12)
    right = torch.ones(2, 16, dtype=torch.float64)
    torch.testing.assert_close(cholesky.substitute(garbage.tril(), right), cholesky.substitute(clean, right))


@pytest.mark.usefixtures("_library")
def test_a_matrix_that_is_not_positive_definite_is_told():
    matrix = matrices(3, 8, torch.float64)
    matrix[1, 4, 4] = -1
    assert (cholesky.factorise(matrix) == 0).tolist() == [True, False, True]


@pytest.mark.usefixtures("_library")
def test_a_part_of_a_larger_storage():
    storage = torch.full((4, 8, 8), torch.nan, dtype=torch.float64)
    part = storage[:2]
    part.copy_(matrices(2, 8, torch.float64))
    cholesky.factorise(part)
    assert storage[2:].isnan().all()
    assert part.isfinite().all()


def test_scipy_publishes_the_routines():
    assert lapack.has_routines(torch.float64)
    assert lapack.has_routines(torch.float32)
    assert not lapack.has_routines(torch.float16)


@pytest.fixture
def publish(monkeypatch):
    """Let SciPy publish other routines."""

    def instead(capsules):
        for module in ("cython_blas", "cython_lapack"):
            monkeypatch.setattr(lapack, module, type("module", (), {"__pyx_capi__": capsules}))
        lapack.routine.cache_clear()

    yield instead
    lapack.routine.cache_clear()


def test_routines_that_are_not_published_are_not_there(publish):
    publish({})
    assert not lapack.has_routines(torch.float64)
    assert lapack.routine("potrf", torch.float64) is None
    assert lapack.routine("trsv", torch.float64) is None
    assert lapack.routine("gemm", torch.float64) is None


def test_routines_with_other_arguments_are_not_called(publish):
    lapacks, blas = lapack.cython_lapack.__pyx_capi__, lapack.cython_blas.__pyx_capi__
    publish({"dpotrf": lapacks["dpotri"], "dtrsv": blas["dtrmm"]})
    assert not lapack.has_routines(torch.float64)
    assert lapack.routine("potrf", torch.float64) is not None  # dpotri takes what dpotrf takes
    assert lapack.routine("trsv", torch.float64) is None


def test_without_scipys_pointers_the_solver_solves_all_the_same():
    """In a process of its own, where SciPy has none from the start."""
    program = """
import numpy as np, torch
from scipy.linalg import cython_lapack
for name in ("dpotrf", "spotrf"):
    del cython_lapack.__pyx_capi__[name]
from lightning_interactions.extraction import cholesky, lapack
from lightning_interactions.extraction.solve import solve
assert not lapack.has_routines(torch.float64)
values = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 64)))
print(solve(values, 0.1).gap.max().item() <= 1e-6)
"""
    done = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "True\n"
