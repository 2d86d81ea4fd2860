r"""Newly emerged interactions: what later training, or a disturbance, adds to those that a network had.

The paper means two different things by the word. Between two checkpoints it is the change of the strength of each order
(Section 2.2.1); between a network and its disturbed copy it is the strength of the change of each single effect (Eq.
5). The second can be large where the first is 0: effects that replace each other leave the strength as it is.

To either, the spindle (Eq. 6) and, where a reference is given, the decay (Eq. 8) are fitted each on its own, so that
one can see which of the two it resembles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import scipy.optimize
import torch
from torch import Tensor

from lightning_interactions.checks import check_ranges
from lightning_interactions.distribution.decay import Decays
from lightning_interactions.distribution.spindle import spindle
from lightning_interactions.distribution.strength import (
    check_strength,
    order_strength,
    salient,
    salient_effects,
    signed_strength,
)
from lightning_interactions.interactions import check_same_n_variables, common_rows
from lightning_interactions.masking.devices import new_tensors_on_cpu

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lightning_interactions.interactions import Interactions

__all__ = [
    "Emerged",
    "ShapeFit",
    "emerged_between",
    "emerged_under_noise",
    "fit_decay",
    "fit_spindle",
]

_GRID = 61
_DELTA_RANGE = (1e-6, 1.0)


@dataclass(frozen=True, eq=False)
class ShapeFit:
    r"""One of the two shapes, fitted to a distribution over orders by least squares.

    Attributes:
        shape: :math:`\alpha` of a spindle, :math:`\delta` of a decay.
        size: :math:`\beta` of a spindle, :math:`\gamma` of a decay.
        positive: the fitted strength of each order, ``(n,)``.
        negative: likewise.
        r_squared: the share of the variance over orders and signs that the fit explains,
            :math:`1 - \sum (A - \hat A)^2 / \sum (A - \bar A)^2`; NaN where the strength is the same everywhere.
    """

    shape: float
    size: float
    positive: Tensor
    negative: Tensor
    r_squared: float


@dataclass(frozen=True, eq=False)
class Emerged:
    r"""Newly emerged strength of each order, and what it looks like.

    Attributes:
        positive: :math:`\Delta A^{(m),+}`, ``(n,)``.
        negative: :math:`\Delta A^{(m),-}`, likewise, as an amount.
        spindle: the spindle fitted to both; ``None`` where nothing has emerged.
        decay: the decay of the reference fitted to both; ``None`` without a reference, or where nothing has emerged. By
            :func:`emerged_under_noise` with either sign, the better one: effects that grow and effects that shrink
            are both changes of the decay.
    """

    positive: Tensor
    negative: Tensor
    spindle: ShapeFit | None
    decay: ShapeFit | None

    @property
    def total(self) -> float:
        """The newly emerged strength of all orders and both signs."""
        return (self.positive + self.negative).sum().item()

    def as_record(self) -> dict[str, float]:
        """Total, parameters and fits as plain numbers for a log; NaN where there is no fit."""

        def of(fit: ShapeFit | None, field: str) -> float:
            return math.nan if fit is None else getattr(fit, field)

        return {
            "emerged_total": self.total,
            "emerged_alpha": of(self.spindle, "shape"),
            "emerged_beta": of(self.spindle, "size"),
            "emerged_spindle_r_squared": of(self.spindle, "r_squared"),
            "emerged_decay_r_squared": of(self.decay, "r_squared"),
        }


def emerged_between(
    earlier: Interactions,
    later: Interactions,
    *,
    threshold: float | None = None,
    normalize: bool = False,
    reference: Interactions | None = None,
) -> Emerged:
    r"""The change of the strength of each order between two checkpoints (Section 2.2.1).

    .. math:: \Delta A^{(m),\pm} = |A^{(m),\pm}_{later} - A^{(m),\pm}_{earlier}|

    Args:
        earlier: usually at the end of the normal phase.
        later: usually in the overfitting phase.
        threshold: see :func:`~.strength.order_strength`.
        normalize: see :func:`~.strength.order_strength`; takes out the growth of the network's outputs.
        reference: a network whose decay is fitted for comparison.

    Returns:
        the newly emerged strength, in the unit of the effects or of :math:`Z`, and the two shapes fitted to it.

    Raises:
        ValueError: if ``n`` differs, or where the strength is not finite: without samples, or normalised without a
            salient interaction of order 1.

    Example:
        >>> from lightning_interactions import sparsify
        >>> early = sparsify(torch.tensor([[0.0, 1.0, 2.0, 3.0]]))
        >>> late = sparsify(torch.tensor([[0.0, 1.0, 2.0, 7.0]]))
        >>> emerged_between(early, late).total > 3
        True
    """
    check_same_n_variables(earlier.n_variables, later=later, **({} if reference is None else {"reference": reference}))
    before, after = (order_strength(found, threshold, normalize) for found in (earlier, later))
    positive, negative = ((b - a).abs() for a, b in zip(before, after, strict=True))
    if not (positive + negative).isfinite().all():
        msg = (
            "The strength of `earlier` or `later` is not finite. HINT: nothing of order 1 is salient, which leaves no"
            " scale for `normalize=True`, or there are no samples."
        )
        raise ValueError(msg)
    return _described(positive, negative, reference)


def emerged_under_noise(
    clean: Interactions,
    disturbed: Interactions,
    *,
    threshold: float | None = None,
    reference: Interactions | None = None,
) -> Emerged:
    r"""The strength of the change of each effect between a network and its disturbed copy (Eq. 5).

    .. math:: \Delta A^{(m),\pm} = E_x \sum_{|S| = m} \max(\pm \Delta I^{AND}_S, 0) + \max(\pm \Delta I^{OR}_S, 0),
        \qquad \Delta I_S = I_S - I_{S,noise}

    With this sign, which is the paper's, an effect that the disturbance adds counts as negative strength where it is
    positive, and the other way round.

    Args:
        clean: interactions of the network.
        disturbed: with :func:`~lightning_interactions.masking.weight_noise.weight_noise` on its parameters, or on
            samples that :func:`~lightning_interactions.masking.fgsm.fgsm` has moved, with the same variables. Samples
            that could be explained only once are left out.
        threshold: changes up to this absolute value are left out: ``None`` takes the threshold of ``clean``, because
            two solutions of a linear programme also differ by their rounding; 0 keeps all.
        reference: a network whose decay is fitted for comparison; often ``clean``.

    Returns:
        the newly emerged strength, in the unit of the effects, and the two shapes fitted to it.

    Raises:
        ValueError: if ``n`` or the samples differ, or the variables of a sample.

    Example:
        >>> from lightning_interactions import sparsify
        >>> clean = sparsify(torch.tensor([[0.0, 1.0, 2.0, 3.0]]), solver="none")
        >>> noisy = sparsify(torch.tensor([[0.0, 1.0, 4.0, 5.0]]), solver="none")
        >>> emerged_under_noise(clean, noisy).negative.round(decimals=6).tolist()
        [2.0, 0.0]
    """
    check_same_n_variables(
        clean.n_variables, disturbed=disturbed, **({} if reference is None else {"reference": reference})
    )
    rows, others = _same_samples(clean, disturbed)
    _check_same_variables(clean, disturbed, rows, others)
    change = clean.and_[rows] - disturbed.and_[others], clean.or_[rows] - disturbed.or_[others]
    positive, negative = signed_strength(*salient(*change, clean.threshold if threshold is None else threshold))
    return _described(positive.mean(dim=0), negative.mean(dim=0), reference, either_sign=True)


@new_tensors_on_cpu()
def fit_spindle(positive: Tensor, negative: Tensor, *, alpha_range: tuple[float, float] = (0.1, 1.5)) -> ShapeFit:
    r"""Fit the spindle of Eq. 6 alone, by least squares over :math:`\alpha` and :math:`\beta \ge 0`.

    Args:
        positive: strength of orders ``1 … n``, ``(n,)``.
        negative: likewise, as an amount.
        alpha_range: the :math:`\alpha` allowed.

    Returns:
        the fit: :math:`\alpha`, :math:`\beta`, both curves and :math:`R^2`.

    Raises:
        ValueError: for strength that is not finite or all zero, shapes that differ, or a reversed range.

    Example:
        >>> curve = spindle(6, alpha=0.8, beta=2.0)
        >>> fit = fit_spindle(curve, curve)
        >>> round(fit.shape, 3), round(fit.size, 3), round(fit.r_squared, 6)
        (0.8, 2.0, 1.0)
    """
    check_ranges(alpha_range=alpha_range)

    def curves(alphas: Tensor) -> Tensor:
        curve = spindle(len(positive), alphas)
        return torch.cat([curve, curve], dim=-1)

    return _fit(positive, negative, curves, alpha_range, logarithmic=False)


@new_tensors_on_cpu()
def fit_decay(
    positive: Tensor,
    negative: Tensor,
    reference: Interactions,
    *,
    threshold: float | None = None,
    delta_range: tuple[float, float] = _DELTA_RANGE,
) -> ShapeFit:
    r"""Fit the decay of Eq. 8 alone, by least squares over :math:`\delta` and :math:`\gamma \ge 0`.

    Args:
        positive: strength of orders ``1 … n``, ``(n,)``.
        negative: likewise, as an amount.
        reference: :math:`I^*`.
        threshold: effects of the reference up to this absolute value are left out; ``None`` takes its own.
        delta_range: the :math:`\delta` allowed.

    Returns:
        the fit: :math:`\delta`, :math:`\gamma`, both curves and :math:`R^2`.

    Raises:
        ValueError: for strength that is not finite or all zero, shapes that differ, a reversed range, or a reference
            of another ``n``.

    Example:
        >>> from lightning_interactions import sparsify
        >>> from lightning_interactions.distribution.decay import decay
        >>> reference = sparsify(torch.tensor([[0.0, 1.0, 2.0, 3.5, 1.0, 2.5, 3.0, 5.0]]))
        >>> fit = fit_decay(*decay(reference.and_, reference.or_, delta=0.1, gamma=2.0), reference, threshold=0.0)
        >>> round(fit.shape, 3), round(fit.size, 3), round(fit.r_squared, 6)
        (0.1, 2.0, 1.0)
    """
    check_same_n_variables(len(positive), reference=reference)
    check_ranges(delta_range=delta_range)
    (fit,) = _fit_decays([(positive, negative)], reference, threshold, delta_range)
    return fit


@new_tensors_on_cpu()
def _fit_decays(
    distributions: Sequence[tuple[Tensor, Tensor]],
    reference: Interactions,
    threshold: float | None = None,
    delta_range: tuple[float, float] = _DELTA_RANGE,
) -> list[ShapeFit]:
    """The decay of one reference fitted to several distributions; its curves on the grid, where all begin, once."""
    decays = Decays(*salient_effects(reference, threshold))

    def curves(deltas: Tensor) -> Tensor:
        made = decays.both_signs_kept if len(deltas) > 1 else decays.both_signs
        return made(deltas).mean(dim=1)

    return [_fit(*both, curves, delta_range, logarithmic=True) for both in distributions]


def _described(
    positive: Tensor, negative: Tensor, reference: Interactions | None, *, either_sign: bool = False
) -> Emerged:
    """The two shapes, fitted to what has emerged.

    Args:
        positive: ``(n,)``.
        negative: ``(n,)``.
        reference: whose decay is fitted.
        either_sign: whether the decay may have its signs turned round.
    """
    if not (positive + negative).any():
        return Emerged(positive, negative, spindle=None, decay=None)
    decays = []
    if reference is not None:
        turned = [(negative, positive)] * either_sign
        straight, *others = _fit_decays([(positive, negative), *turned], reference)
        decays = [straight, *(replace(fit, positive=fit.negative, negative=fit.positive) for fit in others)]
    return Emerged(
        positive,
        negative,
        spindle=fit_spindle(positive, negative),
        decay=max(decays, key=lambda fit: fit.r_squared, default=None),
    )


def _fit(
    positive: Tensor,
    negative: Tensor,
    curves: Callable[[Tensor], Tensor],
    bounds: tuple[float, float],
    *,
    logarithmic: bool,
) -> ShapeFit:
    """Least squares over a shape, on a grid and then around its best point, and a size, which has a closed form.

    Args:
        positive: ``(n,)``.
        negative: ``(n,)``.
        curves: shapes ``(k,)`` to curves of size 1, ``(k, 2n)``.
        bounds: of the shape.
        logarithmic: whether the grid is.
    """
    if positive.shape != negative.shape or positive.ndim != 1:
        msg = (
            f"`positive` and `negative` must both have shape (n,), got {tuple(positive.shape)} and"
            f" {tuple(negative.shape)}."
        )
        raise ValueError(msg)
    strength = torch.cat([positive, negative]).double()
    check_strength(strength)
    low, high = (math.log(bound) for bound in bounds) if logarithmic else bounds

    def shapes_at(places: Tensor) -> Tensor:
        return (places.exp() if logarithmic else places).clamp(*bounds)

    def sizes_and_losses(places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = curves(shapes_at(places))
        # Where a curve is zero everywhere, no size of it explains anything.
        norm = found.square().sum(dim=-1)
        sizes = torch.where(norm > 0, (found @ strength / norm).clamp(min=0), 0.0)
        return found, sizes, (strength - sizes[:, None] * found).square().sum(dim=-1)

    def loss(place: float) -> float:
        return sizes_and_losses(torch.tensor([place], dtype=torch.float64))[2].item()

    grid = torch.linspace(low, high, _GRID, dtype=torch.float64)
    best = int(sizes_and_losses(grid)[2].argmin())
    around = grid[max(best - 1, 0)].item(), grid[min(best + 1, _GRID - 1)].item()
    refined = scipy.optimize.minimize_scalar(loss, bounds=around, method="bounded", options={"xatol": 1e-9}).x
    place = torch.tensor([min(grid[best].item(), float(refined), key=loss)], dtype=torch.float64)
    curve, size, left = sizes_and_losses(place)
    spread = (strength - strength.mean()).square().sum().item()
    up, down = (size[:, None] * curve)[0].chunk(2)
    return ShapeFit(
        shape=shapes_at(place).item(),
        size=size.item(),
        positive=up,
        negative=down,
        r_squared=1 - left.item() / spread if spread > 0 else math.nan,
    )


def _same_samples(clean: Interactions, disturbed: Interactions) -> tuple[list[int], list[int]]:
    """Rows of the two that belong to the same samples."""
    known, others = (found.provenance.get("samples") for found in (clean, disturbed))
    if known is None or others is None:
        if len(clean) != len(disturbed) or not len(clean):
            msg = (
                f"`clean` and `disturbed` must hold the same samples, at least one, got {len(clean)} and"
                f" {len(disturbed)}."
            )
            raise ValueError(msg)
        return list(range(len(clean))), list(range(len(clean)))
    rows, matching = common_rows(known, others)
    if not rows:
        msg = f"`clean` and `disturbed` must have samples in common, got {known[:5]} … and {others[:5]} …."
        raise ValueError(msg)
    return rows, matching


def _check_same_variables(clean: Interactions, disturbed: Interactions, rows: list[int], others: list[int]) -> None:
    before, after = (found.provenance.get("draws") for found in (clean, disturbed))
    if before is None or after is None:
        return
    for row, other in zip(rows, others, strict=True):
        one, two = ([list(place) for place in draw["positions"]] for draw in (before[row], after[other]))
        if one != two:
            msg = (
                f"A sample must have the same input variables in `clean` and in `disturbed`, got {one} and {two}."
                f" HINT: what is drawn depends on the sample's content; explain both with `AsDrawn` of"
                f" `lightning_interactions.masking.fixed`."
            )
            raise ValueError(msg)
