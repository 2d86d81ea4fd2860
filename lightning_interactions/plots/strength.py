"""Strength of the interactions of each order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from lightning_interactions.plots.losses import loss_curves
from lightning_interactions.plots.style import (
    NEGATIVE,
    POSITIVE,
    figure_of,
    label_orders,
    legend_below,
    new_axes,
    new_axis,
    symmetric_limits,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

__all__ = ["strength_by_order", "strength_over_training"]


def strength_by_order(
    positive: Tensor, negative: Tensor, ax: Axes | None = None, title: str | None = None
) -> tuple[Figure, Axes]:
    """Bars of the strength of each order, positive upwards and negative downwards (as in Fig. 2).

    Args:
        positive: strength of orders ``1 … n``, ``(n,)``, as :func:`~lightning_interactions.order_strength` returns it.
        negative: likewise, non-negative.
        ax: where to draw; a new figure when ``None``.
        title: over the axis.

    Returns:
        the figure and its axis.

    Example:
        >>> import torch
        >>> figure, ax = strength_by_order(torch.tensor([2.0, 1.0]), torch.tensor([1.0, 0.5]))
        >>> len(ax.patches)
        4
    """
    ax = new_axis((4.0, 3.0)) if ax is None else ax
    orders = list(range(1, len(positive) + 1))
    ax.bar(orders, positive.tolist(), color=POSITIVE, label="positive effects")
    ax.bar(orders, (-negative).tolist(), color=NEGATIVE, label="negative effects")
    ax.axhline(0, color="black", linewidth=0.8)
    symmetric_limits(ax, [*positive.tolist(), *negative.tolist()])
    label_orders(ax)
    if title is not None:
        ax.set_title(title, fontsize=10)
    return figure_of(ax), ax


def strength_over_training(history: Iterable[dict[str, Any]], epochs: Sequence[int]) -> tuple[Figure, list[Axes]]:
    """Strength by order at chosen epochs beside the loss curves, like the paper's Fig. 2.

    Args:
        history: records of an ``InteractionMonitor``.
        epochs: which measured epochs to show, usually four.

    Returns:
        the figure and its axes: one for each epoch, then the loss curves.

    Raises:
        ValueError: for an epoch that was not measured.

    Example:
        >>> shape = {"normalized_positive": [1.0, 0.5], "normalized_negative": [1.0, 0.2], "mean_order": 1.3}
        >>> figure, axes = strength_over_training([{"epoch": 0} | shape, {"epoch": 10} | shape], epochs=[0, 10])
        >>> len(axes)
        3
    """
    history = list(history)
    by_epoch = {record["epoch"]: record for record in history}
    unknown = [epoch for epoch in epochs if epoch not in by_epoch]
    if unknown:
        msg = f"`epochs` must be measured ones, of {list(by_epoch)}, got {unknown}."
        raise ValueError(msg)
    shown = [by_epoch[epoch] for epoch in epochs]
    axes = new_axes(
        len(shown) + 1,
        (2.4 * len(shown) + 3.6, 3.6),
        stacked=False,
        width_ratios=[1.0] * len(shown) + [1.7],
    )
    for ax, record in zip(axes, shown, strict=False):
        # Normalised, because the outputs grow during training and the shape is what counts.
        strength_by_order(
            torch.tensor(record["normalized_positive"]),
            torch.tensor(record["normalized_negative"]),
            ax,
            title=f"epoch {record['epoch']}\nmean order {record['mean_order']:.2f}",
        )
    axes[0].set_ylabel("strength / order-1 strength")
    figure = figure_of(axes[0])
    legend_below(figure, axes[0])
    loss_curves(history, axes[-1], mark=epochs)
    return figure, axes
