"""Find a layer by its name, and read or replace what it puts out."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar

from lightning_interactions.masking.batches import take_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

__all__ = ["find_layer", "output_of", "run_with_output"]

_T = TypeVar("_T")


def find_layer(model: nn.Module, name: str) -> nn.Module:
    """The module called ``name``; the end of a name is enough where it is unique.

    A module that the network holds under several names is found by each of them. What ``torch.compile`` adds to the
    names, ``_orig_mod``, may be left out.

    Raises:
        ValueError: if no module, or more than one, has that name.

    Example:
        >>> from torch import nn
        >>> find_layer(nn.ModuleDict({"network": nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())}), "1")
        ReLU()
    """
    modules: dict[str, nn.Module] = {}
    for full, module in model.named_modules(remove_duplicate=False):
        modules.setdefault(_plain(full), module)
    name = _plain(name)
    if name and name in modules:
        return modules[name]
    matches = [full for full in modules if name and full.endswith(f".{name}")]
    if len({id(modules[full]) for full in matches}) == 1:
        return modules[matches[0]]
    names = [full for full in modules if full]
    if matches:
        problem, shown = "is the end of several module names", matches
    else:
        problem, shown = "is no module of the network", get_close_matches(name, names, n=6, cutoff=0.3) or names[:12]
    msg = f"Layer {name!r} {problem}. Near names: {', '.join(map(repr, shown))}. HINT: see `model.named_modules()`."
    raise ValueError(msg)


def run_with_output(layer: nn.Module, replace: Callable[[Any], Any], run: Callable[[], _T]) -> _T:
    """Call ``run`` while ``replace(output)`` stands in for the output of ``layer``.

    Raises:
        ValueError: if ``run`` does not use the layer exactly once: its output is then not one map to mask.
    """
    calls = 0

    def count_and_replace(_module: nn.Module, _arguments: Any, output: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise ValueError(_not_once(layer, "more than once"))
        return replace(output)

    handle = layer.register_forward_hook(count_and_replace)
    try:
        result = run()
    finally:
        handle.remove()
    if calls == 0:
        raise ValueError(_not_once(layer, "never"))
    return result


def output_of(layer: nn.Module, run: Callable[[], Any]) -> Any:
    """What ``layer`` puts out when ``run`` is called; a copy, since what comes after it may work in place.

    Raises:
        ValueError: as :func:`run_with_output`.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Identity(), torch.nn.ReLU(inplace=True))
        >>> output_of(net[0], lambda: net(torch.tensor([-1.0, 2.0]))).tolist()
        [-1.0, 2.0]
    """
    outputs: list[Any] = []

    def keep(output: Any) -> Any:
        outputs.append(take_rows(output, slice(None)))
        return output

    run_with_output(layer, keep, run)
    return outputs[0]


def _plain(name: str) -> str:
    """A name as it was before compilation: a compiled module wraps the one that it was made from."""
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


def _not_once(layer: nn.Module, times: str) -> str:
    return (
        f"The masked layer {layer} must run exactly once in a forward pass, it ran {times}."
        f" HINT: name a module that is used once, e.g. the block around it."
    )
