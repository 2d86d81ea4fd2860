"""See, while a network trains, what it has learned to combine, and how much of it looks like noise."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_interactions import lattice
    from lightning_interactions.callback.monitor import InteractionMonitor
    from lightning_interactions.distribution.decay import decay
    from lightning_interactions.distribution.disentangle import disentangle
    from lightning_interactions.distribution.phases import PhaseDetector
    from lightning_interactions.distribution.segmentation import segment
    from lightning_interactions.distribution.similarity import similarity
    from lightning_interactions.distribution.spindle import spindle
    from lightning_interactions.distribution.strength import order_strength
    from lightning_interactions.explain import explain
    from lightning_interactions.interactions import Interactions
    from lightning_interactions.masking.feature_map import FeatureMapPatches
    from lightning_interactions.masking.inputs import Columns, InputPatches
    from lightning_interactions.masking.tokens import TokenWords
    from lightning_interactions.masking.variables import Draw, Variables
    from lightning_interactions.sparsify import sparsify
    from lightning_interactions.version import __version__

__all__ = [
    "Columns",
    "Draw",
    "FeatureMapPatches",
    "InputPatches",
    "InteractionMonitor",
    "Interactions",
    "PhaseDetector",
    "TokenWords",
    "Variables",
    "__version__",
    "decay",
    "disentangle",
    "explain",
    "lattice",
    "order_strength",
    "segment",
    "similarity",
    "sparsify",
    "spindle",
]

# Where each name is defined. Nothing is imported before it is asked for: TensorBoard imports this package for its
# plugin, and must not wait for PyTorch.
_HOMES = {
    "Columns": "masking.inputs",
    "Draw": "masking.variables",
    "FeatureMapPatches": "masking.feature_map",
    "InputPatches": "masking.inputs",
    "InteractionMonitor": "callback.monitor",
    "Interactions": "interactions",
    "PhaseDetector": "distribution.phases",
    "TokenWords": "masking.tokens",
    "Variables": "masking.variables",
    "__version__": "version",
    "decay": "distribution.decay",
    "disentangle": "distribution.disentangle",
    "explain": "explain",
    "order_strength": "distribution.strength",
    "segment": "distribution.segmentation",
    "similarity": "distribution.similarity",
    "sparsify": "sparsify",
    "spindle": "distribution.spindle",
}


def __getattr__(name: str) -> Any:
    if name == "lattice":
        return import_module(f"{__name__}.lattice")
    if name not in _HOMES:
        msg = f"module '{__name__}' has no attribute '{name}'"
        raise AttributeError(msg)
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """This package. Where a file and its function have one name, as in ``explain``, the name means the function."""

    def __setattr__(self, name: str, value: Any) -> None:
        # Python binds a submodule to its name in the package whenever the submodule is first imported.
        if isinstance(value, ModuleType) and _HOMES.get(name) == name:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
