"""When a training shows that it overfits: the sign of each measure, over all stored results."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["early_signs", "signs_answer", "signs_table"]


def early_signs(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For every run with an overfitting phase, the first measured epoch at which each sign is seen.

    The signs: the held-out loss lies 5 % above its smallest value so far, the phase detector says so, the onset that it
    then dates, the mean order lies 0.25 above its smallest value so far, the spindle share of Fig. 5 has come back to
    0.1 after the reference. And of :func:`~experiments.confidence.held_out_confidence`, where a result has it: the
    overconfidence exceeds 0.05, the margin lies 0.02 below its largest value so far. A sign that is never seen is NaN,
    one that was not looked for is ``None``.
    """
    found = []
    for result in results:
        history, over = result["history"], result["figures"]["5"]
        onset = history[-1]["onset_epoch"]
        if not math.isfinite(onset):
            continue
        epochs = [row["epoch"] for row in history]
        after = [
            epoch
            for epoch, share in zip(over["epochs"], over["spindle_share"], strict=True)
            if epoch > over["reference_epoch"] and share >= 0.1  # noqa: PLR2004
        ]
        found.append(
            {
                "run": f"{result['run']} ({result['size']}, seed {result['seed']})",
                "held-out loss rises": _first_rise(epochs, [row["held_out_loss"] for row in history], factor=1.05),
                "the detector says so": next(
                    (float(row["epoch"]) for row in history if row["phase"] == "overfitting"), math.nan
                ),
                "onset that it dates": float(onset),
                "mean order rises": _first_rise(epochs, [row["mean_order"] for row in history], add=0.25),
                "spindle share returns": float(after[0]) if after else math.nan,
            }
            | _signs_of_confidence(result.get("confidence"))
        )
    return found


def _signs_of_confidence(records: list[dict[str, float]] | None) -> dict[str, float | None]:
    if not records:
        return dict.fromkeys(("overconfidence", "margin falls"))
    epochs = [int(record["epoch"]) for record in records]
    return {
        "overconfidence": next((float(row["epoch"]) for row in records if row["overconfidence"] > 0.05), math.nan),  # noqa: PLR2004
        "margin falls": _first_rise(epochs, [-record["margin"] for record in records], add=0.02),
    }


def signs_answer(signs: list[dict[str, Any]]) -> str:
    """How often each measure is seen before, with or after the rise of the held-out loss."""

    def pairs_of(name: str) -> list[tuple[float, float]]:
        looked_for = [sign for sign in signs if sign[name] is not None]
        return [(_or_never(sign[name]), _or_never(sign["held-out loss rises"])) for sign in looked_for]

    def compared(name: str) -> str:
        pairs = pairs_of(name)
        earlier, later = sum(own < loss for own, loss in pairs), sum(own > loss for own, loss in pairs)
        neither = sum(own == loss == math.inf for own, loss in pairs)
        together = len(pairs) - earlier - later - neither
        said = f"before it in {earlier}, with it in {together} and after it or never in {later}"
        return f"{said} (in {neither} neither does)" if neither else said

    simpler = ""
    if looked_for := len(pairs_of("overconfidence")):
        simpler = (
            f" Of simpler measures, over {looked_for} of these runs: held-out samples are predicted"
            f" with overconfidence {compared('overconfidence')}; their margin falls {compared('margin falls')}."
        )
    return (
        f"Of {len(signs)} runs with an onset the mean order rises, compared with the held-out loss,"
        f" {compared('mean order rises')}; the spindle share returns {compared('spindle share returns')}. How often"
        f" either does so without an onset is in `docs/validity.md`.{simpler}"
    )


def _or_never(epoch: float) -> float:
    return epoch if math.isfinite(epoch) else math.inf


def signs_table(signs: list[dict[str, Any]]) -> list[str]:
    """The lines of a Markdown table of :func:`early_signs`, and what its columns mean."""
    names = [name for name in signs[0] if name != "run"]
    rows = [f"| {sign['run']} | {' | '.join(_epoch(sign[name]) for name in names)} |" for sign in signs]
    return [
        "The first measured epoch at which each sign is seen: the held-out loss 5 % above its smallest value so",
        "far, the phase detector's word and the onset that it then dates, the mean order 0.25 above its smallest",
        "value so far, a spindle share of 0.1 after the reference; over all held-out samples the mean probability",
        "of the predicted class 0.05 above the accuracy (overconfidence), and the mean difference between the",
        "probability of the true class and the largest other one 0.02 below its largest value so far (margin).",
        "Epochs are measured with gaps, so a sign between two measurements counts for the later one. The onset is",
        "known with hindsight alone. So is the end of the normal phase, the reference of the share: it is 0 there",
        "and cannot be the first sign. A dash stands for what was not looked for.",
        "",
        f"| run | {' | '.join(names)} |",
        "|---" * (1 + len(names)) + "|",
        *rows,
    ]


def _first_rise(epochs: list[int], values: list[float], factor: float = 1.0, add: float = 0.0) -> float:
    lowest = math.inf
    for epoch, value in zip(epochs, values, strict=True):
        if value > lowest * factor + add:
            return float(epoch)
        lowest = min(lowest, value)
    return math.nan


def _epoch(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f}" if math.isfinite(value) else "never"
