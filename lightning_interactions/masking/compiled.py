"""A network under ``torch.compile``, with the masked maps as an input of the compiled code."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

__all__ = ["run_compiled", "uncompilable"]

uncompilable: WeakSet[nn.Module] = WeakSet()
"""Networks that were tried in vain; compiling takes too long to try it at every measurement."""


class _Stored:
    """A hook that puts a stored value in the place of a layer's output."""

    def __init__(self) -> None:
        self.value: Any = None

    def __call__(self, _module: nn.Module, _arguments: Any, _output: Any) -> Any:
        return self.value


# Compiled code is kept for as long as the very same hook is called: a new one would be compiled anew.
_hooks: WeakKeyDictionary[nn.Module, _Stored] = WeakKeyDictionary()


def run_compiled(
    model: nn.Module,
    forward: Callable[[nn.Module, Any], Any],
    inputs: Any,
    layer: nn.Module | None = None,
    value: Any = None,
) -> Any:
    """``forward(model, inputs)`` by compiled code, with ``value`` in the place of what a layer puts out.

    Weights and ``value`` are inputs of that code: it stays as it is while the network trains, and is made again for
    another number of masked inputs alone. What lies before the layer is not computed, since nothing needs it.

    Args:
        model: the network.
        forward: how it is called.
        inputs: samples, as many as fit the network.
        layer: whose output is replaced; ``None`` for no layer.
        value: what replaces it.

    Returns:
        what ``forward`` returns.
    """
    if layer is None:
        with torch.compiler.set_stance("default"):
            return _compiled()(forward, model, inputs, "")
    hook = _hooks.setdefault(layer, _Stored())
    hook.value = value
    handle = layer.register_forward_hook(hook)
    try:
        with torch.compiler.set_stance("default"):
            return _compiled()(forward, model, inputs, _name_of(layer, model))
    finally:
        handle.remove()
        hook.value = None


def _run(forward: Callable[[nn.Module, Any], Any], model: nn.Module, inputs: Any, _layer: str) -> Any:
    # Compiled code does not look at hooks; by the layer's name it knows with which of them it was made.
    return forward(model, inputs)


@cache
def _compiled() -> Callable[..., Any]:
    return torch.compile(_run)


def _name_of(layer: nn.Module, model: nn.Module) -> str:
    return next(name for name, module in model.named_modules() if module is layer)
