r"""The decay and spindle of every measured epoch against one reference, which training itself determines.

Eq. 9 needs a network :math:`I^*` from which the decay is made, and the paper leaves open which. With the network's own
interactions the fit is perfect and says nothing (:math:`\delta \to 0`); with those of the end of the normal phase it is
identified. That network is only known afterwards, so every measured epoch is fitted anew when the reference changes; in
a long normal phase, where every epoch may be better than the last, not at every change (:data:`REFITS_PER_EPOCH`).

==============  ========================================================================================================
reference       which network :math:`I^*` is
==============  ========================================================================================================
``"onset"``     the one at the end of the normal phase (:func:`~.phases.end_of_normal_phase`), as far as it is known
``"final"``     the last measured one; known, and fitted, when the training has ended
``"current"``   the one measured itself; only with a lower bound on :math:`\delta`
interactions    any other's, measured with the same number of variables
==============  ========================================================================================================
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lightning_interactions.checks import check_ranges
from lightning_interactions.distribution.decay import Decays
from lightning_interactions.distribution.disentangle import Disentangled, disentangle
from lightning_interactions.distribution.phases import end_of_normal_phase
from lightning_interactions.distribution.strength import Effects, salient_effects, sample_order_strength
from lightning_interactions.interactions import Interactions, common_rows

__all__ = [
    "FIT_LISTS",
    "FIT_NUMBERS",
    "REFERENCES",
    "REFITS_PER_EPOCH",
    "ReferenceFits",
    "check_reference",
    "unfitted",
]

REFERENCES = ("onset", "final", "current")
"""The references that have a name."""

REFITS_PER_EPOCH = 3
"""In the normal phase earlier epochs are fitted anew while all fits so far are no more than this times the epochs. The
work so grows with the number of measurements and not with its square; what is left is done when the phase changes or
the training ends, and until then ``reference_epoch`` says which reference an epoch's fit has."""

FIT_NUMBERS = (
    "alpha",
    "beta",
    "gamma",
    "delta",
    "r_squared",
    "relative_l1",
    "spindle_share",
    "spindle_share_low",
    "spindle_share_high",
    "identified",
    "reference_epoch",
)
"""Keys of a fit that hold one number."""

FIT_LISTS = ("decay_positive", "decay_negative", "spindle", "residual_positive", "residual_negative")
"""Keys of a fit that hold one number for each order."""


