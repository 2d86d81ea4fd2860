"""Where a network is, and where new tensors are put."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

__all__ = ["device_of", "device_types", "new_tensors_on_cpu", "tensors_of"]


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
