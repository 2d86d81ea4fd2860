"""The paper's claims as statements that a run can fail, with their thresholds.

All thresholds were written down before any of the runs in ``experiments/results/`` was looked at. What was known then:
the paper's text, and a pre-study of three small networks (one seed each) that decided which runs are worth making. A
claim is judged by the numbers of a figure alone, so a verdict can be repeated from the stored results.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CLAIMS", "Claim", "Judgement", "Verdict", "combine", "is_middle"]

Verdict = Literal["holds", "partly", "does not", "not tested"]

# -- Thresholds, decided before looking ------------------------------------------------------------------------------

# "Middle orders" is the open interval (n/4, 3n/4): 3 … 7 of 10, 3 … 5 of 8. The paper says "medium", never a number;
# the middle half of the axis is the plainest reading.
MIDDLE = (0.25, 0.75)

# A well-trained network "mainly encodes low-order interactions": the paper's pictures show the peak at order 1 or 2.
LOW_ORDER = 2

# A fall or rise of the mean order below a quarter of an order is within the spread between draws of 20 to 50 samples.
MEAN_ORDER_CHANGE = 0.25

# "Matched well" is not quantified in the paper. 0.8 of the variance between orders (centred R², more severe than the
# share of the squared strength) is what a reader would still call a match by eye.
GOOD_FIT = 0.8

# "Increased along with σ": almost every pair of neighbouring σ in the right order. With four σ, 0.9 means all of them.
MONOTONE = 0.9

# "Was not affected much": the total strength of the decay stays within a fifth of the undisturbed network's.
DECAY_MOVES = 0.2

# The share of the spindle falls or rises when it changes by a tenth of the whole strength. The intervals of the share
# were thought to be about that wide; they are wider (see `experiments.doubts`).
SHARE_CHANGE = 0.1

# "Kept decreasing with the order": almost every step downwards; half as clear is called partly.
FALLS = -0.9
FALLS_PARTLY = -0.5

# The residual of Eq. 9 "is small": a fifth of the strength.
SMALL_RESIDUAL = 0.2

# Where in the overfitting phase claim 7 is made, in the order of the figure's points.
_THREE_POINTS = ("early", "intermediate", "late")

# Theorem 2.1 is an identity: nothing but rounding and the solver's stopping rule is allowed on top of the noise bound.
ROUNDING = 1e-3


@dataclass(frozen=True)
class Judgement:
    """What one run says about one claim.

    Attributes:
        values: the statistics by name; averaged over the seeds in the scorecard.
        verdict: ``"holds"``, ``"partly"``, ``"does not"`` or ``"not tested"``.
        note: what a reader must know beside the numbers; may be empty.
    """

    values: dict[str, float]
    verdict: Verdict
    note: str = ""


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    Attributes:
        label: short name in tables, e.g. ``"1"``.
        figure: where the paper shows it.
        needs: which figure's numbers it is judged by, a key of ``result["figures"]``.
        sentence: the claim.
        statistic: what is measured, and when it counts as holding.
        paper: what the paper's text says it found; it gives no numbers.
        judge: from the numbers of the figure to a judgement.
    """

    label: str
    figure: str
    needs: str
    sentence: str
    statistic: str
    paper: str
    judge: Callable[[dict[str, Any]], Judgement]


def is_middle(order: float, n_variables: int) -> bool:
    """Whether an order counts as a middle one.

    Example:
        >>> [order for order in range(1, 11) if is_middle(order, 10)]
        [3, 4, 5, 6, 7]
    """
    low, high = MIDDLE
    return low * n_variables < order < high * n_variables


def combine(verdicts: list[Verdict]) -> Verdict:
    """One verdict for several seeds: unanimous, or ``"partly"``; seeds that could not test the claim do not count.

    Example:
        >>> combine(["holds", "does not", "not tested"])
        'partly'
    """
    tested = [verdict for verdict in verdicts if verdict != "not tested"]
    if not tested:
        return "not tested"
    return tested[0] if len(set(tested)) == 1 else "partly"


def _graded(parts: list[bool], *, partly: bool | None = None) -> Verdict:
    """Holds when every part does; partly when ``partly`` says so, by default when any part does."""
    if all(parts):
        return "holds"
    return "partly" if (any(parts) if partly is None else partly) else "does not"


