r"""The decay: what is left of a converged network's interactions when its training noise is taken into account.

The matrix :math:`M(\delta) = (J^\top J + 2^n \mathrm{diag}(c))^{-1} J^\top J` with :math:`J_{TS} = [S \subseteq T]` and
:math:`c_S = 2^{|S|} \delta^2` (Theorem 2.3) is never formed. Both of its parts are Kronecker powers, of
:math:`\begin{pmatrix}2&1\\1&1\end{pmatrix}` and :math:`\mathrm{diag}(1, 2)`. With the eigenvectors :math:`V_1` of this
pair, normalised so that :math:`V_1^\top \mathrm{diag}(1, 2) V_1` is the identity, and
:math:`\lambda_S = \lambda_1^{|S|} \lambda_0^{n-|S|}`,

.. math:: M(\delta) I = V \left[ \frac{\lambda_S}{\lambda_S + 2^n \delta^2} \right] V^\top \mathrm{diag}(2^{|S|}) I,
    \qquad V = V_1 \otimes \dots \otimes V_1,

so that every :math:`\delta` costs one elementwise factor and one transform.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from lightning_interactions.lattice import Base, kronecker_power, subset_order, sum_by_order, variable_count

__all__ = ["Decays", "Shrunk", "decay", "sample_decay", "shrink"]


def decay(and_: Tensor, or_: Tensor, delta: float | Tensor, gamma: float | Tensor = 1.0) -> tuple[Tensor, Tensor]:
    r"""Strength of generalisable interactions of each order (Theorem 2.3, Eqs. 7 and 8).

    .. math:: A^{(m),\pm}(\delta, \gamma) = \gamma E_x \sum_{|S| = m} \max(\pm I^{AND}_S(\delta), 0)
        + \max(\pm I^{OR}_S(\delta), 0), \qquad I(\delta) = M(\delta) I^*

    Args:
        and_: AND effects :math:`I^*` of the reference network, ``(samples, 2**n)`` or ``(2**n,)``.
        or_: its OR effects, likewise.
        delta: :math:`\delta \ge 0`, the noise on the network's parameters; a number or a tensor ``(deltas,)``.
        gamma: :math:`\gamma \ge 0`, a number or a tensor ``(deltas,)``.

    Returns:
        ``positive, negative``: float64 ``(n,)`` each, or ``(deltas, n)``; non-negative, in the unit of the effects.

    Raises:
        ValueError: if the arrays differ in shape, or if ``delta`` or ``gamma`` is negative.

    Example:
        >>> import torch
        >>> effects = torch.tensor([0.0, 1.0, 2.0, -4.0])
        >>> positive, negative = decay(effects, torch.zeros(4), delta=0.0, gamma=2.0)
        >>> positive.round(decimals=6).tolist(), negative.round(decimals=6).tolist()
        ([6.0, 0.0], [0.0, 8.0])
    """
    gamma = torch.as_tensor(gamma, dtype=torch.float64, device=and_.device)[..., None]
    if not (gamma >= 0).all():
        msg = f"`gamma` must be at least 0, got {gamma.flatten().tolist()}."
        raise ValueError(msg)
    positive, negative = sample_decay(and_, or_, delta)
    return gamma * positive.mean(dim=-2), gamma * negative.mean(dim=-2)


def sample_decay(and_: Tensor, or_: Tensor, delta: float | Tensor) -> tuple[Tensor, Tensor]:
    r"""The strength of :func:`decay` with :math:`\gamma = 1`, sample by sample.

    Args:
        and_: AND effects :math:`I^*` of the reference network, ``(samples, 2**n)``; ``(2**n,)`` is one sample.
        or_: its OR effects, likewise.
        delta: :math:`\delta \ge 0`, a number or a tensor ``(deltas,)``.

    Returns:
        ``positive, negative``: float64 ``(samples, n)`` each, or ``(deltas, samples, n)``; non-negative, in the unit of
        the effects.

    Raises:
        ValueError: if the arrays differ in shape, their last axis is not a power of two, or ``delta`` is negative.

    Example:
        >>> import torch
        >>> effects = torch.tensor([[0.0, 1.0, 2.0, -4.0], [0.0, 3.0, 0.0, 0.0]])
        >>> positive, negative = sample_decay(effects, torch.zeros(2, 4), delta=0.0)
        >>> positive.round(decimals=6).tolist(), negative.round(decimals=6).tolist()
        ([[3.0, 0.0], [3.0, 0.0]], [[0.0, 4.0], [0.0, 0.0]])
    """
    return Decays(and_, or_).at(delta)


class Decays:
    r"""The decay of every sample of a reference for any :math:`\delta`; what does not depend on it is made once.

    Args:
        and_: AND effects :math:`I^*` of the reference network, ``(samples, 2**n)``; ``(2**n,)`` is one sample.
        or_: its OR effects, likewise.

    Raises:
        ValueError: if the arrays differ in shape, or their last axis is not a power of two.

    Example:
        >>> effects = torch.tensor([[0.0, 1.0, 2.0, -4.0], [0.0, 3.0, 0.0, 0.0]])
        >>> positive, negative = Decays(effects, torch.zeros(2, 4)).at(0.0)
        >>> positive.round(decimals=6).tolist(), negative.round(decimals=6).tolist()
        ([[3.0, 0.0], [3.0, 0.0]], [[0.0, 4.0], [0.0, 0.0]])
    """

    def __init__(self, and_: Tensor, or_: Tensor) -> None:
        if and_.shape != or_.shape:
            msg = f"`and_` and `or_` must have the same shape, got {tuple(and_.shape)} and {tuple(or_.shape)}."
            raise ValueError(msg)
        self.n_variables = variable_count(and_)
        # An OR effect is an AND effect with present and absent exchanged: the same matrix acts on both.
        self._shrunk = Shrunk(torch.stack([and_, or_]).reshape(2, -1, 1 << self.n_variables))
        self._kept: dict[tuple[float, ...], Tensor] = {}

    def at(self, delta: float | Tensor) -> tuple[Tensor, Tensor]:
        """Positive and negative strength: float64 ``(samples, n)`` each, or ``(deltas, samples, n)``."""
        shrunk = self._shrunk.at(delta)
        positive, negative = (sum_by_order(side.clamp(min=0))[..., 1:].sum(dim=-3) for side in (shrunk, -shrunk))
        return positive, negative

    def both_signs(self, delta: float | Tensor) -> Tensor:
        """Both side by side: ``(samples, 2n)``, or ``(deltas, samples, 2n)``."""
        return torch.cat(self.at(delta), dim=-1)

    def both_signs_kept(self, deltas: Tensor) -> Tensor:
        """The same, kept for the next call: for a grid on which many measurements are compared with one reference."""
        key = tuple(deltas.tolist())
        if key not in self._kept:
            self._kept = {key: self.both_signs(deltas)}
        return self._kept[key]


def shrink(effects: Tensor, delta: float | Tensor) -> Tensor:
    r"""The effects that are left under parameter noise, :math:`M(\delta) I` (Theorem 2.3), for each :math:`\delta`.

    Args:
        effects: :math:`I`, ``(..., 2**n)``.
        delta: a number, or a tensor ``(deltas,)``.

    Returns:
        float64 tensor of the shape of ``effects``, or ``(deltas, ..., 2**n)``. At :math:`\delta = 0` the effects
        themselves, up to rounding.

    Raises:
        ValueError: if ``delta`` is negative, or the last axis is not a power of two.

    Example:
        >>> import torch
        >>> shrink(torch.tensor([0.0, 0.0, 0.0, 8.0]), delta=1.0).round(decimals=3).tolist()
        [0.668, 0.573, 0.573, 0.364]
    """
    return Shrunk(effects).at(delta)


class Shrunk:
    r""":math:`M(\delta) I` of some effects :math:`I` for any :math:`\delta`; half of the work is done once.

    Args:
        effects: ``(..., 2**n)``.

    Example:
        >>> Shrunk(torch.tensor([0.0, 0.0, 0.0, 8.0])).at(1.0).round(decimals=3).tolist()
        [0.668, 0.573, 0.573, 0.364]
    """

    def __init__(self, effects: Tensor) -> None:
        n_variables = variable_count(effects)
        orders = subset_order(n_variables, effects.device)
        eigenvalues, self._vectors, transposed = _pencil()
        self._spectrum = eigenvalues[1] ** orders * eigenvalues[0] ** (n_variables - orders)
        self._coordinates = kronecker_power(transposed, effects.double() * 2.0**orders)

    def at(self, delta: float | Tensor) -> Tensor:
        """See :func:`shrink`."""
        coordinates = self._coordinates
        delta = torch.as_tensor(delta, dtype=torch.float64, device=coordinates.device)
        if not (delta >= 0).all():
            msg = f"`delta` must be at least 0, got {delta.flatten().tolist()}."
            raise ValueError(msg)
        noise = delta.square().reshape(delta.shape + (1,) * coordinates.ndim) * float(coordinates.shape[-1])
        return kronecker_power(self._vectors, coordinates * (self._spectrum / (self._spectrum + noise)))


def _pencil() -> tuple[Tensor, Base, Base]:
    """Eigenvalues of the 2×2 pair, ascending, its eigenvectors as columns, and these transposed."""
    eigenvalues, vectors = scipy.linalg.eigh(np.array([[2.0, 1.0], [1.0, 1.0]]), np.diag([1.0, 2.0]))
    (a, b), (c, d) = vectors.tolist()
    return torch.from_numpy(eigenvalues), ((a, b), (c, d)), ((a, c), (b, d))
