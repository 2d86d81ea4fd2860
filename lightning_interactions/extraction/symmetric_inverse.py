r"""The exact inverse of :math:`\Phi \Phi^\top + c I` in :math:`O(2^{3n/2})`, without a :math:`2^n \times 2^n` matrix.

The entry of :math:`\Phi \Phi^\top` for two subsets depends on nothing but the sizes of both and of their intersection,

.. math::
    (Z Z^\top)_{TT'} = 2^{|T \cap T'|} - 1, \qquad
    (O O^\top)_{TT'} = 2^n - 2^{n-|T|} - 2^{n-|T'|} + 2^{n-|T \cup T'|},

so renaming the variables leaves the matrix as it is. A matrix with this symmetry falls into many copies of few small
blocks (Schur–Weyl duality; physicists couple spins ½ this way). Take the vectors on the subsets of ``w`` variables that
vanish when one variable is taken away from every subset in all ways (a *lowest* vector), and add variables again one
at a time: each lowest vector starts a chain of :math:`n - 2w + 1` orthogonal vectors, different chains do not mix, and
the matrix acts on all chains of one ``w`` alike.

Done once for the low and once for the high half of the bits, the change of basis is two dense products of size
:math:`2^{n/2}`, as in :mod:`~lightning_interactions.lattice`, and the blocks have at most
:math:`(\lfloor n/2 \rfloor + 1)(\lceil n/2 \rceil + 1)` rows: 36 for n = 10, 81 for n = 16.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from lightning_interactions import lattice

__all__ = ["SymmetricInverse"]

_INTERSECTION = ((1.0, 1.0), (1.0, 2.0))
r"""Its Kronecker power is :math:`2^{|T \cap T'|}`."""

_UNION = ((2.0, 1.0), (1.0, 1.0))
r"""Its Kronecker power is :math:`2^{n-|T \cup T'|}`."""

_MULTIPLE = 4
"""Blocks are filled up with zeros to a multiple of so many rows: in a batch of other sizes, where a sample lies in
memory, and so which samples are beside it, would decide on its last digits."""


class SymmetricInverse:
    r""":math:`(\Phi \Phi^\top + c I)^{-1}` for a batch of samples, each with its own :math:`c`.

    Args:
        n_variables: the number of input variables ``n``.
        shift: :math:`c \ge 0`, ``(samples,)`` or one for all, ``(1,)``, in any precision.
        dtype: the precision of the products; the inverse itself is computed in float64.

    Example:
        >>> inverse = SymmetricInverse(2, torch.zeros(1))
        >>> inverse.solve(torch.tensor([[0.0, 7.0, 7.0, 12.0]], dtype=torch.float64)).round(decimals=6).tolist()
        [[0.0, 1.0, 1.0, 1.0]]
    """

    def __init__(self, n_variables: int, shift: Tensor, dtype: torch.dtype = torch.float64) -> None:
        self._basis = _basis(n_variables, dtype, str(shift.device))
        self._inverses = []
        for block in self._basis.blocks:
            factor = 1 / (block.eigenvalues + shift.to(torch.float64)[:, None])
            transposed = block.vectors.T.expand(len(shift), -1, -1)
            self._inverses.append(torch.bmm(block.vectors * factor[:, None], transposed).to(dtype))

    def keep(self, rows: Tensor) -> None:
        """Drop all samples but ``rows``, their numbers or a bool tensor ``(samples,)``."""
        self._inverses = [inverse[rows] for inverse in self._inverses]

    def solve(self, right: Tensor) -> Tensor:
        """Apply the inverse.

        Args:
            right: ``(samples, 2**n)`` in the precision of the inverse; the entry of the empty set is not read.

        Returns:
            a tensor of the same shape and type, 0 at the empty set.
        """
        high, low = self._basis.high, self._basis.low
        grid = high @ (right.unflatten(-1, (high.shape[0], low.shape[0])) @ low.T)
        for block, inverse in zip(self._basis.blocks, self._inverses, strict=True):
            part = grid[:, block.rows, block.columns]
            chains = part.unflatten(2, block.low).unflatten(1, block.high).transpose(2, 3)
            chains = _filled_up(chains.flatten(3, 4).flatten(1, 2), inverse.shape[-1])
            solved = torch.bmm(chains, inverse.expand(len(chains), -1, -1))[..., : block.high[1] * block.low[1]]
            solved = solved.unflatten(2, (block.high[1], block.low[1])).unflatten(1, (block.high[0], block.low[0]))
            part.copy_(solved.transpose(2, 3).flatten(3, 4).flatten(1, 2))
        solution = (high.T @ (grid @ low)).flatten(1)
        solution[:, 0] = 0
        return solution


@dataclass(frozen=True)
class _Block:
    """All chains of one kind in the high and one kind in the low half, and ΦΦᵀ on one of them, diagonalised.

    Attributes:
        rows: where the chains of the high half stand in the basis.
        columns: where those of the low half stand.
        high: number and length of the chains of the high half.
        low: number and length of the chains of the low half.
        eigenvalues: of the block, float64; infinite for the empty set and where it is filled up.
        vectors: its eigenvectors as columns, float64, filled up with zeros.
    """

    rows: slice
    columns: slice
    high: tuple[int, int]
    low: tuple[int, int]
    eigenvalues: Tensor
    vectors: Tensor


@dataclass(frozen=True)
class _Basis:
    high: Tensor
    low: Tensor
    blocks: tuple[_Block, ...]


@lru_cache(maxsize=16)
def _basis(n_variables: int, dtype: torch.dtype, device: str) -> _Basis:
    # A tensor born in inference mode could not be used in a later backward pass, and the cache outlives the mode.
    with torch.inference_mode(mode=False), torch.no_grad(), torch.device("cpu"):
        n_low = (n_variables + 1) // 2
        high, low = _chains(n_variables - n_low), _chains(n_low)
        blocks = []
        row = 0
        for upper in high:
            column = 0
            for lower in low:
                rows, columns = upper.shape[0] * upper.shape[1], lower.shape[0] * lower.shape[1]
                values, vectors = _diagonalised(upper[0], lower[0])
                blocks.append(
                    _Block(
                        rows=slice(row, row + rows),
                        columns=slice(column, column + columns),
                        high=(upper.shape[0], upper.shape[1]),
                        low=(lower.shape[0], lower.shape[1]),
                        eigenvalues=values.to(device),
                        vectors=vectors.to(device),
                    )
                )
                column += columns
            row += rows
        stacked = [torch.cat([chain.flatten(0, 1) for chain in half]).to(device, dtype) for half in (high, low)]
        return _Basis(stacked[0], stacked[1], tuple(blocks))


def _chains(n_bits: int) -> list[Tensor]:
    """An orthonormal basis of the functions on the subsets of ``n_bits`` variables.

    Returns:
        for every size ``w`` of the lowest subsets, a float64 tensor ``(chains, n_bits - 2 * w + 1, 2**n_bits)``.
    """
    if n_bits == 0:
        return [torch.ones(1, 1, 1, dtype=torch.float64)]
    order = lattice.subset_order(n_bits)
    subsets = torch.arange(1 << n_bits)
    raising = torch.zeros(1 << n_bits, 1 << n_bits, dtype=torch.float64)
    for bit in range(n_bits):
        without = subsets[(subsets >> bit) & 1 == 0]
        raising[without, without | 1 << bit] = 1
    chains = []
    for size in range(n_bits // 2 + 1):
        at, below = order == size, order == size - 1
        _, _, rows = torch.linalg.svd(raising[below][:, at])
        lowest = torch.zeros(int(at.sum()) - int(below.sum()), 1 << n_bits, dtype=torch.float64)
        lowest[:, at] = rows[int(below.sum()) :]
        chain = [lowest]
        for _ in range(n_bits - 2 * size):
            raised = chain[-1] @ raising
            chain.append(raised / raised.norm(dim=1, keepdim=True))
        chains.append(torch.stack(chain, dim=1))
    return chains


def _diagonalised(upper: Tensor, lower: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors of ΦΦᵀ on the products of one chain of each half, ``(length, 2**bits)`` each."""
    n_variables = (upper.shape[1] * lower.shape[1]).bit_length() - 1

    def on_chains(base: lattice.Base) -> Tensor:
        first, second = (chain @ _dense(base, chain) @ chain.T for chain in (upper, lower))
        return torch.kron(first, second)

    ones = torch.kron(upper.sum(dim=1), lower.sum(dim=1))
    sizes = torch.kron(upper @ _dense(_UNION, upper)[:, 0], lower @ _dense(_UNION, lower)[:, 0])
    constant = ((1 << n_variables) - 1) * torch.outer(ones, ones)
    matrix = (
        on_chains(_INTERSECTION) + on_chains(_UNION) + constant - torch.outer(ones, sizes) - torch.outer(sizes, ones)
    )
    if upper[0, 0] == 0 or lower[0, 0] == 0:
        values, vectors = torch.linalg.eigh(matrix)
    else:
        # The first product of the two chains is the empty set itself, on which the matrix vanishes.
        values, vectors = torch.linalg.eigh(matrix[1:, 1:])
        values = torch.cat([values.new_full((1,), torch.inf), values])
        vectors = torch.block_diag(vectors.new_ones(1, 1), vectors)
    size = -(-len(values) // _MULTIPLE) * _MULTIPLE
    values = _filled_up(values, size, torch.inf)
    return values, _filled_up(_filled_up(vectors, size).T, size).T.contiguous()


def _filled_up(x: Tensor, size: int, value: float = 0.0) -> Tensor:
    """``x`` with its last axis made longer."""
    return x if x.shape[-1] == size else functional.pad(x, (0, size - x.shape[-1]), value=value)


def _dense(base: lattice.Base, chain: Tensor) -> Tensor:
    """The Kronecker power of ``base`` on the subsets that a chain's vectors live on."""
    return lattice.dense_power(base, chain.shape[1].bit_length() - 1)
