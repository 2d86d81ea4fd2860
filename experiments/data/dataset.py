"""Labelled examples, from a set that a reader found on disk to the rows that a data loader asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from experiments.data.files import Published

__all__ = ["Examples", "Split", "check_labels", "draw_subset", "rows_of_classes"]


@dataclass(frozen=True)
class Split:
    """The training or the test set as it lies on disk: raw inputs, whatever they are, and classes ``(samples,)``."""

    inputs: Sequence[Any] | Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)


class Examples(Dataset):
    """Rows of a split as ``(input, class)``.

    Args:
        split: where the inputs come from.
        rows: which rows of it, in this order.
        targets: the rows' classes, perhaps with noise.
        prepare: makes what the network takes from one raw input.
    """

    def __init__(self, split: Split, rows: Tensor, targets: Tensor, prepare: Callable[[Any], Any]) -> None:
        self.inputs = split.inputs
        self.rows = rows.tolist()
        self.targets = targets
        self.prepare = prepare

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Any, Tensor]:
        return self.prepare(self.inputs[self.rows[index]]), self.targets[index]


def check_labels(labels: Tensor, classes: range, path: Path, published: Published, what: str = "labels") -> None:
    """Refuse labels that no class has.

    Args:
        labels: as they are stored ``(samples,)``.
        classes: the labels that there are.
        path: the file that they come from.
        published: whose data these are.
        what: their name in that file.

    Raises:
        ValueError: for the first that is no class; positions are counted from 0.
    """
    unknown = ((labels < classes.start) | (labels >= classes.stop)).nonzero().flatten().tolist()
    if unknown:
        got = f"{labels[unknown[0]]} at position {unknown[0]}"
        raise published.wrong(path, f"{what} {classes.start} … {classes.stop - 1}", got)


def draw_subset(n_samples: int, count: int | None, seed: int, option: str = "count") -> Tensor:
    """Rows of a random subset, in a random order; all rows in their own order when ``count`` is ``None``.

    Args:
        n_samples: how many there are.
        count: how many are wanted.
        seed: decides which.
        option: what ``count`` is called where it was given.

    Returns:
        int64 ``(count,)``.

    Raises:
        ValueError: if there are not so many.

    Example:
        >>> len(draw_subset(100, 10, seed=0).unique())
        10
        >>> draw_subset(3, None, seed=0).tolist()
        [0, 1, 2]
    """
    if count is None:
        return torch.arange(n_samples)
    if not 1 <= count <= n_samples:
        msg = f"`{option}` must lie in 1 … {n_samples}, which is all there are, got {count}."
        raise ValueError(msg)
    return torch.randperm(n_samples, generator=torch.Generator().manual_seed(seed))[:count]


def rows_of_classes(targets: Tensor, n_classes: int, per_class: int, seed: int, without: Sequence[int] = ()) -> Tensor:
    """Rows of the first classes, up to ``per_class`` of each, drawn at random.

    Args:
        targets: classes ``(samples,)``.
        n_classes: how many classes, from 0 on.
        per_class: how many rows of each.
        seed: decides which.
        without: rows that are not drawn.

    Returns:
        int64 rows, class by class.

    Example:
        >>> rows = rows_of_classes(torch.tensor([1, 0, 2, 1, 0]), n_classes=2, per_class=2, seed=0, without=[4])
        >>> sorted(rows.tolist())  # not row 2, which is of another class
        [0, 1, 3]
    """
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(seed))
    order = order[~torch.isin(order, torch.tensor(list(without), dtype=torch.int64))]
    return torch.cat([order[targets[order] == label][:per_class] for label in range(n_classes)])
