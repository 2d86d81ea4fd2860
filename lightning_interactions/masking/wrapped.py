"""The user's own network inside what a training loop has wrapped around it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

__all__ = ["unwrapped"]

_FABRIC = ("lightning.fabric.wrappers", "lightning_fabric.wrappers")
"""Lightning Fabric, in both packages that have it. Where it was not imported, no network can be wrapped by it."""


def unwrapped(model: nn.Module) -> nn.Module:
    """The network that Lightning Fabric has wrapped; any other as it is.

    A wrapper's forward has a precision of its own, its module names begin with its own attributes, and under some
    strategies it refuses calls of the network's methods.

    Args:
        model: what ``Fabric.setup`` has returned, compiled or not, or any network.

    Example:
        >>> import torch
        >>> from lightning.fabric import Fabric
        >>> network = torch.nn.Linear(2, 1)
        >>> unwrapped(Fabric(accelerator="cpu", devices=1).setup(network)) is network
        True
    """
    wrappers = tuple(sys.modules[name]._FabricModule for name in _FABRIC if name in sys.modules)  # noqa: SLF001
    if isinstance(model, wrappers):
        return model.module
    inner = getattr(model, "_orig_mod", None)  # what was compiled
    return inner.module if isinstance(inner, wrappers) else model
