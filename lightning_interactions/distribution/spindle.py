"""The spindle: how the strength of noise is spread over the orders."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_interactions.checks import check_whole

__all__ = ["spindle"]


def spindle(n: int, alpha: float | Tensor, beta: float | Tensor = 1.0) -> Tensor:
    r"""Strength of non-generalisable interactions of each order (Eq. 6), the same for both signs.

    .. math:: A^{(m)}(\alpha, \beta) = \beta \frac{\Gamma(\alpha n + 1)}{\Gamma(m + 1) \Gamma(\alpha n - m + 1)}

    a binomial coefficient with :math:`\alpha n` in the place of ``n``, whose peak is near :math:`m = \alpha n / 2`.
    Beyond :math:`m = \alpha n + 1` the formula oscillates around zero; negative strength has no meaning and is set to
    0.

    Args:
        n: number of input variables.
        alpha: :math:`\alpha > 0`, a number or a tensor of any shape.
        beta: :math:`\beta \ge 0`, in the unit of the strength; broadcast against ``alpha``.

    Returns:
        float64 ``(*shape of alpha and beta, n)``: orders ``1 … n``.

    Raises:
        TypeError: if ``n`` is no whole number.
        ValueError: if ``n`` is below 1, ``alpha`` is not positive, or ``beta`` is negative.

    Example:
        >>> spindle(4, alpha=1.0, beta=2.0).round(decimals=6).tolist()
        [8.0, 12.0, 8.0, 2.0]
    """
    check_whole(minimum=1, n=n)
    alpha, beta = (torch.as_tensor(number, dtype=torch.float64)[..., None] for number in (alpha, beta))
    if not (alpha > 0).all() or not (beta >= 0).all():
        msg = (
            f"`alpha` must be positive and `beta` at least 0, got {alpha.flatten().tolist()} and"
            f" {beta.flatten().tolist()}."
        )
        raise ValueError(msg)
    orders = torch.arange(1, n + 1, dtype=torch.float64)
    last = alpha * n - orders + 1
    size = torch.exp(torch.lgamma(alpha * n + 1) - torch.lgamma(orders + 1) - torch.lgamma(last))
    # lgamma is the logarithm of |Γ|, and Γ is negative between -1 and 0, -3 and -2, …
    is_negative = (last < 0) & (last.floor() % 2 != 0)
    return beta * torch.where(is_negative, 0.0, size)
