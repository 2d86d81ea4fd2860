"""See, while a network trains, what it has learned to combine and whether that will generalise."""

from lightning_interactions import lattice
from lightning_interactions.callback.monitor import InteractionMonitor
from lightning_interactions.distribution.decay import decay
from lightning_interactions.distribution.disentangle import disentangle
from lightning_interactions.distribution.phases import PhaseDetector
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
    "sparsify",
    "spindle",
]
