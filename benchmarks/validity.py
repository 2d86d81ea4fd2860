"""Whether phase detector and disentangling are right where the truth is known; writes ``docs/validity.md``.

Every part draws its own truth, writes its figures as JSON to ``benchmarks/results`` and has a table in the document.
The rules were chosen on the random numbers of seed 0, the detector's on the stored trainings of the experiments as
well; everything reported is drawn with seed 1.

    python benchmarks/validity.py phases        # simulated loss gaps: false alarms, delay (minutes)
    python benchmarks/validity.py mixtures      # known mixtures of decay and spindle: bias, coverage (tens of minutes)
    python benchmarks/validity.py noise         # the demo network, disturbed (trains 3 networks)
    python benchmarks/validity.py early_sign    # spindle and companions before the onset (trains 12 networks)
    python benchmarks/validity.py docs          # only write the document again
"""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING, Any

from machine import machine
from validity_early_sign import early_sign
from validity_mixtures import mixtures
from validity_noise import noise
from validity_page import RESULTS, write_page
from validity_phases import phases

if TYPE_CHECKING:
    from collections.abc import Callable

REPORTED_SEED = 1
PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "phases": phases,
    "mixtures": mixtures,
    "noise": noise,
    "early_sign": early_sign,
}


def main() -> None:
    """Run one part and write the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=[*PARTS, "docs"])
    parser.add_argument("--seed", type=int, default=REPORTED_SEED)
    parser.add_argument("--repeats", type=int, help="simulations a case, or networks")
    options = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    if options.part != "docs":
        started = time.perf_counter()
        report = {"machine": machine("cpu")} | PARTS[options.part](options)
        report["seconds"] = time.perf_counter() - started
        (RESULTS / f"validity_{options.part}.json").write_text(json.dumps(report, indent=1) + "\n")
    write_page()


if __name__ == "__main__":
    main()
