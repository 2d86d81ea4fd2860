"""Training loss, held-out loss and the gap between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning_interactions.plots.style import (
    GAP,
    HELD_OUT,
    TRAIN,
    column,
    figure_of,
    label_epochs,
    new_axis,
    shade_overfitting,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["loss_curves"]


def loss_curves(
    history: Iterable[dict[str, Any]], ax: Axes | None = None, mark: Iterable[int] = ()
) -> tuple[Figure, Axes]:
    """Training loss, held-out loss and their gap over the epochs, with the overfitting phase shaded.

    The axis names nats, the unit of the default loss: records do not know the unit of another one.

    Args:
        history: records of an ``InteractionMonitor``.
        ax: where to draw; a new figure when ``None``.
        mark: epochs to mark with dotted lines.

    Returns:
        the figure and its axis.

    Example:
        >>> figure, ax = loss_curves([{"epoch": 0, "train_loss": 2.3, "held_out_loss": 2.4, "loss_gap": 0.1}])
        >>> [line.get_label() for line in ax.lines]
        ['training loss', 'held-out loss', 'gap']
    """
    history = list(history)
    ax = new_axis((5.0, 3.0)) if ax is None else ax
    epochs = [record["epoch"] for record in history]
    for key, label, color, style in (
        ("train_loss", "training loss", TRAIN, "-"),
        ("held_out_loss", "held-out loss", HELD_OUT, "-"),
        ("loss_gap", "gap", GAP, "--"),
    ):
        ax.plot(epochs, column(history, key), marker=".", label=label, color=color, linestyle=style)
    shade_overfitting(ax, history, label="overfitting phase")
    for epoch in mark:
        ax.axvline(epoch, color="black", linewidth=0.8, linestyle=":")
    label_epochs(ax)
    ax.set_ylabel("loss (nats)")
    ax.legend(fontsize=8, frameon=False)
    return figure_of(ax), ax
