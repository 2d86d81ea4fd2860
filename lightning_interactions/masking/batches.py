"""A batch of network inputs, whatever its structure: a tensor, or a mapping or sequence of tensors.

What else stands in it, a flag or a list of texts, belongs to the whole batch and to no sample: it stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from lightning_interactions.masking.devices import has_float64

__all__ = ["batch_size", "join_rows", "leaves", "repeat_rows", "split_rows", "take_rows", "to_device"]


def leaves(inputs: Any) -> list[Tensor]:
    """The tensors of a tensor, mapping or sequence, in order."""
    if isinstance(inputs, Tensor):
        return [inputs]
    if isinstance(inputs, Mapping):
        return [tensor for value in inputs.values() for tensor in leaves(value)]
    if isinstance(inputs, (list, tuple)):
        return [tensor for value in inputs for tensor in leaves(value)]
    return []


def batch_size(inputs: Any) -> int:
    """The number of samples of a batch of inputs.

    Raises:
        ValueError: if it holds no tensor, or tensors of different first length.
    """
    sizes = {len(tensor) if tensor.ndim else -1 for tensor in leaves(inputs)}
    if len(sizes) != 1 or -1 in sizes:
        msg = (
            f"`inputs` must hold tensors with one row a sample, all of the same number of rows, got"
            f" {[tuple(tensor.shape) for tensor in leaves(inputs)]} in a {type(inputs).__name__}."
        )
        raise ValueError(msg)
    return sizes.pop()


def take_rows(inputs: Any, rows: slice | list[int]) -> Any:
    """A copy of the given samples, in the same structure: a network may work on its inputs in place."""
    return apply_to_collection(inputs, Tensor, lambda tensor: tensor[rows].clone())


def split_rows(inputs: Any, size: int) -> Iterator[Any]:
    """The samples in pieces of at most ``size``, in order and in the same structure; they are views and no copies.

    Example:
        >>> [len(piece) for piece in split_rows(torch.zeros(5, 2), size=2)]
        [2, 2, 1]
    """
    for start in range(0, batch_size(inputs), size):
        yield apply_to_collection(inputs, Tensor, itemgetter(slice(start, start + size)))


def repeat_rows(inputs: Any, times: int) -> Any:
    """Each sample ``times`` times in a row, in the same structure."""
    return apply_to_collection(inputs, Tensor, lambda tensor: tensor.repeat_interleave(times, dim=0))


def to_device(inputs: Any, device: torch.device | str) -> Any:
    """Every tensor of a structure on ``device``; from the CPU to a CUDA device without making the host wait.

    What is float64 becomes float32 on a device that does not have it.
    """
    device = torch.device(device)

    def move(tensor: Tensor) -> Tensor:
        if tensor.dtype == torch.float64 and not has_float64(device):
            tensor = tensor.float()
        if device.type == "cuda" and tensor.device.type == "cpu":
            return tensor.pin_memory().to(device, non_blocking=True)
        return tensor.to(device)

    return apply_to_collection(inputs, Tensor, move)


def join_rows(parts: Sequence[Any]) -> Any:
    """Several batches of the same structure as one.

    Args:
        parts: the batches; sequences become tuples.

    Raises:
        ValueError: if tensors differ in more than the number of rows, or what is no tensor differs at all.

    Example:
        >>> join_rows([{"x": torch.zeros(2, 3)}, {"x": torch.ones(1, 3)}])["x"].shape
        torch.Size([3, 3])
    """
    first = parts[0]
    if isinstance(first, Tensor):
        return _joined(parts)
    if isinstance(first, Mapping):
        return {key: join_rows([part[key] for part in parts]) for key in first}
    if isinstance(first, (list, tuple)) and leaves(first):
        return tuple(join_rows(group) for group in zip(*parts, strict=True))
    return _same_in_all(parts)


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    shapes = sorted({tuple(tensor.shape[1:]) for tensor in tensors})
    if len(shapes) > 1 or tensors[0].ndim == 0:
        shown = [tuple(tensor.shape) for tensor in tensors[:8]]
        msg = (
            f"Batches that are joined must hold tensors of the same shape but for the number of rows, got {shown}."
            f" HINT: let the loader make all samples equally large, or give the monitor `samples=(inputs, targets)`."
        )
        raise ValueError(msg)
    return torch.cat(list(tensors))


def _same_in_all(values: Sequence[Any]) -> Any:
    """What stands in all batches alike; told by what it shows, for not everything can be compared."""
    first = values[0]
    other = next((value for value in values if repr(value) != repr(first)), first)
    if other is not first:
        msg = (
            f"What is no tensor must be the same in all batches that are joined, got {repr(first)[:80]} and"
            f" {repr(other)[:80]}. HINT: leave it out by `split_batch=`, or make a tensor of it."
        )
        raise ValueError(msg)
    return first
