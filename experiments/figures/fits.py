"""What the figures say about a distribution over orders in single numbers, and fitted shapes as plain data."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import scipy.stats

from lightning_interactions.distribution.disentangle import WIDEST_SHARE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from lightning_interactions.distribution.emerged import ShapeFit

__all__ = ["decay_as_record", "peak_order", "r_squared", "share_in_words", "spearman", "spindle_as_record"]


def share_in_words(share: float, low: float, high: float) -> str:
    """A spindle share with its interval, or with the interval alone where that is too wide to read the share at all.

    Args:
        share: the best fit's.
        low: lower end of its interval.
        high: upper end.

    Example:
        >>> share_in_words(0.5, 0.21, 0.62), share_in_words(0.76, 0.26, 1.0), share_in_words(*[math.nan] * 3)
        ('0.50 (0.21 … 0.62)', 'not identified (0.26 … 1.00)', '–')
    """
    if not math.isfinite(share):
        return "–"
    said = f"{share:.2f}" if high - low <= WIDEST_SHARE else "not identified"
    return f"{said} ({low:.2f} … {high:.2f})"


def r_squared(observed: Tensor, fitted: Tensor) -> float:
    r"""Share of the variance that a fit explains, :math:`1 - \sum (A - \hat A)^2 / \sum (A - \bar A)^2`.

    Centred, unlike the :math:`R^2` of :func:`~lightning_interactions.disentangle`: here a flat line scores 0.

    Args:
        observed: any shape.
        fitted: the same shape.

    Returns:
        at most 1; NaN when the observed numbers are all the same.

    Example:
        >>> import torch
        >>> r_squared(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 2.0]))
        0.5
    """
    spread = (observed - observed.mean()).square().sum().item()
    return 1 - (observed - fitted).square().sum().item() / spread if spread > 0 else math.nan


def decay_as_record(fit: ShapeFit | None) -> dict[str, Any]:
    """A fitted decay (Eq. 8) as plain data; NaN and empty where nothing was fitted."""
    if fit is None:
        return {"delta": math.nan, "gamma": math.nan, "positive": [], "negative": [], "r_squared": math.nan}
    curves = {"positive": fit.positive.tolist(), "negative": fit.negative.tolist()}
    return {"delta": fit.shape, "gamma": fit.size, "r_squared": fit.r_squared} | curves


def spindle_as_record(fit: ShapeFit | None) -> dict[str, Any]:
    """A fitted spindle (Eq. 6) as plain data, its curve once for both signs; NaN and empty where nothing was fitted."""
    if fit is None:
        return {"alpha": math.nan, "beta": math.nan, "curve": [], "r_squared": math.nan}
    return {"alpha": fit.shape, "beta": fit.size, "curve": fit.positive.tolist(), "r_squared": fit.r_squared}


def peak_order(positive: Tensor, negative: Tensor) -> int:
    """The order with the largest strength, both signs together.

    Example:
        >>> import torch
        >>> peak_order(torch.tensor([1.0, 2.0, 0.0]), torch.tensor([0.0, 2.0, 3.0]))
        2
    """
    return int((positive + negative).argmax()) + 1


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Rank correlation; NaN when either side does not vary or there are fewer than two points.

    Example:
        >>> spearman([1, 2, 3], [1, 4, 9])
        1.0
    """
    if len(set(x)) < 2 or len(set(y)) < 2:  # noqa: PLR2004
        return math.nan
    return round(float(scipy.stats.spearmanr(x, y).statistic), 12)
