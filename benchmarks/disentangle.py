"""How long the decay matrix and the disentangling take; a thread count is a process of its own.

    python benchmarks/disentangle.py

50 samples of n = 10 with the full grid and 200 bootstrap draws must take no more than 3 s on two cores, and M(δ) on
65,536 subsets less than 1 s. Writes ``benchmarks/results/disentangle.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the package need not be installed

from child import child  # noqa: E402
from machine import processor  # noqa: E402

from lightning_interactions.distribution.decay import Decays, sample_decay, shrink  # noqa: E402
from lightning_interactions.distribution.disentangle import disentangle  # noqa: E402
from lightning_interactions.distribution.spindle import spindle  # noqa: E402
from lightning_interactions.distribution.strength import Effects  # noqa: E402
from lightning_interactions.lattice import subset_order  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = Path(__file__).parent / "results" / "disentangle.json"
N_VARIABLES, N_SAMPLES, BOOTSTRAPS = 10, 50, 200
LIMITS = {"disentangle_s": 3.0, "decay_matrix_65536_s": 1.0}
REPEATS = 5


def main() -> None:
    """Time both with one thread and with two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
        print(json.dumps(timings()))
        return
    rows = []
    for threads in (1, 2):
        rows.append({"threads": threads} | child(__file__, "--threads", str(threads)))
        for name, limit in LIMITS.items():
            print(f"{threads} threads, {name}: {rows[-1][name]:.3f}, {rows[-1][name] / limit:.2f} of the limit")
    report = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "load": os.getloadavg()[0],  # others on the machine make every time longer
        "samples": N_SAMPLES,
        "n": N_VARIABLES,
        "bootstraps": BOOTSTRAPS,
        "limits": LIMITS,
        "rows": rows,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")


def timings() -> dict[str, float]:
    """Median seconds of both; and of a fit whose reference was used before, as in most of a monitor's."""
    positive, negative, reference = mixture(N_VARIABLES, N_SAMPLES)
    decays = Decays(reference.and_, reference.or_)
    large = torch.randn(2**16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return {
        "disentangle_s": seconds(lambda: disentangle(positive, negative, reference, bootstraps=BOOTSTRAPS)),
        "disentangle_again_s": seconds(lambda: disentangle(positive, negative, decays, bootstraps=BOOTSTRAPS)),
        "decay_matrix_65536_s": seconds(lambda: shrink(large, 0.01)),
    }


def mixture(n_variables: int, n_samples: int) -> tuple[Tensor, Tensor, Effects]:
    """Positive and negative strength of each sample, and the reference whose decay it holds beside a spindle."""
    generator = torch.Generator().manual_seed(0)
    orders = subset_order(n_variables).double()
    effects = torch.randn(2, n_samples, 2**n_variables, dtype=torch.float64, generator=generator)
    effects = torch.where(orders > 0, effects * torch.exp(-orders), 0.0)
    positive, negative = (side + 0.01 * spindle(n_variables, 0.9) for side in sample_decay(*effects, 0.02))
    return positive, negative, Effects(effects[0], effects[1])


def seconds(work: Callable[[], object]) -> float:
    """Median of some runs after one to warm up."""
    work()
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


if __name__ == "__main__":
    main()