class ReferenceFits:
    """Keep what fits need of every measured epoch, and fit those whose reference has changed.

    What is kept is small: the strength of each order and sample, and the effects of the few epochs that are or may
    become the reference.

    Args:
        reference: one of :data:`REFERENCES`, or interactions.
        threshold: effects of the reference up to this absolute value are left out; ``None`` takes its own, 0 none.
        delta_range: the δ allowed; needed for ``"current"``.
        bootstraps: resamplings for the intervals.

    Raises:
        ValueError: for an unknown reference, or ``"current"`` without a range of δ.

    Example:
        >>> from lightning_interactions import sparsify
        >>> early = sparsify(torch.tensor([[0.0, 1.0, 2.0, 3.5, 1.0, 2.5, 3.0, 5.0]]))
        >>> later = sparsify(torch.tensor([[0.0, 1.0, 2.0, 4.5, 1.0, 2.5, 3.5, 2.0]]))
        >>> fits = ReferenceFits()
        >>> fits.add(5, early, held_out_loss=0.4)
        >>> fits.add(10, later, held_out_loss=0.6)
        >>> changed = fits.update(onset_epoch=10)
        >>> sorted(changed), changed[10]["reference_epoch"]
        ([5, 10], 5)
        >>> fits.update(onset_epoch=10)
        {}
    """

    def __init__(
        self,
        reference: str | Interactions = "onset",
        *,
        threshold: float | None = None,
        delta_range: tuple[float, float] | None = None,
        bootstraps: int = 200,
    ) -> None:
        check_reference(reference, delta_range)
        self.reference = reference
        self.threshold = threshold
        self.options: dict[str, Any] = {"bootstraps": bootstraps}
        if delta_range is not None:
            self.options["delta_range"] = delta_range
        self._strength: dict[int, tuple[Tensor, Tensor]] = {}
        self._samples: dict[int, list[int]] = {}
        self._losses: dict[int, float] = {}
        self._candidates: dict[int, Effects] = {}
        self._fitted_with: dict[int, int | str] = {}
        self._fits = 0
        self._onset: float | None = None

    def add(self, epoch: int, interactions: Interactions, held_out_loss: float = math.nan) -> None:
        """Take in one measurement, later than all before; the last one is replaced by one of the same epoch."""
        self._strength[epoch] = sample_order_strength(interactions)
        self._samples[epoch] = interactions.sample_numbers
        self._losses[epoch] = held_out_loss
        self._fitted_with.pop(epoch, None)
        self._candidates[epoch] = Effects(interactions.and_, interactions.or_, interactions.threshold)
        wanted = self._possible_references()
        self._candidates = {epoch: self._candidates[epoch] for epoch in wanted if epoch in self._candidates}

    def update(self, onset_epoch: float | None = None, *, finished: bool = False) -> dict[int, dict[str, Any]]:
        """Fit every epoch whose reference has changed; in a long normal phase see :data:`REFITS_PER_EPOCH`.

        Args:
            onset_epoch: first epoch of the overfitting phase; ``None`` or NaN in the normal phase.
            finished: whether the training has ended.

        Returns:
            The keys of the fit, as plain data, of each epoch that was fitted. Epochs without salient effects have NaN.
        """
        found = self._find_reference(onset_epoch, finished=finished)
        if found is None:
            return {}
        epoch, reference = found
        everything = [max(self._strength)] if self.reference == "current" else sorted(self._strength)
        pending = [fitted for fitted in everything if self._fitted_with.get(fitted) != epoch]
        onset = None if onset_epoch is None or math.isnan(onset_epoch) else onset_epoch
        settled = finished or onset != self._onset
        self._onset = onset
        if not settled and self._fits + len(pending) > REFITS_PER_EPOCH * len(self._strength):
            pending = [fitted for fitted in pending if fitted not in self._fitted_with]
        changed = {}
        if not pending:
            return {}
        salient = salient_effects(reference, self.threshold)
        decays = Decays(*salient)
        for fitted in pending:
            changed[fitted] = self._fit(fitted, epoch, salient, decays)
            self._fitted_with[fitted] = epoch
        self._fits += len(pending)
        return changed

    def state_dict(self) -> dict[str, Any]:
        """What was added, as tensors and plain data."""
        return {
            "strength": {epoch: list(both) for epoch, both in self._strength.items()},
            "samples": dict(self._samples),
            "losses": dict(self._losses),
            "candidates": {epoch: _packed(effects) for epoch, effects in self._candidates.items()},
            "fitted_with": dict(self._fitted_with),
            "fits": self._fits,
            "onset": self._onset,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` returned."""
        self._strength = {epoch: (both[0], both[1]) for epoch, both in state["strength"].items()}
        self._samples = dict(state["samples"])
        self._losses = dict(state["losses"])
        self._candidates = {epoch: _unpacked(packed) for epoch, packed in state["candidates"].items()}
        self._fitted_with = dict(state["fitted_with"])
        self._fits = state["fits"]
        self._onset = state["onset"]

    def _find_reference(
        self, onset_epoch: float | None, *, finished: bool
    ) -> tuple[int | str, Interactions | Effects] | None:
        if not self._strength:
            return None
        if not isinstance(self.reference, str):
            return "given", self.reference
        if self.reference == "final" and not finished:
            return None
        epoch: int | None = max(self._strength)
        if self.reference == "onset":
            epoch = end_of_normal_phase(self._losses, self._losses.values(), onset_epoch)
        return None if epoch is None else (epoch, self._candidates[epoch])

    def _lowest_so_far(self) -> list[int]:
        """The trained epochs whose held-out loss was the smallest until then: the last before any epoch is its best."""
        lowest, found = math.inf, []
        for epoch in sorted(self._losses):
            if epoch > 0 and self._losses[epoch] < lowest:
                lowest = self._losses[epoch]
                found.append(epoch)
        return found

    def _possible_references(self) -> list[int]:
        if not isinstance(self.reference, str):
            return []
        return self._lowest_so_far() if self.reference == "onset" else [max(self._strength)]

    def _fit(
        self, epoch: int, reference_epoch: int | str, salient: tuple[Tensor, Tensor], decays: Decays
    ) -> dict[str, Any]:
        """One epoch's fit.

        Args:
            epoch: which.
            reference_epoch: where the reference comes from.
            salient: the reference's salient AND and OR effects.
            decays: made of them.
        """
        positive, negative = self._strength[epoch]
        paired = self._pair_with(reference_epoch, epoch)
        if paired is not None:
            rows, others = paired
            positive, negative = positive[rows], negative[rows]
            decays = Decays(*(effects[others] for effects in salient))
        named = {"reference_epoch": math.nan if isinstance(reference_epoch, str) else reference_epoch}
        if not (positive.sum() + negative.sum() > 0):
            return unfitted(positive.shape[1]) | named
        return _plain(disentangle(positive, negative, decays, **self.options)) | named

    def _pair_with(self, reference_epoch: int | str, epoch: int) -> tuple[list[int], list[int]] | None:
        """The rows of the samples that both have, where one lacks some; the bootstrap draws the two together."""
        own, others = self._samples[epoch], self._samples.get(reference_epoch)  # type: ignore[arg-type]
        if others is None or own == others:
            return None
        rows = common_rows(own, others)
        return rows if rows[0] else None


def check_reference(reference: str | Interactions, delta_range: tuple[float, float] | None) -> None:
    """Refuse a reference that is unknown or makes the fit meaningless, and a range that is none.

    Args:
        reference: one of :data:`REFERENCES`, or interactions.
        delta_range: the δ allowed, if a range was given.

    Raises:
        ValueError: for an unknown reference, ``"current"`` without a range of δ, or a range that is reversed or not
            positive.

    Example:
        >>> check_reference("onset", None)
        >>> check_reference("current", (0.02, 1.0))
    """
    if delta_range is not None:
        check_ranges(delta_range=delta_range)
    if isinstance(reference, Interactions):
        return
    if reference not in REFERENCES:
        known = ", ".join(map(repr, REFERENCES))
        msg = (
            f"`reference` must be one of {known} or Interactions, got {reference!r}."
            f" HINT: read stored ones with `Interactions.load(path)`."
        )
        raise ValueError(msg)
    if reference == "current" and delta_range is None:
        msg = (
            "`reference='current'` needs `delta_range=(low, high)`, got None. HINT: a network fitted to itself always"
            " succeeds, with δ → 0, unless δ has a lower bound such as 0.02."
        )
        raise ValueError(msg)


def unfitted(n_variables: int) -> dict[str, Any]:
    """The keys of a fit where there is none: NaN everywhere.

    Args:
        n_variables: number ``n`` of input variables.

    Returns:
        :data:`FIT_NUMBERS` with one NaN each, and :data:`FIT_LISTS` with ``n``.

    Example:
        >>> unfitted(2)["spindle"]
        [nan, nan]
    """
    return dict.fromkeys(FIT_NUMBERS, math.nan) | {key: [math.nan] * n_variables for key in FIT_LISTS}


def _plain(found: Disentangled) -> dict[str, Any]:
    low, high = found.intervals["spindle_share"]
    return {
        "alpha": found.alpha,
        "beta": found.beta,
        "gamma": found.gamma,
        "delta": found.delta,
        "decay_positive": found.decay[0].tolist(),
        "decay_negative": found.decay[1].tolist(),
        "spindle": found.spindle.tolist(),
        "residual_positive": found.residual[0].tolist(),
        "residual_negative": found.residual[1].tolist(),
        "r_squared": found.r_squared,
        "relative_l1": found.relative_l1,
        "spindle_share": found.spindle_share,
        "spindle_share_low": low,
        "spindle_share_high": high,
        "identified": int(found.identified),
    }


def _packed(effects: Effects) -> dict[str, Any]:
    """The effects that are not zero: few."""
    both = torch.stack([effects.and_, effects.or_])
    where = both.nonzero()
    return {
        "shape": list(both.shape),
        "where": where.to(torch.int32),
        "effects": both[tuple(where.T)],
        "threshold": effects.threshold,
    }


def _unpacked(packed: dict[str, Any]) -> Effects:
    effects = torch.zeros(packed["shape"], dtype=torch.float64)
    effects[tuple(packed["where"].long().T)] = packed["effects"]
    return Effects(effects[0], effects[1], packed["threshold"])