def _two_stages(numbers: dict[str, Any]) -> Judgement:
    untrained, end = numbers["points"][0], numbers["points"][1]
    fall = untrained["mean_order"] - end["mean_order"]
    values = {
        "peak untrained": untrained["peak_order"],
        "peak at the end of the normal phase": end["peak_order"],
        "mean order untrained": untrained["mean_order"],
        "mean order at the end of the normal phase": end["mean_order"],
    }
    parts = [
        is_middle(untrained["peak_order"], numbers["n_variables"]),
        end["peak_order"] <= LOW_ORDER,
        fall >= MEAN_ORDER_CHANGE,
    ]
    # Half a claim is a mean order that falls; a low peak alone says nothing about what training did.
    return Judgement(values, _graded(parts, partly=parts[2]))


def _emerged_in_overfitting(numbers: dict[str, Any]) -> Judgement:
    if not numbers["emerged"] or not math.isfinite(numbers["onset_epoch"]):
        return Judgement({}, "not tested", "no overfitting phase was reached")
    last = numbers["emerged"][-1]
    values = {
        "peak of ΔA": last["peak_order"],
        "R² spindle": last["spindle"]["r_squared"],
        "R² decay": last["decay"]["r_squared"],
    }
    # Shown beside, but not judged by: the same question asked in two other ways.
    for name, other in last.get("others", {}).items():
        values[f"{name}: peak"] = other["peak_order"]
        values[f"{name}: R² spindle"] = other["spindle"]["r_squared"]
        values[f"{name}: R² decay"] = other["decay"]["r_squared"]
    parts = [
        is_middle(last["peak_order"], numbers["n_variables"]),
        last["spindle"]["r_squared"] >= GOOD_FIT,
        last["spindle"]["r_squared"] > last["decay"]["r_squared"],
    ]
    return Judgement(values, _graded(parts, partly=parts[0] or (parts[1] and parts[2])))


def _emerged_under_noise(numbers: dict[str, Any]) -> Judgement:
    values: dict[str, float] = {}
    full, fitting = [], []
    for kind, found in numbers["kinds"].items():
        steps = found["steps"]
        worst = min(step["spindle"]["r_squared"] for step in steps)
        peak = median(step["peak_order"] for step in steps)
        spearman = found["spearman_total"]
        values |= {
            f"{kind}: lowest R² spindle": worst,
            f"{kind}: Spearman(σ, total)": spearman,
            f"{kind}: median peak": peak,
        }
        fitting.append(worst >= GOOD_FIT and spearman >= MONOTONE)
        full.append(fitting[-1] and is_middle(peak, numbers["n_variables"]))
    # Eq. 6 with a small α also fits a curve that falls from order 1 or 2 on; that is no spindle of middle orders.
    return Judgement(values, _graded(full, partly=any(fitting)))


def _disentangled_under_noise(numbers: dict[str, Any]) -> Judgement:
    values: dict[str, float] = {}
    grows, stays, notes = [], [], []
    for kind, found in numbers["kinds"].items():
        move = max(abs(step["decay_total"] / numbers["clean_total"] - 1) for step in found["steps"])
        spearman = found["spearman_spindle"]  # not defined where the spindle is the same at every σ
        values |= {
            f"{kind}: Spearman(σ, spindle)": spearman,
            f"{kind}: largest change of the decay": move,
        }
        grows.append(spearman >= MONOTONE)
        stays.append(move < DECAY_MOVES)
        if not math.isfinite(spearman):
            same = found["steps"][0]["spindle_total"]
            notes.append(f"{kind}: the spindle is {same:.2g} at every σ, so that there is no Spearman correlation")
    return Judgement(values, _graded([*grows, *stays], partly=any(grows)), "; ".join(notes))


def _share_over_training(numbers: dict[str, Any]) -> Judgement:
    epochs, share, order = numbers["epochs"], numbers["spindle_share"], numbers["mean_order"]
    end = numbers["reference_epoch"]
    onset = numbers["onset_epoch"]
    if not math.isfinite(onset):
        return Judgement({}, "not tested", "no overfitting phase was reached")
    at = dict(zip(epochs, zip(share, order, strict=True), strict=True))
    later = [epoch for epoch in epochs if epoch >= onset]
    rise_starts = next((epoch for epoch in epochs if epoch > end and at[epoch][0] >= SHARE_CHANGE), math.inf)
    share_later = sum(at[epoch][0] for epoch in later) / len(later)
    order_later = sum(at[epoch][1] for epoch in later) / len(later)
    values = {
        "share untrained": at[epochs[0]][0],
        "share at the end of the normal phase": at[end][0],
        "mean share in overfitting": share_later,
        "mean order: untrained": at[epochs[0]][1],
        "mean order: end of the normal phase": at[end][1],
        "mean order: overfitting": order_later,
        "epochs by which the share's rise comes before the onset (after: negative)": onset - rise_starts,
    }
    # The share is 0 at the reference by construction, so the mean order, which knows no reference, must agree.
    falls = at[epochs[0]][0] - at[end][0] >= SHARE_CHANGE and at[epochs[0]][1] - at[end][1] >= MEAN_ORDER_CHANGE
    rises = share_later - at[end][0] >= SHARE_CHANGE and order_later - at[end][1] >= MEAN_ORDER_CHANGE
    return Judgement(values, _graded([falls, rises, rise_starts <= onset], partly=falls or rises))


