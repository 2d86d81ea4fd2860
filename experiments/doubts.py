"""What makes a verdict doubtful: controls that were thought of after the first results had been seen.

Verdicts keep to the thresholds of :mod:`experiments.claims`, which were written down before. A doubt changes no
verdict; it stands beside it, and whether a control shows one is decided here by numbers of the stored results alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from experiments.claims import FALLS_PARTLY, GOOD_FIT, SMALL_RESIDUAL
from experiments.figures.fits import spearman

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["doubts", "learned"]

# A reference has learned when it has made half of the way from the untrained held-out loss to the lowest one.
LEARNED = 0.5


def doubts(claim: str, result: dict[str, Any]) -> list[str]:
    """The doubts about one run's verdict.

    Args:
        claim: the label of the claim.
        result: what one run has left, as :func:`~experiments.results.load_results` returns it.

    Returns:
        a sentence for each control that shows one.
    """
    found = (control(result) for control in _CONTROLS.get(claim, ()))
    return [sentence for sentence in found if sentence]


def learned(result: dict[str, Any]) -> tuple[float, float, float]:
    """The held-out loss of the untrained network, of the reference, and the lowest that was measured."""
    losses = _held_out_losses(result)
    reference = int(result["figures"]["2"]["reference_epoch"])
    return losses[min(losses)], losses[reference], losses[_lowest(losses)]


def _reference_has_hardly_learned(result: dict[str, Any]) -> str:
    untrained, reference, lowest = learned(result)
    if untrained - reference >= LEARNED * (untrained - lowest):
        return ""
    return (
        f"the reference network had hardly learned: held-out loss {reference:.2f}, untrained {untrained:.2f}, at best"
        f" {lowest:.2f}"
    )


def _held_out_loss_still_falls(result: dict[str, Any]) -> str:
    losses, onset = _held_out_losses(result), result["figures"]["5"]["onset_epoch"]
    best = _lowest(losses)
    if not best > onset:
        return ""
    return f"the held-out loss still fell after the onset ({onset:.0f}), which the gap alone decides: lowest at {best}"


def _few_shares_are_identified(result: dict[str, Any]) -> str:
    found = result["figures"]["5"]
    onset = found["onset_epoch"]
    later = [known for epoch, known in zip(found["epochs"], found["identified"], strict=True) if epoch >= onset]
    first = "" if found["identified"][0] else "the untrained share is not identified"
    few = f"{sum(later)} of {len(later)} shares in overfitting are identified" if 2 * sum(later) < len(later) else ""
    return "; ".join(part for part in (first, few) if part)


def _few_disturbed_shares_are_identified(result: dict[str, Any]) -> str:
    steps = _disturbed(result)
    known = sum(step["identified"] for step in steps)
    return f"{known} of {len(steps)} shares are identified" if 2 * known < len(steps) else ""


def _the_fit_leaves_much(result: dict[str, Any]) -> str:
    steps = _disturbed(result)
    large = sum(step["relative_l1"] > SMALL_RESIDUAL for step in steps)
    return f"Eq. 9 leaves more than {SMALL_RESIDUAL:.0%} of the strength at {large} of {len(steps)} σ" if large else ""


def _training_samples_differ_as_much(result: dict[str, Any]) -> str:
    point = result["figures"]["6"]["points"][-1]
    if not point["halves"]:
        return "too few samples of a class to compare training samples with each other"
    between, within = (point["halves"][kind] for kind in ("between", "within"))
    orders = [order for order, amount in enumerate(within) if amount > 0]
    falls = spearman(orders, [between[order] / within[order] for order in orders])
    if falls <= FALLS_PARTLY:
        return ""
    low, high = orders[0], orders[-1]
    return (
        f"it falls among training samples alone, too: {within[low]:.2f} to {within[high]:.2f}, against"
        f" {between[low]:.2f} to {between[high]:.2f} for training and test ({point['halves']['samples']} samples of a"
        f" class each); Spearman(order, ratio of the two) {falls:.2f}"
    )


def _scaling_alone_does_it(result: dict[str, Any]) -> str:
    points = result["figures"]["7"]["points"]
    if not points or not all(point["r_squared_scaling"] >= GOOD_FIT for point in points):
        return ""
    return "γ alone passes at every point, without M(δ)"


def _delta_is_larger_than_the_papers(result: dict[str, Any]) -> str:
    points = result["figures"]["7"]["points"]
    lost = [point for point in points if point["r_squared"] >= GOOD_FIT and point["r_squared_appendix_h"] < GOOD_FIT]
    if not lost:
        return ""
    named = ", ".join(f"{point['r_squared_appendix_h']:.2f} at epoch {point['epoch']}" for point in lost)
    return f"with δ ≤ 0.001, as in Appendix H, R² is below {GOOD_FIT}: {named}"


def _disturbed(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for kind in result["figures"]["8"]["kinds"].values() for step in kind["steps"]]


def _held_out_losses(result: dict[str, Any]) -> dict[int, float]:
    losses = {row["epoch"]: row["held_out_loss"] for row in result["history"]}
    return {epoch: loss for epoch, loss in losses.items() if math.isfinite(loss)}


def _lowest(losses: dict[int, float]) -> int:
    return min(losses, key=losses.__getitem__)


_CONTROLS: dict[str, tuple[Callable[[dict[str, Any]], str], ...]] = {
    "2": (_reference_has_hardly_learned, _held_out_loss_still_falls),
    "3": (_reference_has_hardly_learned,),
    "4": (_reference_has_hardly_learned, _few_disturbed_shares_are_identified, _the_fit_leaves_much),
    "5": (_reference_has_hardly_learned, _held_out_loss_still_falls, _few_shares_are_identified),
    "6": (_training_samples_differ_as_much,),
    "7": (_held_out_loss_still_falls, _scaling_alone_does_it, _delta_is_larger_than_the_papers),
}
