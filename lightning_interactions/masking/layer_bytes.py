"""What the layers of a network read and write: without gradients, a forward pass takes what its busiest layer takes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lightning_interactions.masking.batches import leaves

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn

__all__ = ["bytes_each", "bytes_noted"]


@contextmanager
def bytes_noted(model: nn.Module, after: nn.Module | None = None) -> Iterator[list[int]]:
    """Note what each layer reads and writes in the block, in the order in which they run.

    Args:
        model: the network that the block runs.
        after: note only what runs later than this module.

    Yields:
        a list that fills up with bytes, one entry for each call of a module without parts.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(3, 2)
        >>> with bytes_noted(layer) as noted:
        ...     _ = layer(torch.zeros(5, 3))
        >>> noted  # 15 numbers in, 10 out
        [100]
    """
    noted: list[int] = []

    def note(_module: nn.Module, arguments: Any, keywords: Any, output: Any) -> None:
        passed = (*leaves(arguments), *leaves(keywords), *leaves(output))
        noted.append(sum(tensor.numel() * tensor.element_size() for tensor in passed))

    handles = [
        module.register_forward_hook(note, with_kwargs=True)
        for module in model.modules()
        if not any(True for _ in module.children())
    ]
    if after is not None:
        handles.append(after.register_forward_hook(lambda *_: noted.clear()))
    try:
        yield noted
    finally:
        for handle in handles:
            handle.remove()


def bytes_each(noted: Sequence[int], n_rows: int) -> int:
    """What the busiest layer reads and writes for one of ``n_rows`` rows; at least 1.

    Example:
        >>> bytes_each([40, 80], n_rows=4)
        20
    """
    return max(1, max(noted, default=1) // n_rows)
