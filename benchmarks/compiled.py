"""What ``torch.compile`` of the layers after the mask gains, and what the first call costs.

The engine runs on one image or sentence with and without it, by turns; tables of local values are used as always. A
ratio is that of the best times; on a CPU processor time on one thread. The first call, which compiles from scratch, is
given by the clock. Each network has a process of its own.

    python benchmarks/compiled.py [--quick] [--device cuda]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))  # not installed

from child import child
from machine import machine
from masking import engine_time
from networks import NETWORKS, set_up

from lightning_interactions.masking.choose import Choice, choose_way
from lightning_interactions.masking.compiled import uncompilable
from lightning_interactions.masking.ways import Compiled

RESULTS = Path(__file__).parent / "results"
CASES = ("LeNet", "MiniLM, 24 tokens", "VGG-11 at 32", "AlexNet at 224")
ROUNDS = 3


def main() -> None:
    """Run the benchmark, or one network of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smallest network only; writes no results")
    parser.add_argument("--device", default="cpu", help="where the networks run")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(run_network(options.case, options.device)))
        return
    rows = []
    for name in CASES[:1] if options.quick else CASES:
        words = ("--case", name, "--device", options.device)
        rows.append(child(__file__, *words, TORCHINDUCTOR_FORCE_DISABLE_CACHES="1"))
        print(json.dumps(rows[-1], indent=1))
        if not options.quick:
            RESULTS.mkdir(exist_ok=True)
            report = {"machine": machine(options.device) | {"threads": 1}, "rows": rows}
            (RESULTS / f"compiled_{options.device}.json").write_text(json.dumps(report, indent=1) + "\n")


def run_network(name: str, device: str) -> dict[str, Any]:
    """Both ways of one network."""
    case = NETWORKS[name]
    n = 10 if device == "cuda" else case.n
    if device == "cpu":
        torch.set_num_threads(1)
    model, inputs, variables = set_up(case, device, 1, n)
    started = time.perf_counter()
    engine_time(model, inputs, variables, device, compiled=True)
    first = time.perf_counter() - started
    times = [
        [
            engine_time(model, inputs, variables, device, choose=trusting, compiled=compiled)[0]
            for compiled in (False, True)
        ]
        for _ in range(ROUNDS)
    ]
    best = [min(one[way] for one in times) for way in range(2)]
    return {
        "network": name,
        "device": device,
        "n": n,
        "as_it_is_s": best[0],
        "compiled_s": best[1],
        "ratio": best[1] / best[0],
        "first_call_s": first - best[0],
        "worked": model not in uncompilable,
        "load": os.getloadavg()[0],
    }


def trusting(*arguments: Any, compiled: object) -> Choice:
    """How the engine chooses if it does not run the first chunk of a measurement both ways.

    Among the chunks of the paper's 50 samples that one does not show.
    """
    return choose_way(*arguments, compiled=Compiled if compiled else None)


if __name__ == "__main__":
    main()
