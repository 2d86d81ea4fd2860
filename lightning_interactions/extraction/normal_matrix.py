r"""The normal equations :math:`(\Phi \Theta \Phi^\top + D)\,x = b`, filled without a matrix product.

In the Möbius basis every entry is a sum of two table entries. With :math:`\mu = Z^{-1}` the Möbius transform and
:math:`\sigma_T = (-1)^{|T|}`, an OR effect is a signed sum of AND effects,
:math:`(\mu O)_{TS} = -\sigma_T [T \subseteq S]`, so that for non-empty :math:`T, T'`

.. math::
    \sigma_T \sigma_{T'} \bigl(\mu (\Phi \Theta \Phi^\top + D) \mu^\top\bigr)_{TT'}
        = [T = T']\,\theta^{AND}_T + h_{T \cup T'} + g_{T \cap T'}, \qquad
    h_U = \sum_{S \supseteq U} \theta^{OR}_S, \quad g_U = \sum_{S \subseteq U} D_S .

All terms are non-negative: nothing cancels, whatever the spread of :math:`\Theta` and :math:`D`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_interactions import lattice
from lightning_interactions.extraction import cholesky
from lightning_interactions.extraction.programme import apply_transpose

__all__ = ["NormalMatrix"]

_REFINEMENTS = 1
"""Steps of iterative refinement. More do not help: what is left is rounding in the products with Θ."""

_REGULARISATIONS = (0.0, 50.0, 5e3, 5e5, 5e7)
"""Added to the diagonal until the factorisation succeeds, relative to it and in units of the rounding error; refinement
takes most of the error back."""


class NormalMatrix:
    """Storage for one batch of normal matrices, allocated once and used again in every iteration.

    Args:
        samples: the largest number of samples in a batch.
        n_variables: the number of input variables ``n``.
        device: where the matrices live.

    Example:
        >>> matrix = NormalMatrix(samples=1, n_variables=2)
        >>> weights = torch.ones(1, 2, 4, dtype=torch.float64)
        >>> weights[..., 0] = 0  # no effect belongs to the empty set
        >>> box = torch.zeros(1, 4, dtype=torch.float64)
        >>> matrix.factorise(weights, box).tolist()
        [True]
        >>> matrix.solve(torch.tensor([[0.0, 4.0, 4.0, 6.0]], dtype=torch.float64)).round(decimals=6).tolist()
        [[0.0, 1.0, 1.0, 0.0]]
    """

    def __init__(self, samples: int, n_variables: int, device: torch.device | str | None = None) -> None:
        size = 1 << n_variables
        self._storage = torch.empty(samples, size, size, dtype=torch.float64, device=device)
        self._signs = 1 - 2 * (lattice.subset_order(n_variables, device) % 2)
        self._block = 1 << (n_variables // 2 + 1)
        within = torch.arange(self._block, device=device)
        self._union = (within[:, None] | within).flatten()
        self._intersection = (within[:, None] & within).flatten()

    @classmethod
    def within(cls, max_memory_mb: int, samples: int, n_variables: int, device: torch.device) -> NormalMatrix:
        """Storage for as many of the samples as the memory allows, one at least where there is one."""
        allowed = max(1, (max_memory_mb << 20) // cls.bytes_per_sample(n_variables))
        return cls(min(allowed, samples), n_variables, device)

    @property
    def capacity(self) -> int:
        """How many samples fit."""
        return len(self._storage)

    @staticmethod
    def bytes_per_sample(n_variables: int) -> int:
        """Memory for one sample: the matrix itself; the tables beside it are small."""
        return 8 << (2 * n_variables)

    def factorise(self, weights: Tensor, box: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
        r"""Fill and factorise :math:`\Phi \Theta \Phi^\top + D`.

        Args:
            weights: the diagonal of :math:`\Theta`, ``(samples, 2, 2**n)``; 0 at the empty set and for unused effects.
            box: the diagonal of :math:`D`, ``(samples, 2**n)``; 0 at the empty set.
            dtype: of the factors. Those in float32 take two thirds of the time, and refinement makes up for them while
                Θ and D spread little.

        Returns:
            bool tensor ``(samples,)``: whether the matrix could be factorised.
        """
        self._weights, self._box = weights, box
        storage = self._storage.view(-1).view(dtype)[: self._storage.numel()].view_as(self._storage)
        matrix = storage[: len(box)]
        self._factors = matrix
        info = torch.zeros(len(box), dtype=torch.int32, device=box.device)
        added = torch.zeros_like(box[:, :1])
        for regularisation in _REGULARISATIONS:
            added = torch.where(info[:, None] > 0, regularisation, added)
            self._fill(matrix)
            matrix.diagonal(dim1=-2, dim2=-1).mul_(1 + added * torch.finfo(dtype).eps)
            info = cholesky.factorise(matrix)
            if not info.any():
                break
        return info == 0

    def solve(self, right: Tensor, *, refined: bool = True) -> Tensor:
        """Solve for one right-hand side a sample.

        Args:
            right: ``(samples, 2**n)``, 0 at the empty set.
            refined: with iterative refinement; without, it takes half the time.

        Returns:
            float64 tensor ``(samples, 2**n)``, 0 at the empty set.
        """
        solution = self._substitute(right)
        return self.refined(solution, right) if refined else solution

    def refined(self, solution: Tensor, right: Tensor) -> Tensor:
        """The solution with its rounding errors, as far as they show in the equations, taken back."""
        for _ in range(_REFINEMENTS):
            solution = solution + self._substitute(right - self._multiply(solution))
        return solution

    def _fill(self, matrix: Tensor) -> None:
        """Write the lower triangle; block (A, B) is one block of the union table plus one of the intersection table."""
        and_weights, or_weights = self._weights.unbind(dim=1)
        supersets = lattice.zeta(or_weights.flip(-1)).flip(-1).to(matrix.dtype)
        subsets = lattice.zeta(self._box).to(matrix.dtype)
        block, count = self._block, matrix.shape[-1] // self._block
        unions = self._table(supersets, self._union)
        intersections = self._table(subsets, self._intersection)
        for row in range(count):
            rows = slice(row * block, (row + 1) * block)
            for column in range(row + 1):
                columns = slice(column * block, (column + 1) * block)
                torch.add(unions[row | column], intersections[row & column], out=matrix[:, rows, columns])
        matrix.diagonal(dim1=-2, dim2=-1).add_(and_weights)
        # The empty set is no row of the programme: a 1 on its diagonal keeps the size a power of two.
        matrix[:, :, 0] = 0
        matrix[:, 0, 0] = 1

    def _table(self, sums: Tensor, index: Tensor) -> tuple[Tensor, ...]:
        """For every setting of the high bits, ``sums`` at ``index`` of the low bits as a square block."""
        blocks = sums.unflatten(-1, (-1, self._block))[..., index]
        return blocks.unflatten(-1, (self._block, self._block)).unbind(dim=1)

    def _substitute(self, right: Tensor) -> Tensor:
        transformed = (self._signs * lattice.moebius(right)).to(self._factors.dtype)
        solved = cholesky.substitute(self._factors, transformed).to(right.dtype)
        duals = lattice.moebius((self._signs * solved).flip(-1)).flip(-1)
        duals[..., 0] = 0
        return duals

    def _multiply(self, duals: Tensor) -> Tensor:
        return lattice.reconstruct(*(self._weights * apply_transpose(duals)).unbind(dim=1)) + self._box * duals
