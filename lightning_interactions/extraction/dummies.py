r"""Variables that change no output have no effects.

A *dummy* variable :math:`i` has :math:`v(x_{T \cup \{i\}}) = v(x_T)` for all :math:`T`. Among the sparsest effects are
always some in which it does not occur: any effects, seen on the masks without :math:`i` alone, where an AND with
:math:`i` is nothing and an OR with it is one without it, explain these masks, and so all, at no larger
:math:`\|z\|_1`. But where several solutions are equally sparse, a method that returns a
point in the middle of them gives it a part. So the split is made for the other variables alone; what it finds, with
zeros added, is optimal for all, and so are its dual values, which prove the same bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_interactions import lattice

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Game", "without_dummies"]

_ROUNDING = 1e-13
"""Change of a target, relative to the largest, that counts as none."""


@dataclass(frozen=True)
class Game:
    """Samples with equally many variables that matter, seen through these alone.

    Attributes:
        rows: which samples, ``(k,)``.
        subsets: the subsets of the ``m`` variables of each in the numbers of all, ``(k, 2**m)``.
    """

    rows: Tensor
    subsets: Tensor

    def of(self, table: Tensor) -> Tensor:
        """What stands for these samples at these subsets: ``(samples, 2**n)`` becomes ``(k, 2**m)``."""
        return table[self.rows].gather(-1, self.subsets)

    def summed(self, table: Tensor) -> Tensor:
        """The sum over all subsets that differ by dummies alone; 0 where no other variable is in them.

        This is what OR effects are without dummies, and what dual values are worth, which belong to equal masks.
        """
        everything = torch.arange(table.shape[-1], device=table.device)
        place = torch.zeros(len(self.rows), table.shape[-1], dtype=torch.int64, device=table.device)
        numbers = torch.arange(self.subsets.shape[-1], device=table.device).expand_as(self.subsets)
        place.scatter_(1, self.subsets, numbers)
        sums = table.new_zeros(self.subsets.shape)
        sums.scatter_add_(1, place.gather(1, everything & self.subsets[:, -1:]), table[self.rows])
        sums[:, 0] = 0
        return sums

    def put(self, part: Tensor, table: Tensor) -> None:
        """Write ``(k, …, 2**m)`` into ``(samples, …, 2**n)``, with 0 at all other subsets of these samples."""
        index = self.subsets.view(len(self.rows), *[1] * (part.ndim - 2), -1)
        whole = part.new_zeros(*part.shape[:-1], table.shape[-1])
        table[self.rows] = whole.scatter_(-1, index.expand(part.shape), part)


def without_dummies(targets: Tensor) -> Iterator[Game]:
    """Part the samples by how many of their variables matter.

    Args:
        targets: :math:`w`, ``(samples, 2**n)``.

    Yields:
        Every sample once; one variable is kept where none matters.

    Example:
        >>> game, = without_dummies(torch.tensor([[0.0, 0.0, 3.0, 3.0]]))
        >>> game.subsets.tolist()
        [[0, 2]]
    """
    n_variables = lattice.variable_count(targets)
    matters = _matters(targets, n_variables)
    matters[:, 0] |= ~matters.any(dim=1)
    counts = matters.sum(dim=1)
    for count in counts.unique().tolist():
        rows = (counts == count).nonzero()[:, 0]
        variables = matters[rows].nonzero()[:, 1].view(len(rows), count)
        subsets = torch.zeros_like(rows)[:, None]
        for variable in variables.unbind(dim=1):
            subsets = torch.cat([subsets, subsets + (1 << variable)[:, None]], dim=1)
        yield Game(rows, subsets)


def _matters(targets: Tensor, n_variables: int) -> Tensor:
    """Whether each variable changes any output, bool ``(samples, n)``."""
    allowed = _ROUNDING * targets.abs().amax(dim=-1)
    changes = []
    for variable in range(n_variables):
        absent, present = targets.unflatten(-1, (-1, 2, 1 << variable)).unbind(dim=-2)
        changes.append((present - absent).abs().amax(dim=(-2, -1)) > allowed)
    return torch.stack(changes, dim=1)
