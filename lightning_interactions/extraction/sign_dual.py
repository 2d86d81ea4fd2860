r"""A cheap lower bound for effects that come without dual values.

At the optimum :math:`\Phi^\top y` equals the sign of every non-zero effect. The dual values that come nearest to this
for given effects, :math:`y = (\Phi \Phi^\top)^{-1} \Phi\, \mathrm{sign}(z)`, are therefore a fair guess, and any guess
is a valid certificate once scaled into feasibility.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_interactions import lattice
from lightning_interactions.extraction.programme import apply_transpose

__all__ = ["sign_dual"]

_STEPS = 50
"""Conjugate-gradient steps. The guess need not be exact: the bound it gives is honest after every step."""


def sign_dual(effects: Tensor) -> Tensor:
    r"""Approximate least-squares dual values :math:`\min_y \|\Phi^\top y - \mathrm{sign}(z)\|_2`.

    Conjugate gradients on the normal equations; only transforms, no matrix.

    Args:
        effects: :math:`z`, ``(samples, 2, 2**n)``.

    Returns:
        Dual values ``(samples, 2**n)``, 0 at the empty set; not yet feasible.

    Example:
        >>> sign_dual(torch.tensor([[[0.0, 3.0], [0.0, 0.0]]], dtype=torch.float64)).tolist()
        [[0.0, 0.5]]
    """
    gradient = lattice.reconstruct(*effects.sign().unbind(dim=1))
    duals = torch.zeros_like(gradient)
    direction = gradient
    power = (gradient**2).sum(dim=-1, keepdim=True)
    for _ in range(_STEPS):
        image = apply_transpose(direction)
        # A sample that is solved exactly has nothing left to move.
        length = power / (image**2).sum(dim=(1, 2))[:, None].clamp(min=torch.finfo(power.dtype).tiny)
        duals = duals + length * direction
        gradient = gradient - length * lattice.reconstruct(*image.unbind(dim=1))
        previous, power = power, (gradient**2).sum(dim=-1, keepdim=True)
        direction = gradient + power / previous.clamp(min=torch.finfo(power.dtype).tiny) * direction
    return duals
