"""How alike the interactions of each order are on training and on held-out samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lightning_interactions.plots.style import (
    DECAY,
    HELD_OUT,
    NEGATIVE,
    POSITIVE,
    SPINDLE,
    figure_of,
    label_orders,
    new_axis,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

__all__ = ["similarity_by_order"]

_COLOURS = (POSITIVE, HELD_OUT, SPINDLE, DECAY, NEGATIVE, "black")
_MARKERS = "osD^vx"


def similarity_by_order(similarity: Tensor | Mapping[str, Tensor], ax: Axes | None = None) -> tuple[Figure, Axes]:
    """Similarity of the interactions on two sets of samples for each order, as in the paper's Fig. 6.

    Args:
        similarity: of orders ``1 … n``, ``(n,)``, each between 0 and 1 or NaN where an order has no interaction; or
            several of these under their names.
        ax: where to draw; a new figure when ``None``.

    Returns:
        the figure and its axis.

    Example:
        >>> import torch
        >>> figure, ax = similarity_by_order({"class 0": torch.tensor([0.9, 0.4]), "class 1": torch.tensor([0.8, 0.2])})
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['class 0', 'class 1']
    """
    ax = new_axis((4.0, 3.0)) if ax is None else ax
    curves = similarity if isinstance(similarity, Mapping) else {"": similarity}
    for number, (name, curve) in enumerate(curves.items()):
        ax.plot(
            range(1, len(curve) + 1),
            curve.tolist(),
            color=_COLOURS[number % len(_COLOURS)],
            # Markers too: colours alone come round again.
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=5,
            linestyle=("-", "--", ":")[number // len(_COLOURS) % 3],
            label=name or None,
        )
    label_orders(ax)
    ax.set_ylim(0, 1.05)
    ax.set_ylabel("similarity")
    if any(curves):
        ax.legend(fontsize=8, frameon=False)
    return figure_of(ax), ax
