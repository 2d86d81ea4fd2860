"""How much faster two processes explain the same samples than one, each with one thread.

Both ranks run the real way: ``explain`` with the callback's ``share_out`` over gloo. They take turns: rank 0 alone with
all samples; both with their shares; both with half of the samples each and nothing to do with one another, which is
what this machine's cores, caches and memory let two processes have at best. The results are compared. A ratio is that
of the best times of several rounds. Beside the clock it is given for processor time, that of the slower rank: where
others use the machine, too, two processes do not get two cores, and the clock says little.

A GPU works by itself while its process waits. Some networks here do just that: they wait for each masked input for as
long as a GPU would take, so that what is left is what the sharing itself costs: the rehearsal on each rank, the solver,
the gather.

    python benchmarks/ranks.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]  # neither is installed

from machine import machine  # noqa: E402
from networks import NETWORKS, set_up  # noqa: E402

from lightning_interactions import Columns, explain  # noqa: E402
from lightning_interactions.callback.ranks import share_out  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightning_interactions import Interactions
    from lightning_interactions.masking.variables import Variables

RESULTS = Path(__file__).parent / "results"
ROUNDS = 3
WAITING = {"a network that waits 2 ms an input": 2e-3, "a network that waits 5 ms an input": 5e-3}
"""Seconds: a VGG-16 at 224 pixels takes about as long on a GPU of 15 and of 6 TFLOP/s."""

CASES = {**dict.fromkeys(WAITING, (8, 12)), "MiniLM, 24 tokens": (6, 8), "VGG-11 at 32": (6, 16)}
"""Variables and samples of each network."""


class Waiting(nn.Module):
    """Takes its time and none of the processor's, as a network on a GPU does."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.layer = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 3))

    def forward(self, rows: Tensor) -> Tensor:
        """Logits ``(B, 3)`` after a while for each row."""
        time.sleep(self.seconds * len(rows))
        return self.layer(rows)


def main() -> None:
    """Run the benchmark, or one rank of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one that waits only; writes no results")
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    names = list(WAITING)[:1] if options.quick else list(CASES)
    if options.rank is not None:
        run_rank(options.rank, names)
        return
    rows = two_processes(["--quick"] if options.quick else [])
    print(json.dumps(rows, indent=1))
    if not options.quick:
        RESULTS.mkdir(exist_ok=True)
        result = {"machine": machine("cpu") | {"threads": 1}, "rows": rows}
        (RESULTS / "ranks_cpu.json").write_text(json.dumps(result, indent=1) + "\n")


def two_processes(words: list[str]) -> list[dict[str, Any]]:
    """What rank 0 prints as its last line."""
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29551",
        "WORLD_SIZE": "2",
    }
    ranks = [
        subprocess.Popen(  # noqa: S603  # our own file
            [sys.executable, __file__, "--rank", str(rank), *words], env=environment, stdout=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    try:
        output, _ = ranks[0].communicate()
    finally:
        ranks[1].kill() if ranks[0].returncode else ranks[1].wait()
    return json.loads(output.splitlines()[-1])


def run_rank(rank: int, names: list[str]) -> None:
    """One of the two processes; rank 0 prints."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", rank=rank, world_size=2, timeout=timedelta(minutes=20))
    rows = []
    for name in names:
        rows.append(compare(name, rank))
        print(rows[-1] or "", end="\n" * (rank == 0), file=sys.stderr)
    distributed.barrier()
    if rank == 0:
        print(json.dumps(rows))
    distributed.destroy_process_group()


def compare(name: str, rank: int) -> dict[str, Any]:
    """One network: alone, shared, and side by side."""
    n, samples = CASES[name]
    model, inputs, variables = prepared(name, samples, n)
    half = slice(0, samples // 2) if rank == 0 else slice(samples // 2, samples)
    explained(model, inputs, variables, slice(0, 1))
    alone = shared = None
    names = ("one_s", "two_s", "side_by_side_s", "one_processor_s", "two_processor_s")
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(ROUNDS):
        busy = time.process_time()
        if rank == 0:
            alone = timed(lambda: explained(model, inputs, variables, slice(None)), times["one_s"])
        times["one_processor_s"].append(slower(time.process_time() - busy))
        busy = time.process_time()
        shared = timed(lambda: explained(model, inputs, variables, slice(None), share_out), times["two_s"])
        times["two_processor_s"].append(slower(time.process_time() - busy))
        distributed.barrier()
        own: list[float] = []
        timed(lambda: explained(model, inputs, variables, half), own)
        times["side_by_side_s"].append(slower(own[0]))
    distributed.barrier()
    if alone is None or shared is None:
        return {}
    best = {key: min(values) for key, values in times.items()}
    return {
        "network": name,
        "n": n,
        "samples": samples,
        **best,
        "times_less_processor_time": best["one_processor_s"] / best["two_processor_s"],
        "times_faster": best["one_s"] / best["two_s"],
        "side_by_side_times_faster": best["one_s"] / best["side_by_side_s"],
        "largest_difference": max((getattr(alone, key) - getattr(shared, key)).abs().max().item() for key in RESULT),
        "load": os.getloadavg()[0],
    }


RESULT = ("values", "and_", "or_")


def prepared(name: str, samples: int, n: int) -> tuple[nn.Module, Any, Variables]:
    """A network, inputs and variables; the same on both ranks."""
    if name not in WAITING:
        return set_up(NETWORKS[name], "cpu", samples, n)
    torch.manual_seed(0)
    return Waiting(WAITING[name]), torch.randn(samples, n), Columns(n, baseline=0.0)


def explained(
    model: nn.Module, inputs: Any, variables: Variables, rows: slice, shared: Callable[..., Any] | None = None
) -> Interactions:
    """The interactions of some of the samples."""
    chosen = {key: value[rows] for key, value in inputs.items()} if isinstance(inputs, dict) else inputs[rows]
    count = len(next(iter(chosen.values())) if isinstance(chosen, dict) else chosen)
    options = {} if shared is None else {"share_out": shared}
    return explain(model, chosen, torch.zeros(count), variables, **options)


def timed(run: Callable[[], Interactions], seconds: list[float]) -> Interactions:
    """What a call returns; how long it took is added to a list."""
    started = time.perf_counter()
    found = run()
    seconds.append(time.perf_counter() - started)
    return found


def slower(seconds: float) -> float:
    """The larger of both ranks' numbers."""
    number = torch.tensor(seconds, dtype=torch.float64)
    distributed.all_reduce(number, distributed.ReduceOp.MAX)
    return number.item()


if __name__ == "__main__":
    main()
