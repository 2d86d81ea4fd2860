"""The strongest interactions of one sample, on its image or in its sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from matplotlib.patches import Rectangle

from lightning_interactions.plots.style import NEGATIVE, POSITIVE, figure_of, new_axes, new_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

    from lightning_interactions.interactions import Effect, Interactions

__all__ = ["interaction_on_image", "interactions_in_sentence", "strongest_on_image"]


def interaction_on_image(
    interactions: Interactions, sample: int, image: Tensor, ax: Axes | None = None, rank: int = 0
) -> tuple[Figure, Axes]:
    """One interaction of a sample on its image: its cells outlined, the sample's other variables dotted.

    Args:
        interactions: of patches (``FeatureMapPatches`` or ``InputPatches``).
        sample: row of the sample.
        image: of the sample, ``(C, H, W)`` with one, three or four channels or ``(H, W)``, in any range.
        ax: where to draw; a new figure when ``None``.
        rank: which interaction; 0 is the one with the largest absolute effect.

    Returns:
        the figure and its axis.

    Raises:
        ValueError: if the variables are no cells of a grid or the image has another shape.

    Example:
        >>> import torch
        >>> from lightning_interactions import InputPatches, explain
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2))
        >>> image = torch.rand(1, 1, 4, 4)
        >>> found = explain(network, image, torch.tensor([1]), InputPatches(grid=2, border=0, n_variables=2))
        >>> figure, ax = interaction_on_image(found, 0, image[0])
        >>> len(ax.images)
        1
    """
    cells, grid = _cells(interactions, sample)
    ax = new_axis((2.4, 2.6)) if ax is None else ax
    pixels = _displayable(image)
    height, width = pixels.shape[:2]
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_axis_off()
    strongest = interactions.strongest(sample, rank + 1)
    effect = strongest[rank] if rank < len(strongest) else None
    inside = set(effect.variables) if effect is not None else set()
    for variable, (row, column) in enumerate(cells):
        corner = (column * width / grid - 0.5, row * height / grid - 0.5)
        size = (width / grid, height / grid)
        if effect is not None and variable in inside:
            # A light line inside a coloured one shows on any image.
            ax.add_patch(Rectangle(corner, *size, fill=False, edgecolor=_colour(effect), linewidth=3.5))
            ax.add_patch(Rectangle(corner, *size, fill=False, edgecolor="white", linewidth=0.8))
        else:
            ax.add_patch(Rectangle(corner, *size, fill=False, edgecolor="white", linewidth=0.6, linestyle=":"))
    ax.set_title("no such interaction" if effect is None else _text(effect), fontsize=9)
    return figure_of(ax), ax


def strongest_on_image(
    interactions: Interactions, sample: int, image: Tensor, count: int = 4
) -> tuple[Figure, list[Axes]]:
    """The strongest interactions of a sample side by side, each on the sample's image.

    Args:
        interactions: see :func:`interaction_on_image`.
        sample: row of the sample.
        image: of the sample.
        count: how many.

    Returns:
        the figure and its axes, one for each interaction.

    Raises:
        ValueError: see :func:`interaction_on_image`.

    Example:
        >>> import torch
        >>> from lightning_interactions import InputPatches, explain
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2))
        >>> image = torch.rand(1, 1, 4, 4)
        >>> found = explain(network, image, torch.tensor([1]), InputPatches(grid=2, border=0, n_variables=2))
        >>> figure, axes = strongest_on_image(found, 0, image[0], count=2)
        >>> len(axes)
        2
    """
    axes = new_axes(count, (2.0 * count, 2.4), stacked=False)
    for rank, ax in enumerate(axes):
        interaction_on_image(interactions, sample, image, ax, rank)
    return figure_of(axes[0]), axes


def interactions_in_sentence(
    interactions: Interactions, sample: int, ax: Axes | None = None, count: int = 5
) -> tuple[Figure, Axes]:
    """The strongest interactions of a sentence (or a table's row), one a line, with their words highlighted.

    The words are the sample's variables in the order of the sentence; words that were not drawn are left out.

    Args:
        interactions: of words or columns.
        sample: row of the sample.
        ax: where to draw; a new figure when ``None``.
        count: how many lines.

    Returns:
        the figure and its axis.

    Example:
        >>> import torch
        >>> from lightning_interactions import sparsify
        >>> figure, ax = interactions_in_sentence(sparsify(torch.tensor([[0.0, 1.0, 2.0, 5.0]])), sample=0)
        >>> [text.get_text() for text in ax.texts][1:3]
        ['x0', 'x1']
    """
    names = interactions.variable_names(sample)
    strongest = interactions.strongest(sample, count)
    if ax is None:
        ax = new_axis((1.8 + sum(0.11 * len(name) + 0.2 for name in names), 0.5 + 0.32 * max(1, len(strongest))))
    ax.set_axis_off()
    # Each word takes as much room as it has letters, so that columns line up and long words do not touch.
    room = [len(name) + 2.0 for name in names]
    starts = [sum(room[:position]) for position in range(len(room))]
    for line, effect in enumerate(strongest):
        ax.text(-1.0, -line, _text(effect), ha="right", va="center", fontsize=9, color="black")
        for variable, name in enumerate(names):
            inside = variable in effect.variables
            ax.text(
                starts[variable] + room[variable] / 2,
                -line,
                name,
                ha="center",
                va="center",
                fontsize=9,
                color=("white" if effect.effect > 0 else "black") if inside else "#888888",
                bbox={"boxstyle": "round,pad=0.25", "facecolor": _colour(effect), "linewidth": 0} if inside else None,
                parse_math=False,  # a dollar sign in a word is a dollar sign
            )
    if not strongest:
        ax.text(0.5, 0.5, "no interaction", transform=ax.transAxes, ha="center", va="center")
    ax.set_xlim(-18.0, max(1.0, sum(room)))
    ax.set_ylim(-max(1, len(strongest)) + 0.4, 0.6)
    return figure_of(ax), ax


def _cells(interactions: Interactions, sample: int) -> tuple[list[tuple[int, int]], int]:
    grid = interactions.provenance.get("variables", {}).get("grid")
    draws = interactions.provenance.get("draws")
    if grid is None or not draws:
        msg = (
            "`interactions` must be of image patches, whose provenance tells the grid and the cells; it does not."
            " HINT: `interactions_in_sentence` shows words, columns and anything else with a name."
        )
        raise ValueError(msg)
    return [(row, column) for row, column in draws[sample]["positions"]], int(grid)


def _displayable(image: Tensor) -> Any:
    """Height × width (× channels), between 0 and 1."""
    pixels = torch.as_tensor(image).detach().cpu().double()
    if pixels.ndim == 3 and pixels.shape[0] in {1, 3, 4}:  # noqa: PLR2004
        pixels = pixels[0] if pixels.shape[0] == 1 else pixels.permute(1, 2, 0)
    elif pixels.ndim != 2:  # noqa: PLR2004
        msg = f"`image` must have shape (C, H, W) with 1, 3 or 4 channels or (H, W), got {tuple(pixels.shape)}."
        raise ValueError(msg)
    low, high = pixels.min(), pixels.max()
    return ((pixels - low) / (high - low) if high > low else torch.zeros_like(pixels)).numpy()


def _colour(effect: Effect) -> str:
    return POSITIVE if effect.effect > 0 else NEGATIVE


def _text(effect: Effect) -> str:
    return f"{effect.effect:+.3g} {effect.kind}"
