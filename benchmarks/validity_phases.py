"""The phase detector on simulated loss gaps: false alarms, delay, and the onset it dates."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any

import numpy as np
from detector_rules import LIMIT, LIMIT_FAMILIES, LIMIT_RUNS, RULES, limit_rule
from simulated_gaps import FAMILIES, LENGTHS, Curve, simulate

from lightning_interactions.distribution.segmentation import segment

if TYPE_CHECKING:
    import argparse

__all__ = ["phases"]


def phases(options: argparse.Namespace) -> dict[str, Any]:
    """Every rule on every family and length, and on the runs of all lengths together."""
    rows = []
    everything: dict[tuple[str, str], tuple[list[Curve], list[Any]]] = {}
    for length, count in LENGTHS.items():
        for number, family in enumerate(FAMILIES):
            generator = np.random.default_rng([options.seed, length, number])
            curves = [simulate(family, length, generator) for _ in range(min(options.repeats or count, count))]
            for rule, answer in RULES.items():
                answers = [answer(curve.held_out, curve.gap) for curve in curves]
                rows.append({"family": family, "length": length, "rule": rule} | score(curves, answers))
                kept = everything.setdefault((family, rule), ([], []))
                kept[0].extend(curves)
                kept[1].extend(answers)
            if any(curve.onset is not None for curve in curves) and family != "double descent":
                rows[-len(RULES)] |= offline_score(curves[:200])
            if family in LIMIT_FAMILIES:
                answers = [limit_rule(curve, generator) for curve in curves[:LIMIT_RUNS]]
                rows.append({"family": family, "length": length, "rule": LIMIT} | score(curves[:LIMIT_RUNS], answers))
            print(rows[-len(RULES) - (family in LIMIT_FAMILIES)], flush=True)
    rows += [
        {"family": family, "length": "all", "rule": rule} | score(curves, answers)
        for (family, rule), (curves, answers) in everything.items()
    ]
    return {"seed": options.seed, "families": FAMILIES, "rows": rows}


def score(curves: list[Curve], answers: list[tuple[int | None, int | None, str]]) -> dict[str, Any]:
    """False alarms: detections where there is no onset, or before it. Delay: as a share of the run, missed: ∞."""
    early, delays, errors, back = 0, [], [], 0
    for curve, (detected, dated, phase) in zip(curves, answers, strict=True):
        length, onset = len(curve.gap), curve.onset
        back += phase == "normal"
        if detected is not None and (onset is None or detected < onset):
            early += 1
        elif onset is not None:
            delays.append(math.inf if detected is None else (detected - onset) / length)
            if dated is not None:
                errors.append(abs(dated - onset) / length)
    median = statistics.median(delays) if delays else None
    return {
        "n": len(curves),
        "false_alarms": early / len(curves),
        "missed": sum(math.isinf(delay) for delay in delays) / len(delays) if delays else None,
        "median_delay": None if median is None or math.isinf(median) else median,
        "median_onset_error": statistics.median(errors) if errors else None,
        "normal_at_the_end": back / len(curves),
    }


def offline_score(curves: list[Curve]) -> dict[str, float]:
    """How near, and how often inside its interval, the onset that ``segment`` finds afterwards is."""
    errors, covered = [], []
    for curve in curves:
        found = segment(range(len(curve.gap)), curve.gap)
        if found.onset_epoch is not None and found.onset_interval is not None and curve.onset is not None:
            errors.append(abs(found.onset_epoch - curve.onset) / len(curve.gap))
            covered.append(found.onset_interval[0] <= curve.onset <= found.onset_interval[1])
    return {
        "offline_onset_error": statistics.median(errors) if errors else math.nan,
        "offline_coverage": statistics.mean(covered) if covered else math.nan,
    }
