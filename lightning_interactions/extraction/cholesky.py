"""Cholesky factors of a batch of symmetric matrices in place, and solutions with them.

On a CPU, torch factorises a batch one matrix after the other, each on all threads. Matrices of a thousand rows are too
small for that: SciPy's LAPACK takes half the time when every thread has a matrix of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_interactions.extraction import lapack

__all__ = ["factorise", "substitute"]

_WORTHWHILE = 512
"""Rows from which on SciPy's LAPACK is faster: below, the calls cost more than the work."""

_TRIANGLE = lapack.by_address(b"U")
"""Fortran reads matrices by columns: what is the lower triangle here is the upper one there."""

_YES, _NO = lapack.by_address(b"T"), lapack.by_address(b"N")


def factorise(matrices: Tensor) -> Tensor:
    r"""Replace the lower triangles by those of :math:`L`, with :math:`L L^\top` the matrix.

    Args:
        matrices: contiguous ``(batch, rows, rows)``, float64 or float32; only the lower triangles are read, and what
            the upper ones hold afterwards is undefined.

    Returns:
        int32 tensor ``(batch,)``: 0 where the matrix is positive definite.

    Example:
        >>> matrices = torch.tensor([[[4.0, 0.0], [2.0, 5.0]]])
        >>> factorise(matrices).tolist(), matrices.tril().tolist()
        ([0], [[[2.0, 0.0], [1.0, 2.0]]])
    """
    info = torch.zeros(len(matrices), dtype=torch.int32, device=matrices.device)
    if not _side_by_side(matrices):
        # The transpose is stored by columns, which is what LAPACK and cuSOLVER factorise in place.
        torch.linalg.cholesky_ex(matrices.mT, upper=True, out=(matrices.mT, info))
        return info
    potrf = lapack.routine("potrf", matrices.dtype)
    rows = lapack.by_address(matrices.shape[-1])
    starts, infos = lapack.addresses(matrices), lapack.addresses(info)

    def factorise_one(sample: int) -> None:
        potrf(_TRIANGLE, rows, starts[sample], rows, infos[sample])

    lapack.side_by_side(factorise_one, len(matrices))
    return info


def substitute(factors: Tensor, right: Tensor) -> Tensor:
    r"""Solve :math:`L L^\top x = b` for one right-hand side a matrix.

    Args:
        factors: what :func:`factorise` left, ``(batch, rows, rows)``.
        right: ``(batch, rows)``, of the same type.

    Returns:
        ``(batch, rows)``.

    Example:
        >>> substitute(torch.tensor([[[2.0, 0.0], [1.0, 2.0]]]), torch.tensor([[8.0, 14.0]])).tolist()
        [[0.75, 2.5]]
    """
    if not _side_by_side(factors):
        half = torch.linalg.solve_triangular(factors, right[..., None], upper=False)
        return torch.linalg.solve_triangular(factors.mT, half, upper=True)[..., 0]
    trsv = lapack.routine("trsv", factors.dtype)
    rows, step = lapack.by_address(factors.shape[-1]), lapack.by_address(1)
    solution = right.clone(memory_format=torch.contiguous_format)
    starts, solutions = lapack.addresses(factors), lapack.addresses(solution)

    def substitute_one(sample: int) -> None:
        for transposed in (_YES, _NO):
            trsv(_TRIANGLE, transposed, _NO, rows, starts[sample], rows, solutions[sample], step)

    lapack.side_by_side(substitute_one, len(factors))
    return solution


def _side_by_side(matrices: Tensor) -> bool:
    return matrices.is_cpu and matrices.shape[-1] >= _WORTHWHILE and lapack.has_routines(matrices.dtype)
