"""Pieces that the figures share: a row of distributions over the orders, and a page of such rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lightning_interactions.plots import strength_by_order
from lightning_interactions.plots.style import NEGATIVE, POSITIVE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

__all__ = ["SPINDLE_LINE", "distribution", "early_epochs_wide", "page", "residual", "same_scale"]

SPINDLE_LINE = "#000000"
"""Colour of a fitted curve over measured bars."""

# Epochs above which a linear axis hides the beginning.
_LONG_TRAINING = 40


def page(rows: int, columns: int, width: float = 2.1, height: float = 2.0) -> tuple[Figure, list[list[Axes]]]:
    """A page of ``rows × columns`` small axes.

    Args:
        rows: how many below each other.
        columns: how many side by side.
        width: of one, in inches.
        height: of one, in inches.
    """
    figure = Figure(figsize=(width * columns + 0.4, height * rows + 0.5), layout="constrained")
    return figure, [list(row) for row in figure.subplots(rows, columns, squeeze=False)]


def distribution(
    ax: Axes,
    positive: Sequence[float],
    negative: Sequence[float],
    title: str = "",
    curve: tuple[Sequence[float], Sequence[float]] | None = None,
) -> None:
    """Bars of both signs over the orders, with a fitted curve for each sign when there is one.

    Args:
        ax: where to draw.
        positive: strength of orders 1 … n, drawn upwards.
        negative: likewise, drawn downwards.
        title: over the axis.
        curve: the fit for each sign.
    """
    strength_by_order(torch.tensor(positive), torch.tensor(negative), ax)
    ax.set_title(title, fontsize=8)
    ax.set_xlabel("")
    ax.tick_params(labelsize=7)
    if curve is not None:
        orders = range(1, len(positive) + 1)
        for side in (list(curve[0]), [-value for value in curve[1]]):
            ax.plot(orders, side, color=SPINDLE_LINE, linewidth=1.2, marker=".", markersize=3)


def residual(ax: Axes, positive: Sequence[float], negative: Sequence[float], relative_l1: float) -> None:
    """What Eq. 9 leaves of the strength of each order, with its sign.

    Args:
        ax: where to draw.
        positive: the residual of :math:`A^{(m),+}`.
        negative: of :math:`A^{(m),-}`.
        relative_l1: its sum relative to the strength, for the title.
    """
    orders = range(1, len(positive) + 1)
    ax.plot(orders, positive, marker=".", color=POSITIVE, label="of A⁺")
    ax.plot(orders, negative, marker=".", color=NEGATIVE, label="of A⁻")
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_title(f"residual, relative L1 {relative_l1:.2f}", fontsize=8)
    ax.tick_params(labelsize=7)


def early_epochs_wide(ax: Axes, epochs: Sequence[int]) -> None:
    """Stretch the early epochs of a long training, where most measurements are; a short one stays as it is."""
    if epochs[-1] > _LONG_TRAINING:
        ax.set_xscale("symlog", linthresh=_LONG_TRAINING / 4)
        ticks = [epoch for place, epoch in enumerate(epochs) if place % 2 == 0]
        ax.set_xticks(ticks, [str(epoch) for epoch in ticks])
        ax.minorticks_off()
        ax.set_xlim(left=-1)


def same_scale(axes: Sequence[Axes]) -> None:
    """Give axes that are to be compared the largest of their vertical scales; bars of no height set none."""
    filled = (ax for ax in axes if any(isinstance(bar, Rectangle) and bar.get_height() for bar in ax.patches))
    largest = max((abs(limit) for ax in filled for limit in ax.get_ylim()), default=math.nan)
    for ax in axes:
        if math.isfinite(largest) and largest > 0:
            ax.set_ylim(-largest, largest)
