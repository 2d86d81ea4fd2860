"""A finished network, disturbed: what becomes of spindle and decay."""

from __future__ import annotations

import math
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scipy.stats import spearmanr
from watched_quickstart import train

from lightning_interactions import explain
from lightning_interactions.distribution.disentangle import disentangle
from lightning_interactions.distribution.phases import end_of_normal_phase
from lightning_interactions.distribution.segmentation import segment
from lightning_interactions.distribution.strength import sample_order_strength
from lightning_interactions.interactions import Interactions
from lightning_interactions.masking.fgsm import fgsm
from lightning_interactions.masking.weight_noise import weight_noise
from lightning_interactions.run_files import interactions_file

if TYPE_CHECKING:
    import argparse

__all__ = ["noise"]

SIGMAS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Parameter noise, relative to the root mean square of each tensor."""
EPSILONS = (2 / 255, 4 / 255, 8 / 255, 16 / 255)
"""FGSM steps on the inputs."""


def noise(options: argparse.Namespace) -> dict[str, Any]:
    """The finished network, disturbed: does the spindle grow with σ while the decay stays, for each kind of I*?"""
    rows = []
    for seed in range(options.repeats or 3):
        with tempfile.TemporaryDirectory() as folder:
            module, monitor = train(Path(folder), seed)
            epochs = monitor.history.epochs
            onset = segment(monitor.history).onset_epoch
            normal_end = end_of_normal_phase(epochs, monitor.history.column("held_out_loss"), onset)
            references = {
                "onset": Interactions.load(interactions_file(monitor.folder, normal_end)),
                "final": Interactions.load(interactions_file(monitor.folder, epochs[-1])),
            }
        inputs, targets = monitor.held_out.inputs, monitor.held_out.targets
        measured = {}
        for sigma in SIGMAS:
            with weight_noise(module, sigma, relative=True, seed=seed):
                measured["weight noise", sigma] = explain(module, inputs, targets, monitor.variables)
        for epsilon in EPSILONS:
            moved = fgsm(module, inputs, targets, epsilon)
            measured["FGSM", epsilon] = explain(module, moved, targets, monitor.variables)
        measured["FGSM", 0.0] = measured["weight noise", 0.0]
        for (kind, sigma), found in sorted(measured.items()):
            for name, reference in references.items():
                for threshold, which in ((None, "salient"), (0.0, "all")):
                    fit = disentangle(*sample_order_strength(found), reference, threshold=threshold)
                    rows.append(
                        {"seed": seed, "kind": kind, "sigma": sigma, "reference": name, "effects": which}
                        | {"spindle": 2 * fit.spindle.sum().item(), "decay": fit.decay.sum().item()}
                        | {"spindle_share": fit.spindle_share, "identified": int(fit.identified)}
                        | {"r_squared": fit.r_squared, "normal_end": normal_end}
                    )
        print(f"noise: network {seed} done", flush=True)
    return {"rows": rows, "summary": noise_summary(rows)}


def noise_summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each kind of disturbance and each option, over the networks."""
    summary = []
    for kind in ("weight noise", "FGSM"):
        for reference in ("onset", "final"):
            for effects in ("salient", "all"):
                mine = [r for r in rows if (r["kind"], r["reference"], r["effects"]) == (kind, reference, effects)]
                correlations, changes = [], []
                for seed in sorted({row["seed"] for row in mine}):
                    own = sorted((r for r in mine if r["seed"] == seed), key=lambda r: r["sigma"])
                    correlations.append(float(spearmanr([r["sigma"] for r in own], [r["spindle"] for r in own])[0]))
                    changes.append(
                        max(abs(r["decay"] / own[0]["decay"] - 1) for r in own) if own[0]["decay"] else math.nan
                    )
                summary.append(
                    {"kind": kind, "reference": reference, "effects": effects, "networks": len(correlations)}
                    | {"spearman": correlations, "largest_decay_change": changes}
                    | {"median_r_squared": statistics.median(r["r_squared"] for r in mine)}
                    | {"identified": statistics.mean(r["identified"] for r in mine)}
                )
    return summary
