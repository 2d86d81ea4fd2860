"""Cholesky factors of a batch of symmetric matrices in place, and solutions with them.

On a CPU they come from SciPy's LAPACK, which other Python threads do not have to wait for. Large matrices are cut into
tiles, whose products the threads share that are left when every sample has one. The cut does not depend on their
number, and so neither does a digit of the factors.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from lightning_interactions.extraction import lapack
from lightning_interactions.extraction.threads import side_by_side, to_spare

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["factorise", "substitute"]

Place = TypeVar("Place")

_TILE = 512
"""Rows of a tile: large enough for products at full speed, and so small that there are several for each thread."""

_FIRST_TILED = 2048
"""Rows from which on a matrix is cut into tiles."""

_TRIANGLE = lapack.by_address(b"U")
"""Fortran reads matrices by columns: what is the lower triangle here is the upper one there."""

_YES, _NO, _LEFT = lapack.by_address(b"T"), lapack.by_address(b"N"), lapack.by_address(b"L")


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
    if not _by_lapack(matrices):
        # The transpose is stored by columns, which is what LAPACK and cuSOLVER factorise in place.
        torch.linalg.cholesky_ex(matrices.mT, upper=True, out=(matrices.mT, info))
        return info
    size = matrices.shape[-1]
    if size >= _FIRST_TILED:
        for sample, matrix in enumerate(matrices):
            info[sample] = _Tiles(matrix).factorise()
    else:
        potrf, rows = lapack.routine("potrf", matrices.dtype), lapack.by_address(size)
        for start, told in zip(lapack.addresses(matrices), lapack.addresses(info), strict=True):
            potrf(_TRIANGLE, rows, start, rows, told)
    # LAPACK passes over numbers that are none; in a factor they spread to the last one.
    return torch.where(matrices[:, -1, -1].isfinite(), info, info.clamp(min=size))


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
    if not _by_lapack(factors):
        half = torch.linalg.solve_triangular(factors, right[..., None], upper=False)
        return torch.linalg.solve_triangular(factors.mT, half, upper=True)[..., 0]
    trsv = lapack.routine("trsv", factors.dtype)
    rows, step = lapack.by_address(factors.shape[-1]), lapack.by_address(1)
    solution = right.clone(memory_format=torch.contiguous_format)
    for start, solved in zip(lapack.addresses(factors), lapack.addresses(solution), strict=True):
        for transposed in (_YES, _NO):
            trsv(_TRIANGLE, transposed, _NO, rows, start, rows, solved, step)
    return solution


def _by_lapack(matrices: Tensor) -> bool:
    return matrices.is_cpu and lapack.has_routines(matrices.dtype)


class _Tiles:
    """A square matrix cut into tiles, which are factorised column by column: what is right of one takes its products.

    Args:
        matrix: contiguous ``(rows, rows)`` on the CPU.
    """

    def __init__(self, matrix: Tensor) -> None:
        size = len(matrix)
        self._start, self._number_bytes = matrix.data_ptr(), matrix.element_size()
        self._size, self._stride = size, lapack.by_address(size)
        self._count = -(-size // _TILE)
        self._rows = [lapack.by_address(min(_TILE, size - tile * _TILE)) for tile in range(self._count)]
        self._plus, self._minus = lapack.number(1.0, matrix.dtype), lapack.number(-1.0, matrix.dtype)
        self._potrf, self._trsm, self._syrk, self._gemm = (
            lapack.routine(name, matrix.dtype) for name in ("potrf", "trsm", "syrk", "gemm")
        )

    def factorise(self) -> int:
        """Replace the lower triangle by its factor; returns 0 where it is positive definite."""
        info = torch.zeros(1, dtype=torch.int32, device="cpu")  # whatever the default device
        for column in range(self._count):
            rows, at = self._rows[column], self._at(column, column)
            self._potrf(_TRIANGLE, rows, at, self._stride, info.data_ptr())
            if info.item():
                return column * _TILE + int(info.item())
            below = range(column + 1, self._count)
            self._for_each(below, partial(self._divide, column))
            self._for_each(
                [(row, other) for row in below for other in range(column + 1, row + 1)], partial(self._take, column)
            )
        return 0

    def _for_each(self, places: Sequence[Place], work: Callable[[Place], None]) -> None:
        side_by_side(lambda index: work(places[index]), len(places), to_spare())

    def _at(self, row: int, column: int) -> int:
        return self._start + (row * self._size + column) * _TILE * self._number_bytes

    def _divide(self, column: int, row: int) -> None:
        r"""A tile below the diagonal becomes that of the factor, :math:`L_{rc} = A_{rc} L_{cc}^{-\top}`."""
        here, diagonal = self._at(row, column), self._at(column, column)
        sizes = self._rows[column], self._rows[row]
        self._trsm(_LEFT, _TRIANGLE, _YES, _NO, *sizes, self._plus, diagonal, self._stride, here, self._stride)

    def _take(self, column: int, place: tuple[int, int]) -> None:
        r"""Take from :math:`A_{ro}` what a column of the factor explains, :math:`L_{rc} L_{oc}^\top`."""
        row, other = place
        here, left, right = self._at(row, other), self._at(other, column), self._at(row, column)
        inner, stride = self._rows[column], self._stride
        if row == other:
            self._syrk(_TRIANGLE, _YES, self._rows[row], inner, self._minus, left, stride, self._plus, here, stride)
            return
        sizes = self._rows[other], self._rows[row], inner
        self._gemm(_YES, _NO, *sizes, self._minus, left, stride, right, stride, self._plus, here, stride)
