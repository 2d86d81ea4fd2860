r"""A square part of :math:`\Phi` with its inverse, exchanged one row or column at a time.

Columns are numbered through: AND effects :math:`S` by ``S``, OR effects by ``2**n + S``. Arrays are NumPy's, because
the work consists of many small steps whose cost is the call and not the arithmetic.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Basis", "entries"]

Reals = NDArray[np.float64]
Indices = NDArray[np.int64]

_SMALLEST_PIVOT = 1e-9
"""Entries of Φ are 0 and 1: a smaller pivot is rounding, and the square part would be singular."""

_FIRST_CAPACITY = 64


def entries(rows: Indices, columns: Indices, size: int) -> Reals:
    r"""The entries :math:`Z_{TS} = [S \subseteq T]` and :math:`O_{TS} = [S \cap T \neq \varnothing]` of :math:`\Phi`.

    Args:
        rows: subsets ``T``.
        columns: numbers of effects; broadcast against ``rows``.
        size: ``2**n``.

    Example:
        >>> entries(np.arange(4)[:, None], np.array([1, 3, 4 + 3]), size=4).astype(int).tolist()
        [[0, 0, 0], [1, 0, 1], [0, 0, 1], [1, 1, 1]]
    """
    subsets = columns & (size - 1)
    common = rows & subsets
    return np.where(columns >= size, common != 0, common == subsets).astype(np.float64)


class Basis:
    r"""As many rows as columns of :math:`\Phi`, and the inverse of the square matrix where they meet.

    Every exchange updates the inverse in :math:`O(k^2)`, ``k`` the number of rows. The order of rows and of columns is
    arbitrary.

    Args:
        row: the first row.
        column: the first column; its entry in the row must be 1.
        size: ``2**n``.

    Example:
        >>> basis = Basis(row=1, column=1, size=4)
        >>> basis.add(2, 2, basis.row_image(2))  # each variable alone: the unit matrix
        >>> basis.add(3, 3, basis.row_image(3))
        >>> basis.inverse.astype(int).tolist()
        [[1, 0, 0], [0, 1, 0], [-1, -1, 1]]
    """

    def __init__(self, row: int, column: int, size: int) -> None:
        self.size = size
        self.length = 1
        self._rows = np.full(_FIRST_CAPACITY, row)
        self._columns = np.full(_FIRST_CAPACITY, column)
        self._inverse = np.empty((_FIRST_CAPACITY, _FIRST_CAPACITY))
        self._inverse[0, 0] = 1

    @property
    def rows(self) -> Indices:
        """Rows in use, ``(k,)``."""
        return self._rows[: self.length]

    @property
    def columns(self) -> Indices:
        """Columns in use, ``(k,)``."""
        return self._columns[: self.length]

    @property
    def inverse(self) -> Reals:
        """The inverse of :meth:`matrix`, ``(k, k)``: one row for every column in use."""
        return self._inverse[: self.length, : self.length]

    def matrix(self) -> Reals:
        """The entries where rows and columns meet, ``(k, k)``."""
        return entries(self.rows[:, None], self.columns, self.size)

    def refactorise(self) -> None:
        """Compute the inverse anew, without the rounding of past exchanges."""
        self.inverse[:] = np.linalg.inv(self.matrix())

    def row_image(self, row: int) -> Reals:
        """A row of Φ as a combination of the rows in use, ``(k,)``."""
        return entries(np.int64(row), self.columns, self.size) @ self.inverse

    def add(self, row: int, column: int, row_image: Reals) -> None:
        """Take one more row, whose :meth:`row_image` is known, and one more column."""
        part = entries(self.rows, np.int64(column), self.size)
        corner = entries(np.int64(row), np.int64(column), self.size)
        pivot = _checked(float(corner - row_image @ part))
        column_image = self.inverse @ part
        k = self.length
        if k == len(self._rows):
            self._rows, self._columns = np.tile(self._rows, 2), np.tile(self._columns, 2)
            larger = np.empty((2 * k, 2 * k))
            larger[:k, :k] = self._inverse
            self._inverse = larger
        column_image = column_image / pivot
        self._inverse[:k, :k] += np.outer(column_image, row_image)
        self._inverse[:k, k] = -column_image
        self._inverse[k, :k] = row_image / -pivot
        self._inverse[k, k] = 1 / pivot
        self._rows[k], self._columns[k] = row, column
        self.length += 1

    def swap_row(self, position: int, row: int, image: Reals) -> None:
        """Put ``row``, whose :meth:`row_image` is known, in the place of the row at ``position``."""
        spread = self.inverse[:, position] / _checked(image[position])
        image = image.copy()
        image[position] = 0
        self.inverse[:] -= np.outer(spread, image)
        self.inverse[:, position] = spread
        self._rows[position] = row

    def swap_column(self, position: int, column: int) -> None:
        """Put ``column`` in the place of the column at ``position``."""
        image = self.inverse @ entries(self.rows, np.int64(column), self.size)
        spread = self.inverse[position] / _checked(image[position])
        image[position] = 0
        self.inverse[:] -= np.outer(image, spread)
        self.inverse[position] = spread
        self._columns[position] = column

    def drop(self, row_position: int, column_position: int) -> None:
        """Leave out one row and one column; the last ones take their places."""
        inverse = self.inverse
        pivot = _checked(inverse[column_position, row_position])
        inverse -= np.outer(inverse[:, row_position] / pivot, inverse[column_position])
        last = self.length - 1
        inverse[column_position] = inverse[last]
        inverse[:, row_position] = inverse[:, last]
        self._columns[column_position], self._rows[row_position] = self._columns[last], self._rows[last]
        self.length = last


def _checked(pivot: float) -> float:
    if not abs(pivot) > _SMALLEST_PIVOT:
        msg = "singular basis"
        raise np.linalg.LinAlgError(msg)
    return pivot
