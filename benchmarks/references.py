"""What the fit of Eq. 9 is worth with each choice of the reference, on trainings that are stored.

    python -m experiments reproduce --size small
    python benchmarks/references.py [--runs runs]

Nothing is trained here: the interactions of every measured epoch are read, and fitted with the network at the end of
the normal phase or the last one as the reference, M acting on the salient or on all effects.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the experiments are not installed

from machine import machine  # noqa: E402
from validity_page import RESULTS, write_page  # noqa: E402

from experiments.figures.run_folder import RunFolder  # noqa: E402
from experiments.training import finished_record  # noqa: E402
from lightning_interactions import disentangle  # noqa: E402
from lightning_interactions.distribution.strength import sample_order_strength  # noqa: E402

if TYPE_CHECKING:
    from lightning_interactions.distribution.disentangle import Disentangled

REFERENCES = ("onset", "final")
EFFECTS = {"salient": None, "all": 0.0}
"""The threshold of the effects that M acts on; ``None`` is the interactions' own."""
_KEYS = (
    "median_r_squared",
    "least_r_squared",
    "width",
    "identified",
    "share_untrained",
    "share_normal_end",
    "share_last",
)


def main() -> None:
    """Fit all stored runs of small size and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs", help="folder of the runs")
    options = parser.parse_args()
    finished = [run for run in sorted(options.runs.glob("*/small-seed*")) if finished_record(run)]
    fits = [fitted for run in finished for fitted in fit_run(run)]
    report = {"machine": machine("cpu"), "rows": by_run(fits), "overall": overall(fits)}
    (RESULTS / "references.json").write_text(json.dumps(report, indent=1) + "\n")
    write_page()


def fit_run(folder: Path) -> list[dict[str, Any]]:
    """One row a choice: the fits of all epochs of a run."""
    run = RunFolder(folder)
    epochs = run.history.epochs
    normal_end = run.reference_epoch
    strengths = {epoch: sample_order_strength(run.interactions(epoch)) for epoch in epochs}
    rows = []
    for name, own in zip(REFERENCES, (normal_end, epochs[-1]), strict=True):
        reference = run.interactions(own)
        for effects, threshold in EFFECTS.items():
            fits = {e: disentangle(*strengths[e], reference, threshold=threshold) for e in epochs}
            others = [fits[epoch] for epoch in epochs if epoch != own]
            rows.append(
                {"run": folder.parent.name, "seed": int(folder.name.removeprefix("small-seed")), "reference": name}
                | {"effects": effects, "fits": others}
                | {"median_r_squared": statistics.median(fit.r_squared for fit in others)}
                | {"least_r_squared": min(fit.r_squared for fit in others)}
                | {"width": statistics.median(map(width, others))}
                | {"identified": statistics.mean(map(float, (fit.identified for fit in others)))}
                | {"share_untrained": fits[epochs[0]].spindle_share, "share_last": fits[epochs[-1]].spindle_share}
                | {"share_normal_end": fits[normal_end].spindle_share}
            )
    print(folder.parent.name, folder.name, flush=True)
    return rows


def width(fit: Disentangled) -> float:
    """Of the interval of the spindle share."""
    low, high = fit.intervals["spindle_share"]
    return high - low


def by_run(fits: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The seeds of a run side by side."""
    rows = []
    for run, reference, effects in dict.fromkeys((row["run"], row["reference"], row["effects"]) for row in fits):
        mine = [row for row in fits if (row["run"], row["reference"], row["effects"]) == (run, reference, effects)]
        rows.append(
            {"run": run, "reference": reference, "effects": effects, "seeds": [row["seed"] for row in mine]}
            | {key: [row[key] for row in mine] for key in _KEYS}
        )
    return rows


def overall(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All fits of all runs, for each choice."""
    found = []
    for reference in REFERENCES:
        for effects in EFFECTS:
            fits = [fit for r in rows if (r["reference"], r["effects"]) == (reference, effects) for fit in r["fits"]]
            found.append(
                {"reference": reference, "effects": effects, "fits": len(fits)}
                | {"median_r_squared": statistics.median(fit.r_squared for fit in fits)}
                | {"width": statistics.median(map(width, fits))}
                | {"identified": statistics.mean(float(fit.identified) for fit in fits)}
            )
    return found


if __name__ == "__main__":
    main()
