r"""Strength of the interactions of each order, and measures of its shape that need no model.

Orders run over :math:`m = 1 … n`. Positive and negative strength are both stored non-negative and drawn upwards and
downwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from lightning_interactions.interactions import check_interactions
from lightning_interactions.lattice import sum_by_order

if TYPE_CHECKING:
    from lightning_interactions.interactions import Interactions

__all__ = [
    "Effects",
    "cancellation",
    "check_strength",
    "high_order_share",
    "mean_order",
    "order_strength",
    "salient",
    "salient_counts",
    "salient_effects",
    "sample_order_strength",
    "signed_strength",
]


class Effects(NamedTuple):
    """Interactions of which nothing but the effects is known or needed, as those of a reference.

    Attributes:
        and_: AND effects, float64 ``(samples, 2**n)``.
        or_: OR effects, likewise.
        threshold: an effect is salient when its absolute value is larger.
    """

    and_: Tensor
    or_: Tensor
    threshold: float = 0.0


def order_strength(
    interactions: Interactions, threshold: float | None = None, normalize: bool = False
) -> tuple[Tensor, Tensor]:
    r"""Strength of the salient interactions of each order, averaged over the samples (Eq. 4).

    .. math:: A^{(m),\pm} = E_x \sum_{|S| = m} \max(\pm I^{AND}_S, 0) + \max(\pm I^{OR}_S, 0)

    over the effects with :math:`|I_S| > \tau`. Normalised (Appendix I.3), both are divided by
    :math:`Z = E_x \sum_{|S| = 1} |I^{AND}_S| + |I^{OR}_S|`, which takes out the growth of the outputs during training.

    Args:
        interactions: of one set of samples.
        threshold: :math:`\tau`; ``None`` takes ``interactions.threshold``, 0 keeps every effect.
        normalize: divide by :math:`Z`. Where no order-1 effect is salient, :math:`Z = 0` and the result is NaN.

    Returns:
        ``positive, negative``: each float64 ``(n,)``, non-negative, in the unit of the effects; NaN without samples.

    Raises:
        TypeError: if ``interactions`` are none.
        ValueError: if ``threshold`` is negative or NaN.

    Example:
        >>> import torch
        >>> from lightning_interactions import sparsify
        >>> positive, negative = order_strength(sparsify(torch.tensor([[0.0, 1.0, 2.0, 5.0]]), solver="none"))
        >>> [round(a, 6) for a in positive.tolist()]
        [5.0, 1.0]
    """
    positive, negative = (side.mean(dim=0) for side in sample_order_strength(interactions, threshold))
    if not normalize:
        return positive, negative
    scale = positive[0] + negative[0]
    scale = torch.where(scale > 0, scale, torch.nan)
    return positive / scale, negative / scale


def sample_order_strength(interactions: Interactions, threshold: float | None = None) -> tuple[Tensor, Tensor]:
    """The strength of each order, sample by sample, before the average of :func:`order_strength`.

    Args:
        interactions: of one set of samples.
        threshold: see :func:`order_strength`.

    Returns:
        ``positive, negative``: each float64 ``(samples, n)``, non-negative, in the unit of the effects.

    Raises:
        TypeError: if ``interactions`` are none.
        ValueError: if ``threshold`` is negative or NaN.

    Example:
        >>> import torch
        >>> from lightning_interactions import sparsify
        >>> found = sparsify(torch.tensor([[0.0, 1.0, 2.0, 5.0], [0.0, 1.0, 1.0, 2.0]]), solver="none")
        >>> positive, negative = sample_order_strength(found, threshold=1e-6)
        >>> positive.round(decimals=6).tolist()
        [[5.0, 1.0], [2.0, 0.0]]
    """
    return signed_strength(*salient_effects(interactions, threshold))


def signed_strength(and_: Tensor, or_: Tensor) -> tuple[Tensor, Tensor]:
    r"""The strength of each order, the positive effects apart from the negative ones (Eq. 4 for one sample).

    .. math:: A^{(m),\pm} = \sum_{|S| = m} \max(\pm I^{AND}_S, 0) + \max(\pm I^{OR}_S, 0)

    Args:
        and_: AND effects, ``(..., 2**n)``.
        or_: OR effects, likewise.

    Returns:
        ``positive, negative``: ``(..., n)`` each, non-negative, in the unit of the effects.

    Raises:
        ValueError: if the last axis is not a power of two.

    Example:
        >>> import torch
        >>> and_, or_ = torch.tensor([0.0, 1.0, 2.0, -4.0]), torch.tensor([0.0, 0.0, 0.0, 3.0])
        >>> positive, negative = signed_strength(and_, or_)
        >>> positive.tolist(), negative.tolist()
        ([3.0, 3.0], [0.0, 4.0])
    """
    positive, negative = and_.clamp(min=0) + or_.clamp(min=0), (-and_).clamp(min=0) + (-or_).clamp(min=0)
    return sum_by_order(positive)[..., 1:], sum_by_order(negative)[..., 1:]


def salient_counts(interactions: Interactions, threshold: float | None = None) -> Tensor:
    """The number of salient interactions of each sample, AND and OR together.

    Args:
        interactions: of one set of samples.
        threshold: see :func:`order_strength`.

    Returns:
        int64 ``(samples,)``.

    Raises:
        TypeError: if ``interactions`` are none.
        ValueError: if ``threshold`` is negative or NaN.

    Example:
        >>> import torch
        >>> from lightning_interactions import sparsify
        >>> found = sparsify(torch.tensor([[0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 0.0, 1.0]]), solver="none")
        >>> salient_counts(found, threshold=1e-6).tolist()
        [2, 1]
    """
    and_, or_ = salient_effects(interactions, threshold)
    return and_.count_nonzero(dim=1) + or_.count_nonzero(dim=1)


def mean_order(positive: Tensor, negative: Tensor) -> float:
    r"""Centre of the distribution over orders, :math:`\sum_m m A^{(m)} / \sum_m A^{(m)}` with :math:`A = A^+ + A^-`.

    Args:
        positive: ``(n,)`` as :func:`order_strength` returns it.
        negative: likewise.

    Returns:
        a number between 1 and ``n``; NaN when nothing is salient.

    Example:
        >>> import torch
        >>> mean_order(torch.tensor([1.0, 1.0]), torch.tensor([0.0, 2.0]))
        1.75
    """
    total = positive + negative
    orders = torch.arange(1, len(total) + 1, dtype=total.dtype, device=total.device)
    return ((orders * total).sum() / total.sum()).item()


def high_order_share(positive: Tensor, negative: Tensor) -> float:
    r"""The share of the strength in the upper half of the orders.

    .. math:: \sum_{m > n / 2} A^{(m)} / \sum_m A^{(m)}, \qquad A = A^+ + A^-

    Args:
        positive: ``(n,)`` as :func:`order_strength` returns it.
        negative: likewise.

    Returns:
        a number between 0 and 1; NaN when nothing is salient.

    Example:
        >>> import torch
        >>> high_order_share(torch.tensor([1.0, 1.0]), torch.tensor([0.0, 2.0]))
        0.75
    """
    total = positive + negative
    orders = torch.arange(1, len(total) + 1, device=total.device)
    return (total[2 * orders > len(total)].sum() / total.sum()).item()


def cancellation(positive: Tensor, negative: Tensor) -> Tensor:
    r"""How far the two signs of each order offset each other, :math:`1 - |A^{(m),+} - A^{(m),-}| / A^{(m)}`.

    Args:
        positive: ``(n,)`` as :func:`order_strength` returns it.
        negative: likewise.

    Returns:
        ``(n,)``: 1 where they cancel, the spindle's fingerprint; 0 where one sign is alone; NaN where nothing is
        salient.

    Example:
        >>> import torch
        >>> cancellation(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 1.0])).tolist()
        [1.0, 0.5]
    """
    return 1 - (positive - negative).abs() / (positive + negative)


def salient_effects(interactions: Interactions | Effects, threshold: float | None = None) -> tuple[Tensor, Tensor]:
    """AND and OR effects with everything that is not salient set to 0.

    Args:
        interactions: of one set of samples.
        threshold: see :func:`order_strength`.

    Returns:
        ``and_, or_``: float64 ``(samples, 2**n)`` each.

    Raises:
        TypeError: if ``interactions`` are none.
        ValueError: if ``threshold`` is negative or NaN.

    Example:
        >>> import torch
        >>> from lightning_interactions import sparsify
        >>> and_, or_ = salient_effects(sparsify(torch.tensor([[0.0, 1.0, 2.0, 5.0]]), solver="none"), threshold=2.5)
        >>> and_.round(decimals=6).tolist()
        [[0.0, 0.0, 3.0, 0.0]]
    """
    if not isinstance(interactions, Effects):
        check_interactions(interactions=interactions)
    return salient(interactions.and_, interactions.or_, interactions.threshold if threshold is None else threshold)


def salient(and_: Tensor, or_: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    r"""Both kinds of effects with those of :math:`|I_S| \le \tau` set to 0.

    Args:
        and_: AND effects, of any shape.
        or_: OR effects, of any shape.
        threshold: :math:`\tau`; 0 keeps every effect.

    Returns:
        ``and_, or_`` in their shapes.

    Raises:
        ValueError: if ``threshold`` is negative or NaN.

    Example:
        >>> import torch
        >>> and_, or_ = salient(torch.tensor([0.0, 0.1, -2.0]), torch.tensor([0.0, 0.0, 0.5]), threshold=0.1)
        >>> and_.tolist(), or_.tolist()
        ([0.0, 0.0, -2.0], [0.0, 0.0, 0.5])
    """
    if not threshold >= 0:
        msg = f"`threshold` must be a number ≥ 0, got {threshold!r}."
        raise ValueError(msg)
    return torch.where(and_.abs() > threshold, and_, 0.0), torch.where(or_.abs() > threshold, or_, 0.0)


def check_strength(strength: Tensor) -> None:
    """Refuse strength to which nothing can be fitted.

    Args:
        strength: both signs side by side, ``(..., 2n)``.

    Raises:
        ValueError: if it is not finite, negative or all zero.

    Example:
        >>> import torch
        >>> check_strength(torch.tensor([1.0, -2.0]))
        Traceback (most recent call last):
        ...
        ValueError: `positive` and `negative` must be finite, non-negative and not all zero, got means of [1.0, -2.0]...
    """
    if not strength.isfinite().all() or (strength < 0).any() or not strength.any():
        msg = (
            f"`positive` and `negative` must be finite, non-negative and not all zero, got means of"
            f" {torch.atleast_2d(strength).mean(dim=0).tolist()}."
            f" HINT: nothing is salient yet, or a measurement failed."
        )
        raise ValueError(msg)