def _similarity(numbers: dict[str, Any]) -> Judgement:
    # The last epoch measured: the overfitted network, where the claim has most to say.
    point = numbers["points"][-1]
    spearman = point["spearman"]
    values = {
        "Spearman(order, Jaccard)": spearman,
        "Jaccard at order 1": point["similarity"][0],
        "Jaccard at the highest order with salient effects": point["similarity"][point["last_order"] - 1],
    }
    return Judgement(values, _graded([spearman <= FALLS], partly=spearman <= FALLS_PARTLY))


def _theorem(numbers: dict[str, Any]) -> Judgement:
    if not numbers["points"]:
        return Judgement({}, "not tested", "no measured epoch lies between the onset and the last one")
    values: dict[str, float] = {}
    for name, point in zip(_THREE_POINTS, numbers["points"], strict=False):
        values[f"R² {name}"] = point["r_squared"]
        values[f"R² {name}, scaling alone"] = point["r_squared_scaling"]
    fits = [point["r_squared"] >= GOOD_FIT for point in numbers["points"]]
    # The claim names three points: a run that has fewer cannot show all of it, however well they fit.
    missing = len(_THREE_POINTS) - len(fits)
    note = f"{len(fits)} of the {len(_THREE_POINTS)} points could be measured" if missing else ""
    return Judgement(values, _graded([*fits, not missing], partly=any(fits)), note)


def _residual(numbers: dict[str, Any]) -> Judgement:
    # At the reference itself the residual is 0 by construction.
    return _small(
        [
            value
            for epoch, value in zip(numbers["epochs"], numbers["relative_l1"], strict=True)
            if epoch != numbers["reference_epoch"]
        ]
    )


def _disturbed_residual(numbers: dict[str, Any]) -> Judgement:
    return _small([step["relative_l1"] for kind in numbers["kinds"].values() for step in kind["steps"]])


def _small(residuals: list[float]) -> Judgement:
    residuals = [value for value in residuals if math.isfinite(value)]
    if not residuals:
        return Judgement({}, "not tested", "nothing was measured beside the reference")
    values = {"largest relative L1": max(residuals), "median relative L1": median(residuals)}
    return Judgement(values, _graded([max(residuals) <= SMALL_RESIDUAL], partly=median(residuals) <= SMALL_RESIDUAL))


def _matching(numbers: dict[str, Any]) -> Judgement:
    ratios = [ratio for ratio in numbers["matching_ratio"] if math.isfinite(ratio)]
    if not ratios:
        return Judgement({}, "not tested", "the run allows no noise, so there is no bound to compare with")
    worst = max(ratios)
    return Judgement({"largest error relative to ζ": worst}, _graded([worst <= 1 + ROUNDING]))


def _middle_orders(n_variables: int) -> str:
    middle = [order for order in range(1, n_variables + 1) if is_middle(order, n_variables)]
    return f"{middle[0]} … {middle[-1]} of {n_variables}"


IN_THE_MIDDLE = f"strictly between n/4 and 3n/4 (orders {_middle_orders(8)}, {_middle_orders(10)})"
"""Which orders count as middle ones, in words."""

