r"""The published recipe: plain gradient descent with momentum on the split (Appendix D).

.. math::
    u^{AND} = \tfrac12 (w - \delta) + \gamma, \quad u^{OR} = \tfrac12 (w - \delta) - \gamma, \qquad
    \min_{\gamma,\, |\delta| \le \zeta} \sum_{S \neq \varnothing} |I^{AND}_S| + |I^{OR}_S|

Published figures come from it, so it is kept for comparison; it stops well above the optimum. Two things are made
definite: :math:`\delta_\varnothing = 0`, because the bias of the logical model is exactly :math:`v(x_\varnothing)`; and
:math:`w = v - v(x_\varnothing)` stands for :math:`v`, which changes no effect.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_interactions import lattice
from lightning_interactions.checks import check_whole
from lightning_interactions.extraction.threads import check_stop

__all__ = ["half_split", "sgd"]

_MOMENTUM = 0.9
_RATE_FALLS_TO = 0.1


def half_split(targets: Tensor) -> Tensor:
    r"""The split with :math:`\gamma = 0` and :math:`\delta = 0`: half of every value by AND, half by OR effects.

    Args:
        targets: :math:`w`, ``(samples, 2**n)``.

    Returns:
        Effects ``(samples, 2, 2**n)``.

    Example:
        >>> half_split(torch.tensor([[0.0, 2.0]])).tolist()
        [[[0.0, 1.0], [0.0, 1.0]]]
    """
    return _effects(targets, torch.zeros_like(targets), torch.zeros_like(targets))


def sgd(
    targets: Tensor,
    noise_bound: Tensor,
    *,
    steps: int = 10_000,
    learning_rate: float = 1e-5,
) -> tuple[Tensor, Tensor]:
    r"""Run the recipe on every sample of the batch; the samples do not influence each other.

    The subgradient is written out with transforms. With :math:`\mu` the Möbius transform and the signs :math:`s` of the
    effects, :math:`g^{AND} = \mu^\top s^{AND}`, :math:`g^{OR} = -R \mu^\top s^{OR}` (:math:`R` reverses the axis),
    :math:`\partial_\gamma = g^{AND} - g^{OR}` and :math:`\partial_\delta = -\tfrac12 (g^{AND} + g^{OR})`.

    Args:
        targets: :math:`w`, float64 ``(samples, 2**n)``, in the unit of the network output, to which the learning rate
            refers.
        noise_bound: :math:`\zeta`, ``(samples,)``.
        steps: number of steps.
        learning_rate: at the start; it falls geometrically to a tenth over the run.

    Returns:
        Effects ``(samples, 2, 2**n)``, which keep to the noise bound, and steps ``(samples,)``.

    Example:
        >>> targets = torch.tensor([[0.0, 2.0, 3.0, 5.0]], dtype=torch.float64)
        >>> effects, steps = sgd(targets, torch.zeros(1), steps=2000, learning_rate=1e-3)
        >>> effects.abs().sum().round(decimals=1).item()
        5.0
    """
    check_whole(minimum=1, hint="10,000 are published.", steps=steps)
    if not 0 < learning_rate < math.inf:
        msg = f"`learning_rate` must be a positive number, got {learning_rate!r}. HINT: 1e-5 is published."
        raise ValueError(msg)
    box = noise_bound[:, None].repeat(1, targets.shape[-1])
    box[:, 0] = 0
    gamma, delta = torch.zeros_like(targets), torch.zeros_like(targets)
    gamma_velocity, delta_velocity = torch.zeros_like(targets), torch.zeros_like(targets)
    for step in range(steps):
        check_stop()
        rate = learning_rate * _RATE_FALLS_TO ** (step / steps)
        delta = delta.clamp(-box, box)
        and_signs, or_signs = _effects(targets, gamma, delta).sign().flip(-1).unbind(dim=1)
        and_slope = lattice.moebius(and_signs).flip(-1)
        or_slope = -lattice.moebius(or_signs)
        gamma_velocity = _MOMENTUM * gamma_velocity + and_slope - or_slope
        delta_velocity = _MOMENTUM * delta_velocity - (and_slope + or_slope) / 2
        gamma = gamma - rate * gamma_velocity
        delta = delta - rate * delta_velocity
    delta = delta.clamp(-box, box)
    return _effects(targets, gamma, delta), torch.full((len(targets),), steps, device=targets.device)


def _effects(targets: Tensor, gamma: Tensor, delta: Tensor) -> Tensor:
    half = (targets - delta) / 2
    return torch.stack([lattice.and_interactions(half + gamma), lattice.or_interactions(half - gamma)], dim=1)
