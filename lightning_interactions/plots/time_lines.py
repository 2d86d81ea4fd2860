"""Single numbers over the epochs of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lightning_interactions.plots.style import (
    GAP,
    POSITIVE,
    SPINDLE,
    column,
    figure_of,
    label_epochs,
    new_axes,
    new_axis,
    shade_overfitting,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["time_line", "time_lines"]

_LINES = (
    ("mean_order", "mean order", POSITIVE),
    ("spindle_share", "spindle share", SPINDLE),
    ("loss_gap", "loss gap (nats)", GAP),
)


def time_line(
    history: Iterable[dict[str, Any]],
    key: str,
    ax: Axes | None = None,
    label: str | None = None,
    color: str = POSITIVE,
) -> tuple[Figure, Axes]:
    """One number over the epochs, with its interval where the records have one and the overfitting phase shaded.

    Args:
        history: records of an ``InteractionMonitor``.
        key: of the number; the interval is taken from ``<key>_low`` and ``<key>_high``.
        ax: where to draw; a new figure when ``None``.
        label: of the vertical axis; the key when ``None``.
        color: of the line.

    Returns:
        the figure and its axis.

    Example:
        >>> figure, ax = time_line([{"epoch": 0, "mean_order": 3.6}, {"epoch": 5, "mean_order": 2.0}], "mean_order")
        >>> ax.lines[0].get_ydata().tolist()
        [3.6, 2.0]
    """
    history = list(history)
    ax = new_axis((5.0, 2.0)) if ax is None else ax
    epochs = [record["epoch"] for record in history]
    values = np.array(column(history, key), dtype=float)
    low, high = (np.array(column(history, f"{key}_{end}"), dtype=float) for end in ("low", "high"))
    shade_overfitting(ax, history)
    if np.isfinite(low).any():
        ax.fill_between(epochs, low, high, color=color, alpha=0.25, linewidth=0, label="interval")
    ax.plot(epochs, values, marker=".", color=color)
    if len(values) and not np.isfinite(values).any():
        ax.text(0.5, 0.5, "not available", transform=ax.transAxes, ha="center", va="center")
    label_epochs(ax)
    ax.set_ylabel(key if label is None else label)
    return figure_of(ax), ax


def time_lines(history: Iterable[dict[str, Any]], axes: Sequence[Axes] | None = None) -> tuple[Figure, list[Axes]]:
    """Mean order, spindle share with its interval and loss gap above each other, with the overfitting phase shaded.

    The gap's axis names nats, the unit of the default loss: records do not know the unit of another one.

    Args:
        history: records of an ``InteractionMonitor``.
        axes: three axes to draw on; a new figure when ``None``.

    Returns:
        the figure and its three axes.

    Raises:
        ValueError: if the number of axes is not three.

    Example:
        >>> figure, axes = time_lines([{"epoch": 0, "mean_order": 3.6, "loss_gap": 0.0}])
        >>> [ax.get_ylabel() for ax in axes]
        ['mean order', 'spindle share', 'loss gap (nats)']
    """
    history = list(history)
    shown = new_axes(len(_LINES), (5.0, 5.0), stacked=True, sharex=True) if axes is None else list(axes)
    if len(shown) != len(_LINES):
        msg = f"`axes` must be {len(_LINES)} axes, got {len(shown)}."
        raise ValueError(msg)
    for ax, (key, label, color) in zip(shown, _LINES, strict=True):
        time_line(history, key, ax, label, color)
        if ax is not shown[-1]:
            ax.set_xlabel("")
    shown[1].set_ylim(-0.05, 1.05)
    if history:
        phase = history[-1].get("phase_message") or history[-1].get("phase")
        if phase:
            shown[0].set_title(phase, fontsize=9, wrap=True, parse_math=False)
    return figure_of(shown[0]), shown