CLAIMS = (
    Claim(
        "1",
        "Fig. 2",
        "2",
        "Before training the strength peaks at middle orders; by the end of the normal phase at order 1 or 2.",
        f"peak of A⁺ + A⁻ {IN_THE_MIDDLE}, then at most {LOW_ORDER}, and the mean order falls by at least"
        f" {MEAN_ORDER_CHANGE} (partly: it falls)",
        "noise interactions of an untrained network are gradually removed; a well-trained one mainly encodes a decay."
        " An exception is named: pretrained BERT-Medium starts at low orders (Appendix F).",
        _two_stages,
    ),
    Claim(
        "2",
        "Fig. 2",
        "2",
        "The interactions that newly emerge in the overfitting phase form a spindle over the middle orders.",
        f"ΔA between the end of the normal phase and the last measurement peaks {IN_THE_MIDDLE}, Eq. 6 fits it"
        f" with R² ≥ {GOOD_FIT}, and better than Eq. 8 does (partly: the peak, or the fit). Effects that shrink count"
        " like those that grow, and normalising by order 1 makes ΔA of both signs equal there. *Not normalised* and"
        " *effect by effect* are shown beside and not judged",
        "all distributions of newly emerged interactions followed spindle-shaped distributions.",
        _emerged_in_overfitting,
    ),
    Claim(
        "3",
        "Fig. 3",
        "3",
        "Under weight noise and under FGSM the newly emerged interactions form a spindle that grows with σ.",
        f"for both: R² of Eq. 6 ≥ {GOOD_FIT} at every σ, Spearman(σ, total ΔA) ≥ {MONOTONE}, the median peak"
        f" {IN_THE_MIDDLE} (partly: R² and Spearman, for one of them). One draw of noise, scaled by σ",
        "all newly emerged interactions followed a spindle; it grew with stronger noise; Eq. 6 matched it well.",
        _emerged_under_noise,
    ),
    Claim(
        "4",
        "Figs. 4, 8",
        "8",
        "Disentangled, the spindle grows with σ while the decay is not affected much.",
        f"for both: Spearman(σ, spindle total) ≥ {MONOTONE}; the decay total stays within {DECAY_MOVES:.0%} of the"
        " undisturbed network's (partly: the spindle grows, for one of them)",
        "the spindle increased with σ; the decay was not affected a lot.",
        _disentangled_under_noise,
    ),
    Claim(
        "5",
        "Figs. 5, 9",
        "5",
        "The spindle shrinks in the normal phase and returns in the overfitting phase, no later than the loss gap.",
        f"the spindle share falls and rises by at least {SHARE_CHANGE}, the mean order by {MEAN_ORDER_CHANGE}; the"
        " share's rise is not later than the onset of the loss gap (partly: falls, or rises). The share is 0 at the end"
        " of the normal phase by construction",
        "the normal phase mainly penalised the spindle and learned a decay; overfitting learned a spindle again.",
        _share_over_training,
    ),
    Claim(
        "6",
        "Fig. 6",
        "6",
        "The similarity between interactions of training and of test samples falls with the order.",
        f"Spearman(order, Jaccard) ≤ {FALLS} (partly: ≤ {FALLS_PARTLY})",
        "the Jaccard similarity kept decreasing as the order increased.",
        _similarity,
    ),
    Claim(
        "7",
        "Fig. 7",
        "7",
        "M(δ) applied to the overfitted network's interactions matches the distributions measured before.",
        f"R² ≥ {GOOD_FIT} at an early, an intermediate and a late point of the overfitting phase (partly: at one of"
        " those that could be measured), with δ up to 1",
        "the theoretical distribution well matched the real one at three time points of the overfitting phase.",
        _theorem,
    ),
    Claim(
        "8",
        "Figs. 5, 9",
        "5",
        "Decay and spindle together explain the strength of all orders: the residual of Eq. 9 is small.",
        f"Σ|residual| / ΣA ≤ {SMALL_RESIDUAL} at every measured epoch (partly: the median)",
        "residuals are drawn in Figs. 4 and 8 (there three times enlarged) and are small.",
        _residual,
    ),
    Claim(
        "8b",
        "Figs. 4, 8",
        "8",
        "The residual is small for disturbed networks, too.",
        f"Σ|residual| / ΣA ≤ {SMALL_RESIDUAL} at every σ of both kinds (partly: the median). Added after the first"
        " results, with the threshold of claim 8",
        "the matching error is small (Section 3.2, Aspect 2, on Fig. 4).",
        _disturbed_residual,
    ),
    Claim(
        "T",
        "Theorem 2.1",
        "table",
        "The logical model gives the network's output on all 2ⁿ masked samples.",
        "the largest |v − h| over all masked samples and epochs is at most the noise bound ζ. This checks the solver,"
        " not the network",
        "an identity; the logical model predicts the network's outputs on all masked samples.",
        _matching,
    ),
)
"""Every claim that the scorecard judges, in its order."""
