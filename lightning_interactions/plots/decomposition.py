"""Decay, spindle and what neither explains: the fit of Eq. 9, at one epoch and over a training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lightning_interactions.plots.style import (
    DECAY,
    RESIDUAL,
    SPINDLE,
    figure_of,
    label_epochs,
    label_orders,
    new_axis,
    shade_overfitting,
    symmetric_limits,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["decomposition", "decomposition_over_training"]


def decomposition(record: dict[str, Any], ax: Axes | None = None, title: str | None = None) -> tuple[Figure, Axes]:
    r"""Decay and spindle stacked, and the measured strength as a mark; what lies between is the residual (Eq. 9).

    .. math:: A^{(m),\pm} = A^{(m),\pm}_{decay} + A^{(m)}_{spindle} + residual

    Args:
        record: of one epoch, with the keys of the fit.
        ax: where to draw; a new figure when ``None``.
        title: over the axis.

    Returns:
        the figure and its axis.

    Raises:
        ValueError: if the record holds no fit.

    Example:
        >>> record = {"epoch": 5, "positive": [2.0, 1.0], "negative": [1.0, 1.0], "decay_positive": [1.5, 0.2],
        ...           "decay_negative": [0.6, 0.1], "spindle": [0.4, 0.9]}
        >>> figure, ax = decomposition(record)
        >>> [float(patch.get_height()) for patch in ax.patches][:2]
        [1.5, 0.2]
    """
    _check_fitted([record])
    ax = new_axis((4.0, 3.0)) if ax is None else ax
    orders = list(range(1, len(record["positive"]) + 1))
    tops: list[float] = []
    for side, sign in (("positive", 1.0), ("negative", -1.0)):
        decay = [sign * amount for amount in record[f"decay_{side}"]]
        spindle = [sign * amount for amount in record["spindle"]]
        measured = [sign * amount for amount in record[side]]
        first = sign > 0  # the legend names each part once
        ax.bar(orders, decay, color=DECAY, label="decay" if first else "")
        ax.bar(
            orders,
            spindle,
            bottom=decay,
            color=SPINDLE,
            hatch="//",
            edgecolor="white",
            linewidth=0,
            label="spindle" if first else "",
        )
        fitted = [low + high for low, high in zip(decay, spindle, strict=True)]
        ax.vlines(orders, fitted, measured, color=RESIDUAL, linewidth=2, label="residual" if first else "")
        ax.plot(
            orders,
            measured,
            linestyle="none",
            marker="_",
            markersize=12,
            markeredgewidth=2,
            color="black",
            label="measured" if first else "",
        )
        tops += [abs(amount) for amount in (*fitted, *measured)]
    ax.axhline(0, color="black", linewidth=0.8)
    symmetric_limits(ax, tops)
    label_orders(ax)
    ax.set_ylabel("strength")
    ax.legend(fontsize=8, frameon=False)
    if title is not None:
        ax.set_title(title, fontsize=10)
    return figure_of(ax), ax


def decomposition_over_training(history: Iterable[dict[str, Any]], ax: Axes | None = None) -> tuple[Figure, Axes]:
    """How much strength is decay, spindle or neither at each epoch: sums over the orders and both signs.

    Args:
        history: records of an ``InteractionMonitor`` with the keys of the fit.
        ax: where to draw; a new figure when ``None``.

    Returns:
        the figure and its axis.

    Raises:
        ValueError: if no record holds a fit.

    Example:
        >>> part = {"decay_positive": [2.0], "decay_negative": [1.0], "spindle": [0.5],
        ...         "residual_positive": [0.1], "residual_negative": [-0.2]}
        >>> figure, ax = decomposition_over_training([{"epoch": 0} | part, {"epoch": 5} | part])
        >>> {line.get_label(): float(line.get_ydata()[0]) for line in ax.lines}["spindle"]
        1.0
    """
    history = list(history)
    _check_fitted(history)
    ax = new_axis((5.0, 3.0)) if ax is None else ax
    epochs = [record["epoch"] for record in history]
    for label, keys, color, style in (
        ("decay", ("decay_positive", "decay_negative"), DECAY, "-"),
        ("spindle", ("spindle", "spindle"), SPINDLE, "-"),
        ("residual, absolute", ("residual_positive", "residual_negative"), RESIDUAL, "--"),
    ):
        totals = [_total(record, keys) for record in history]
        ax.plot(epochs, totals, marker=".", color=color, linestyle=style, label=label)
    shade_overfitting(ax, history, label="overfitting phase")
    ax.set_ylim(bottom=0)
    label_epochs(ax)
    ax.set_ylabel("strength, all orders")
    ax.legend(fontsize=8, frameon=False)
    return figure_of(ax), ax


def _total(record: dict[str, Any], keys: Sequence[str]) -> float:
    return sum((abs(amount) for key in keys for amount in record.get(key, [math.nan])), start=0.0)


def _check_fitted(records: Sequence[dict[str, Any]]) -> None:
    if not any("decay_positive" in record for record in records):
        msg = (
            f"`{'record' if len(records) == 1 else 'history'}` holds no fit of decay and spindle (keys 'decay_positive'"
            f" …). HINT: `lightning_interactions.refit.refit(folder)` fits a run from its folder."
        )
        raise ValueError(msg)
