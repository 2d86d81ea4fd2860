"""Figures. Each takes data and an optional axis and returns ``(figure, axis)``; none touches pyplot's global state.

Every figure can be written as pixels or as lines (``figure.savefig("x.png")``, ``"x.svg"``, ``"x.pdf"``), and its
colours are told apart with any colour vision. Figures that consist of several axes return ``(figure, axes)``.
"""

from lightning_interactions.plots.certificates import certificates
from lightning_interactions.plots.decomposition import decomposition, decomposition_over_training
from lightning_interactions.plots.heat_map import strength_heat_map
from lightning_interactions.plots.losses import loss_curves
from lightning_interactions.plots.samples import (
    interaction_on_image,
    interactions_in_sentence,
    strongest_on_image,
)
from lightning_interactions.plots.similarity import similarity_by_order
from lightning_interactions.plots.strength import strength_by_order, strength_over_training
from lightning_interactions.plots.style import DECAY, HELD_OUT, NEGATIVE, POSITIVE, RESIDUAL, SPINDLE, TRAIN
from lightning_interactions.plots.time_lines import time_line, time_lines

__all__ = [
    "DECAY",
    "HELD_OUT",
    "NEGATIVE",
    "POSITIVE",
    "RESIDUAL",
    "SPINDLE",
    "TRAIN",
    "certificates",
    "decomposition",
    "decomposition_over_training",
    "interaction_on_image",
    "interactions_in_sentence",
    "loss_curves",
    "similarity_by_order",
    "strength_by_order",
    "strength_heat_map",
    "strength_over_training",
    "strongest_on_image",
    "time_line",
    "time_lines",
]
