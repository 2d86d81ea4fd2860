"""Colours, and the little that all figures share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes

__all__ = [
    "DECAY",
    "GAP",
    "HELD_OUT",
    "NEGATIVE",
    "POSITIVE",
    "RESIDUAL",
    "SPINDLE",
    "TRAIN",
    "column",
    "figure_of",
    "label_epochs",
    "label_orders",
    "legend_below",
    "new_axes",
    "new_axis",
    "shade_overfitting",
    "symmetric_limits",
]

# All but the greys are Okabe and Ito's, told apart with any colour vision.
POSITIVE = "#0072B2"
NEGATIVE = "#E69F00"
DECAY = "#009E73"
SPINDLE = "#CC79A7"
RESIDUAL = "#555555"
TRAIN = "#56B4E9"
HELD_OUT = "#D55E00"
GAP = "#555555"


def new_axis(size: tuple[float, float]) -> Axes:
    """One axis on a figure of its own that pyplot does not know, so that it goes when nobody holds it any more."""
    return Figure(figsize=size, layout="constrained").subplots()


def new_axes(count: int, size: tuple[float, float], *, stacked: bool, **options: Any) -> list[Axes]:
    """Several axes on one such figure, above each other or side by side.

    Args:
        count: how many.
        size: width and height of the whole figure in inches.
        stacked: above each other.
        **options: of ``Figure.subplots``.
    """
    figure = Figure(figsize=size, layout="constrained")
    rows, columns = (count, 1) if stacked else (1, count)
    return list(figure.subplots(rows, columns, squeeze=False, **options).flat)


def figure_of(ax: Axes) -> Figure:
    """The whole figure of an axis, also of one on a subfigure."""
    figure = ax.figure
    return figure if isinstance(figure, Figure) else figure.figure


def column(history: Sequence[dict[str, Any]], key: str) -> list[float]:
    """One number of each record; NaN where a record lacks it."""
    return [math.nan if record.get(key) is None else float(record[key]) for record in history]


def label_orders(ax: Axes) -> None:
    """Whole orders along the horizontal axis, amounts along both halves of the vertical one."""
    ax.set_xlabel("order m")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    # The lower half counts downwards: both halves are amounts.
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{abs(value):g}"))


def label_epochs(ax: Axes) -> None:
    """Whole, round epochs along the horizontal axis."""
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def legend_below(figure: Figure, ax: Axes) -> None:
    """The entries of one axis under the whole figure, where they cover nothing."""
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=len(labels), fontsize=8, frameon=False)


def symmetric_limits(ax: Axes, amounts: Iterable[float]) -> None:
    """Give both halves the height of the largest finite amount; without one, say whether all are 0 or unknown."""
    finite = [amount for amount in amounts if math.isfinite(amount)]
    largest = max(finite, default=0.0)
    if largest > 0:
        ax.set_ylim(-1.1 * largest, 1.1 * largest)
    else:
        text = "0 in every order" if finite else "not measured"
        # Above the line at 0, which would strike it through; the ticks of an empty axis mean nothing.
        ax.text(0.5, 0.55, text, transform=ax.transAxes, ha="center", va="bottom")
        ax.tick_params(left=False, labelleft=False, bottom=bool(finite), labelbottom=bool(finite))


def shade_overfitting(ax: Axes, history: Sequence[dict[str, Any]], label: str | None = None) -> None:
    """Shade the overfitting phase from its onset to the last measurement, if the training is in it."""
    onset = column(history, "onset_epoch")[-1] if history else math.nan
    if math.isfinite(onset):
        ax.axvspan(onset, history[-1]["epoch"], color=NEGATIVE, alpha=0.15, linewidth=0, label=label)
