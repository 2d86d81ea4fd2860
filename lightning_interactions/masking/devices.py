"""Where a network is, and where new tensors are put."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor, nn

__all__ = ["autocast_off", "device_of", "device_types", "has_float64", "in_float64", "new_tensors_on_cpu", "tensors_of"]


def device_of(model: nn.Module) -> torch.device:
    """Where the network's first parameter or buffer is; the CPU when it has none.

    Example:
        >>> device_of(torch.nn.Linear(2, 1, device="meta"))
        device(type='meta')
    """
    return next((tensor.device for tensor in tensors_of(model)), torch.device("cpu"))


def device_types(model: nn.Module) -> set[str]:
    """The kinds of devices that the network's parameters and buffers are on; empty when it has none.

    Example:
        >>> device_types(torch.nn.Linear(2, 1))
        {'cpu'}
    """
    return {tensor.device.type for tensor in tensors_of(model)}


@contextmanager
def autocast_off(types: Iterable[str]) -> Iterator[None]:
    """Switch autocast off for kinds of devices, those that have it.

    Example:
        >>> with torch.autocast("cpu", torch.bfloat16), autocast_off(["cpu", "meta"]):
        ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
        torch.float32
    """
    with ExitStack() as stack:
        for kind in filter(torch.amp.is_autocast_available, types):
            stack.enter_context(torch.autocast(kind, enabled=False))
        yield


@cache
def has_float64(device: torch.device) -> bool:
    """Whether a device computes in float64; Apple's GPUs, for example, do not.

    Example:
        >>> has_float64(torch.device("cpu"))
        True
    """
    if device.type in ("cpu", "cuda"):
        return True
    try:
        torch.ones(1, dtype=torch.float64, device=device).sum()
    except (RuntimeError, TypeError):
        return False
    return True


def in_float64(tensor: Tensor) -> Tensor:
    """A tensor in float64: where it is, or on the CPU where its device has no such numbers.

    Example:
        >>> in_float64(torch.tensor([0.5]))
        tensor([0.5000], dtype=torch.float64)
    """
    return tensor.double() if has_float64(tensor.device) else tensor.cpu().double()


@contextmanager
def new_tensors_on_cpu() -> Iterator[None]:
    """Put tensors that are made in the block, or in a function decorated so, on the CPU, whatever the user's default.

    Example:
        >>> with torch.device("meta"), new_tensors_on_cpu():
        ...     torch.zeros(2).device
        device(type='cpu')
    """
    if torch.get_default_device().type == "cpu":  # the block would slow down every call of torch
        yield
    else:
        with torch.device("cpu"):
            yield


def tensors_of(model: nn.Module) -> Iterator[Tensor]:
    """The network's parameters, and then its buffers."""
    yield from model.parameters()
    yield from model.buffers()
