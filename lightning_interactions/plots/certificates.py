"""How exact and how sparse the explanation of each sample is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from matplotlib.ticker import MaxNLocator

from lightning_interactions.plots.style import DECAY, HELD_OUT, POSITIVE, figure_of, new_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lightning_interactions.interactions import Interactions

__all__ = ["certificates"]

_PANELS = 3


def certificates(interactions: Interactions, axes: Sequence[Axes] | None = None) -> tuple[Figure, list[Axes]]:
    r"""The proven gap, the matching error and the sum of absolute effects of each sample, above each other.

    The gap is relative to the smallest possible sum and at most 1 if the certificate says anything; the matching error
    :math:`\zeta' = \max_T |v(x_T) - h(x_T)|` is drawn beside the bound :math:`\zeta` that was asked for.

    Args:
        interactions: of one set of samples.
        axes: three axes to draw on; a new figure when ``None``.

    Returns:
        the figure and its three axes.

    Raises:
        ValueError: if the number of axes is not three.

    Example:
        >>> import torch
        >>> from lightning_interactions import sparsify
        >>> figure, axes = certificates(sparsify(torch.tensor([[0.0, 1.0, 2.0, 5.0]])))
        >>> [ax.get_ylabel() for ax in axes]
        ['proven gap', 'matching error', 'sum of |effects|']
    """
    shown = new_axes(_PANELS, (5.0, 4.6), stacked=True, sharex=True) if axes is None else list(axes)
    if len(shown) != _PANELS:
        msg = f"`axes` must be {_PANELS} axes, got {len(shown)}."
        raise ValueError(msg)
    rows = range(len(interactions))
    gap, error, l1 = shown
    # Exact solutions have gaps of rounding size, fast ones of per cents: only a logarithm shows both. It has no 0.
    gap.plot(rows, interactions.gap.clamp(min=1e-16).tolist(), linestyle="none", marker="o", color=POSITIVE)
    gap.set_yscale("log")
    gap.set_ylabel("proven gap")
    error.plot(
        rows, interactions.matching_error().tolist(), linestyle="none", marker="o", color=HELD_OUT, label="error ζ′"
    )
    error.plot(rows, interactions.noise_bound.tolist(), linestyle="none", marker="_", color="black", label="bound ζ")
    largest = torch.cat([interactions.matching_error(), interactions.noise_bound]).nan_to_num(0.0).amax().item()
    error.set_ylim(0, 1.5 * largest or 1.0)  # room for the legend
    error.set_ylabel("matching error")
    error.legend(fontsize=8, frameon=False, ncols=2)
    l1.bar(rows, interactions.l1.tolist(), color=DECAY)
    l1.set_ylabel("sum of |effects|")
    l1.set_xlabel("sample")
    l1.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure_of(gap), shown
