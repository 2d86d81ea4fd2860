r"""A cheap lower bound for effects that come without dual values.

At the optimum :math:`\Phi^\top y` equals the sign of every non-zero effect. The dual values that come nearest to this
for given effects, :math:`y = (\Phi \Phi^\top)^{-1} \Phi\, \mathrm{sign}(z)`, are therefore a fair guess, and any guess
is a valid certificate once scaled into feasibility.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_interactions import lattice
from lightning_interactions.extraction.programme import apply_transpose, dual_bound

__all__ = ["nearest_to_signs", "sign_dual"]

_STEPS = 50
"""Conjugate-gradient steps. The guess need not be exact: the bound it gives is honest after every step."""


def sign_dual(targets: Tensor, noise_bound: Tensor, effects: Tensor) -> Tensor:
    r"""The better of two guesses: the dual values nearest to the signs, and a single one at the largest target.

    The latter proves :math:`\|z\|_1 \ge \max|w| - \zeta`.

    Args:
        targets: :math:`w`, ``(samples, 2**n)``.
        noise_bound: :math:`\zeta`, ``(samples,)``.
        effects: :math:`z`, ``(samples, 2, 2**n)``.

    Returns:
        Dual values ``(samples, 2**n)``, 0 at the empty set; not yet feasible.

    Example:
        >>> targets = torch.tensor([[0.0, 3.0]], dtype=torch.float64)
        >>> effects = torch.tensor([[[0.0, 3.0], [0.0, 0.0]]], dtype=torch.float64)
        >>> sign_dual(targets, torch.zeros(1), effects).tolist()
        [[0.0, 1.0]]
    """
    nearest = nearest_to_signs(effects)
    largest = targets.abs().argmax(dim=-1, keepdim=True)
    single = torch.zeros_like(targets).scatter_(-1, largest, targets.gather(-1, largest).sign())
    better = dual_bound(targets, noise_bound, nearest) > dual_bound(targets, noise_bound, single)
    return torch.where(better[:, None], nearest, single)


def nearest_to_signs(effects: Tensor) -> Tensor:
    r"""Least-squares dual values :math:`\min_y \|\Phi^\top y - \mathrm{sign}(z)\|_2`.

    Conjugate gradients on the normal equations; only transforms, no matrix.

    Args:
        effects: :math:`z`, ``(samples, 2, 2**n)``.

    Returns:
        Dual values ``(samples, 2**n)``, 0 at the empty set; not yet feasible.

    Example:
        >>> nearest_to_signs(torch.tensor([[[0.0, 3.0], [0.0, 0.0]]], dtype=torch.float64)).tolist()
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
