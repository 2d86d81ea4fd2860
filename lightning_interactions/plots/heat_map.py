"""Strength of every order at every epoch, as colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lightning_interactions.plots.style import figure_of, label_epochs, new_axis

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["strength_heat_map"]

_SIGNS = {"both": ("positive", "negative"), "positive": ("positive",), "negative": ("negative",)}


def strength_heat_map(
    history: Iterable[dict[str, Any]],
    ax: Axes | None = None,
    sign: Literal["both", "positive", "negative"] = "both",
    *,
    colour_bar: bool = True,
) -> tuple[Figure, Axes]:
    r"""The share of each order in the strength of each epoch, :math:`A^{(m)} / \sum_{m'} A^{(m')}`, as colour.

    Shares and not amounts, because the outputs grow during training. A measured epoch reaches half-way to its
    neighbours; one that failed, or where nothing is salient, is left blank.

    Args:
        history: records of an ``InteractionMonitor``.
        ax: where to draw; a new figure when ``None``.
        sign: which effects count.
        colour_bar: explain the colours beside the axis.

    Returns:
        the figure and its axis.

    Raises:
        ValueError: if there is no record, or for an unknown sign.

    Example:
        >>> figure, ax = strength_heat_map([{"epoch": 0, "positive": [1.0, 2.0], "negative": [1.0, 0.0]}])
        >>> ax.collections[0].get_array().tolist()
        [[0.5], [0.5]]
    """
    history = list(history)
    if not history:
        msg = "`history` must hold at least one record, got none. HINT: has the run measured yet?"
        raise ValueError(msg)
    if sign not in _SIGNS:
        msg = f"`sign` must be one of {', '.join(map(repr, _SIGNS))}, got {sign!r}."
        raise ValueError(msg)
    ax = new_axis((5.0, 3.0)) if ax is None else ax
    strength = np.array([np.sum([record[key] for key in _SIGNS[sign]], axis=0) for record in history])  # (epochs, n)
    total = strength.sum(axis=1, keepdims=True)
    shares = np.divide(strength, total, out=np.full_like(strength, np.nan), where=total > 0)
    edges = _edges([record["epoch"] for record in history])
    # Cividis looks the same to people with and without a colour deficiency.
    mesh = ax.pcolormesh(edges, np.arange(strength.shape[1] + 1) + 0.5, shares.T, cmap="cividis", vmin=0)
    label_epochs(ax)
    ax.set_ylabel("order m")
    ax.set_yticks(range(1, strength.shape[1] + 1))
    if colour_bar:
        figure_of(ax).colorbar(mesh, ax=ax, label="share of the strength")
    return figure_of(ax), ax


def _edges(epochs: Sequence[int]) -> np.ndarray:
    """Where the columns of the epochs begin and end: half-way between neighbours."""
    if len(epochs) == 1:
        return np.array([epochs[0] - 0.5, epochs[0] + 0.5])
    at = np.asarray(epochs, dtype=float)
    middle = (at[1:] + at[:-1]) / 2
    return np.concatenate([[2 * at[0] - middle[0]], middle, [2 * at[-1] - middle[-1]]])
