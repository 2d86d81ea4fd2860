"""Figures. Each takes data and an optional axis and returns ``(figure, axis)``; none touches pyplot's global state."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes
    from torch import Tensor

__all__ = ["NEGATIVE", "POSITIVE", "loss_curves", "strength_by_order", "strength_over_training"]

# Blue and orange of Okabe and Ito's palette, told apart with any colour vision.
POSITIVE = "#0072B2"
NEGATIVE = "#E69F00"
_TRAIN = "#009E73"
_HELD_OUT = "#CC79A7"
_GAP = "#555555"


def strength_by_order(
    positive: Tensor, negative: Tensor, ax: Axes | None = None, title: str | None = None
) -> tuple[Figure, Axes]:
    """Bars of the strength of each order, positive upwards and negative downwards (as in Fig. 2).

    Args:
        positive: strength of orders ``1 … n``, ``(n,)``, as :func:`~lightning_interactions.order_strength` returns it.
        negative: likewise, non-negative.
        ax: where to draw; a new figure when ``None``.
        title: over the axis.

    Example:
        >>> import torch
        >>> figure, ax = strength_by_order(torch.tensor([2.0, 1.0]), torch.tensor([1.0, 0.5]))
        >>> len(ax.patches)
        4
    """
    ax = _new_axis((4.0, 3.0)) if ax is None else ax
    orders = list(range(1, len(positive) + 1))
    ax.bar(orders, positive.tolist(), color=POSITIVE, label="positive effects")
    ax.bar(orders, (-negative).tolist(), color=NEGATIVE, label="negative effects")
    ax.axhline(0, color="black", linewidth=0.8)
    largest = max([*positive.tolist(), *negative.tolist()], key=lambda value: value if math.isfinite(value) else 0)
    if math.isfinite(largest) and largest > 0:
        ax.set_ylim(-1.1 * largest, 1.1 * largest)
    else:
        ax.text(0.5, 0.5, "nothing salient", transform=ax.transAxes, ha="center", va="center")
    ax.set_xlabel("order m")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    # The lower half counts downwards: both halves are amounts.
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{abs(value):g}"))
    if title is not None:
        ax.set_title(title, fontsize=10)
    return _figure_of(ax), ax


def loss_curves(
    history: Sequence[dict[str, Any]], ax: Axes | None = None, mark: Iterable[int] = ()
) -> tuple[Figure, Axes]:
    """Training loss, held-out loss and their gap over the epochs, with the overfitting phase shaded.

    Args:
        history: records of an ``InteractionMonitor``.
        ax: where to draw; a new figure when ``None``.
        mark: epochs to mark with dotted lines.
    """
    ax = _new_axis((5.0, 3.0)) if ax is None else ax
    epochs = [record["epoch"] for record in history]
    for key, label, color, style in (
        ("train_loss", "training loss", _TRAIN, "-"),
        ("held_out_loss", "held-out loss", _HELD_OUT, "-"),
        ("loss_gap", "gap", _GAP, "--"),
    ):
        ax.plot(epochs, [record[key] for record in history], marker=".", label=label, color=color, linestyle=style)
    onset = history[-1]["onset_epoch"] if history else math.nan
    if math.isfinite(onset):
        ax.axvspan(onset, epochs[-1], color=NEGATIVE, alpha=0.15, linewidth=0, label="overfitting phase")
    for epoch in mark:
        ax.axvline(epoch, color="black", linewidth=0.8, linestyle=":")
    ax.set_xlabel("epoch")
    ax.set_ylabel("loss (nats)")
    ax.legend(fontsize=8, frameon=False)
    return _figure_of(ax), ax


def strength_over_training(history: Sequence[dict[str, Any]], epochs: Sequence[int]) -> tuple[Figure, list[Axes]]:
    """Strength by order at chosen epochs beside the loss curves, like the paper's Fig. 2.

    Args:
        history: records of an ``InteractionMonitor``.
        epochs: which measured epochs to show, usually four.

    Returns:
        the figure and its axes: one for each epoch, then the loss curves.
    """
    by_epoch = {record["epoch"]: record for record in history}
    shown = [by_epoch[epoch] for epoch in epochs]
    figure = Figure(figsize=(2.4 * len(shown) + 3.6, 3.6), layout="constrained")
    axes = list(figure.subplots(1, len(shown) + 1, width_ratios=[1.0] * len(shown) + [1.7]))
    for ax, record in zip(axes, shown, strict=False):
        # Normalised, because the outputs grow during training and the shape is what counts.
        strength_by_order(
            torch.tensor(record["normalized_positive"]),
            torch.tensor(record["normalized_negative"]),
            ax,
            title=f"epoch {record['epoch']}\nmean order {record['mean_order']:.2f}",
        )
    axes[0].set_ylabel("strength / order-1 strength")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=2, fontsize=8, frameon=False)
    loss_curves(history, axes[-1], mark=epochs)
    return figure, axes


def _new_axis(size: tuple[float, float]) -> Axes:
    return Figure(figsize=size, layout="constrained").subplots()


def _figure_of(ax: Axes) -> Figure:
    figure = ax.figure
    return figure if isinstance(figure, Figure) else figure.figure  # an axis of a subfigure
