"""How much more than the bare network the masking engine costs, and how much memory it takes.

Each network is run on all masked versions of some images or sentences: by the engine; by the engine without its tables
of local values; by the bare layers after the mask on as many random maps, at the best of several batch sizes; and as a
whole on as many random inputs. They take turns, so that a busy machine is busy for all of them; a ratio is that of the
best times of several rounds. On a CPU they run on one thread, and time is the process's own. Each network has a process
of its own, so that its peak memory is its own, too.

On a CPU the large networks are given fewer variables than the paper's ten; with ten the engine alone is run on one
sample, beside the bare layers on a part of as many inputs. The engine first compares its ways of running the network on
about 13 masked inputs. Ratios are given without that time and with it: on the samples that were run, and, counted up,
on the paper's 50 samples with 2**10 masks each. With it, the tables of the first sample are counted
twice, for the comparison makes them and keeps them.

Peak memory is that of one image explained whole, with all 2**10 masks and the solver, in a process of its own.

    python benchmarks/masking.py [--quick] [--device cuda]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from child import child
from machine import machine
from networks import NETWORKS, Network, Tokens, bare_suffix, random_inputs, set_up
from resources import now, peak_memory, resident
from tables import print_table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lightning_interactions.masking.choose import Choice, choose_way
from lightning_interactions.masking.feature_map import FeatureMapPatches
from lightning_interactions.masking.forward import values
from lightning_interactions.masking.network import call_network
from lightning_interactions.masking.observe import observing
from lightning_interactions.masking.ways import Split
from lightning_interactions.sparsify import output_scale, sparsify

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightning_interactions.masking.variables import Variables

RESULTS = Path(__file__).parent / "results"
PAPER_SAMPLES, PAPER_MASKS = 50, 2**10
"""Of one measurement with the paper's settings."""

ROUNDS = (1, 8)
"""At least, and at most."""

SECONDS = 12.0
"""After which no further round begins."""

SENTENCES, LONGEST = (23, 27, 31, 35, 42), 50
"""Tokens of the sentences of SST-2 that have ten meaningful words, deciles 1, 3, 5, 7 and 9, and of the longest among
50 of them, to which all are padded."""

without_tables = partial(choose_way, allow=(Split,))
"""How the engine chooses where it may make no tables of local values."""


QUICK = ("LeNet",)
NOISE_RATIO = 0.02
BUDGET_MB = 2e9 / 2**20
"""Two gigabytes, in the unit of the other numbers."""
LARGE = "VGG-16 at 224"
MEMORY = ((0, True, 10), (0, False, 10), (8, False, 10), (1, False, 10), (32, False, 5))
"""How its memory is measured: chunk (0 is automatic), with tables, variables. Without tables a mask takes half a second
on one thread; the last shows what a larger chunk takes, for which one chunk is enough."""

COLUMNS = {
    "network": "{}",
    "n": "{}",
    "samples": "{}",
    "ms_per_masked_input": "{:.3g}",
    "engine_over_suffix": "{:.2f}",
    "with_first_use_over_suffix": "{:.2f}",
    "without_tables_over_suffix": "{:.2f}",
    "at_n_10_over_suffix": "{:.3f}",
    "paper_run_with_first_use_over_suffix": "{:.3f}",
    "engine_over_full": "{:.2f}",
    "prefix_share_of_flops": "{:.2f}",
    "first_use_s": "{:.3g}",
    "first_use_share_of_paper_run": "{:.4f}",
    "peak_mb": "{:.0f}",
    "load": "{:.1f}",
}
"""What the terminal shows of each network."""


def main() -> None:
    """Run the benchmark, or one network of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smallest network only; writes no results")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where the networks run")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory is not None:
        print(json.dumps(peak_of(NETWORKS[options.case], options.device, MEMORY[options.memory])))
    elif options.case:
        print(json.dumps(run_network(options.case, options.device)))
    else:
        report(options.device, quick=options.quick)


def report(device: str, *, quick: bool) -> None:
    """Every network in a process of its own; a table and a file."""
    if device == "cpu":
        torch.set_num_threads(1)  # as in the processes that measure
    rows = []
    for name in QUICK if quick else NETWORKS:
        rows.append(child(__file__, "--case", name, "--device", device))
        print(rows[-1], file=sys.stderr)
        if not quick:
            write({"machine": machine(device), "rows": rows}, device)  # a long benchmark may be interrupted
    print_table(rows, COLUMNS, machine(device))
    if quick:
        return
    memory = [child(__file__, "--case", LARGE, "--memory", str(one), "--device", device) for one in range(len(MEMORY))]
    write({"machine": machine(device), "rows": rows, "memory of VGG-16 at 224": memory}, device)
    for row in memory:
        print(row)


def write(result: dict[str, Any], device: str) -> None:
    """The file of results."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"masking_{device}.json").write_text(json.dumps(result, indent=1) + "\n")


def run_network(name: str, device: str) -> dict[str, Any]:
    """Time and memory of one network."""
    case = NETWORKS[name]
    n, samples = (10, 10) if device == "cuda" else (case.n, case.samples)
    if device == "cpu":
        torch.set_num_threads(1)
    model, inputs, variables = set_up(case, device, samples, n)
    peak = peak_memory(lambda: values(model, inputs, torch.zeros(samples), variables, variables.draw(inputs)), device)
    suffix, maps = bare_suffix(model, case, device)
    whole = partial(call_network, model)
    rows, sizes = samples * 2**n, case.batch_sizes_on(device)
    with observing(model):
        by_size = times_by_size(suffix, maps, sizes, device)
        best = min((size for size in sizes if size <= max(rows, sizes[0])), key=by_size.__getitem__)
        images = random_inputs(case, 1, device)
        rounds: list[dict[str, float]] = []
        began = now(device)
        while len(rounds) < ROUNDS[0] or (len(rounds) < ROUNDS[1] and now(device) - began < SECONDS):
            engine, probe = engine_time(model, inputs, variables, device)
            plain, _ = engine_time(model, inputs, variables, device, choose=without_tables)
            last, _ = engine_time(
                model, inputs, variables, device, choose=without_tables, channels_last=case.layer is not None
            )
            bare = bare_time(suffix, maps, best, rows, device)
            full = bare_time(whole, images, best, rows, device)
            times = {"engine_s": engine, "plain_s": plain, "channels_last_s": last, "probe_s": probe}
            rounds.append(times | {"suffix_s": bare, "full_s": full})
        ten = engine_at_ten(case, model, suffix, maps, best, device)
        embedding = embedding_share(model, images, best, device)
    padded = padding_saves(model, device) if case.layer is None else None
    fastest = {key: min(one[key] for one in rounds) for key in rounds[0]}
    flops = [count_flops(lambda: suffix(maps)), count_flops(lambda: whole(images))]
    per_sample = PAPER_MASKS / rows
    one = ten or AtTen(per_sample * fastest["engine_s"], per_sample * fastest["suffix_s"], fastest["probe_s"])
    return {
        "network": name,
        "device": device,
        "n": n,
        "samples": samples,
        "rounds": len(rounds),
        "batch_size": best,
        "bare_ms_by_batch_size": {size: 1e3 * seconds for size, seconds in by_size.items()},
        "ms_per_masked_input": 1e3 * fastest["engine_s"] / rows,
        "engine_over_suffix": fastest["engine_s"] / fastest["suffix_s"],
        "without_tables_over_suffix": fastest["plain_s"] / fastest["suffix_s"],
        "channels_last_over_without_tables": fastest["channels_last_s"] / fastest["plain_s"],
        "with_first_use_over_suffix": (fastest["engine_s"] + fastest["probe_s"]) / fastest["suffix_s"],
        "at_n_10_over_suffix": None if ten is None else ten.engine_s / ten.suffix_s,
        "at_n_10_with_first_use_over_suffix": None if ten is None else ten.with_first_use(samples=1),
        "at_n_10_s": None if ten is None else ten.engine_s,
        "first_use_s": one.first_use_s,
        "first_use_share_of_paper_run": one.first_use_s / (PAPER_SAMPLES * one.engine_s + one.first_use_s),
        "paper_run_with_first_use_over_suffix": one.with_first_use(PAPER_SAMPLES),
        "engine_over_full": fastest["engine_s"] / fastest["full_s"],
        "without_tables_over_full": fastest["plain_s"] / fastest["full_s"],
        "median_engine_over_suffix": statistics.median(one["engine_s"] / one["suffix_s"] for one in rounds),
        "median_without_tables_over_suffix": statistics.median(one["plain_s"] / one["suffix_s"] for one in rounds),
        "embedding_share_of_full": embedding,
        "without_padding_over_with": padded,
        "prefix_share_of_flops": 1 - flops[0] / flops[1],
        "peak_mb": peak,
        "load": os.getloadavg()[0],
    }


def engine_time(
    model: nn.Module,
    inputs: Any,
    variables: Variables,
    device: str,
    *,
    choose: Callable[..., Choice] = choose_way,
    **options: Any,
) -> tuple[float, float]:
    """Seconds that the engine takes without and for its first comparison."""
    probe = 0.0

    def timed(*arguments: Any, **settings: Any) -> Choice:
        nonlocal probe
        started = now(device)
        choice = choose(*arguments, **settings)
        choice.way.forget()  # its table of the first sample is work of the loop
        probe = now(device) - started
        return choice

    draws = variables.draw(inputs)
    started = now(device)
    values(model, inputs, torch.zeros(len(draws)), variables, draws, choose=timed, **options)
    return now(device) - started - probe, probe


class AtTen(NamedTuple):
    """Seconds with the paper's ten variables on one sample: of the engine, of the bare layers on as many inputs."""

    engine_s: float
    suffix_s: float
    first_use_s: float

    def with_first_use(self, samples: int) -> float:
        """The ratio of engine and bare layers on some samples that are run together."""
        return (samples * self.engine_s + self.first_use_s) / (samples * self.suffix_s)


def engine_at_ten(
    case: Network, model: nn.Module, suffix: Callable[[Any], Any], maps: Any, batch_size: int, device: str
) -> AtTen | None:
    """The paper's ten variables; ``None`` where a network has no layer to mask."""
    if case.layer is None:
        return None
    torch.manual_seed(1)
    variables = FeatureMapPatches(f"features.{case.layer}", grid=8, border=1, n_variables=10)
    inputs = random_inputs(case, 1, device)
    before, (engine, first_use), after = (
        bare_time(suffix, maps, batch_size, batch_size, device),
        engine_time(model, inputs, variables, device),
        bare_time(suffix, maps, batch_size, batch_size, device),
    )
    return AtTen(engine, min(before, after) / batch_size * PAPER_MASKS, first_use)


def times_by_size(run: Callable[[Any], Any], one: Any, sizes: tuple[int, ...], device: str) -> dict[int, float]:
    """Seconds for one row in batches of each size; the best of two turns."""
    turns = [[bare_time(run, one, size, 2 * size, device) / (2 * size) for size in sizes] for _ in range(2)]
    return dict(zip(sizes, map(min, *turns), strict=True))


def embedding_share(model: nn.Module, one: Any, size: int, device: str) -> float | None:
    """What part of a sentence's forward pass its embeddings take: what computing them once would save at most."""
    if not isinstance(one, dict):
        return None
    network: Any = model
    rows = 32 * size
    embeddings = bare_time(lambda batch: network.bert.embeddings(batch["input_ids"]), one, size, rows, device)
    return embeddings / bare_time(partial(call_network, model), one, size, rows, device)


def padding_saves(model: nn.Module, device: str) -> float:
    """Time of the engine on sentences of different length, relative to the same with their padding run along."""
    attended = (torch.arange(LONGEST) < torch.tensor(SENTENCES)[:, None]).long().to(device)
    ids = torch.randint(1000, 20000, attended.shape, device=device)
    inputs = [{"input_ids": ids, "attention_mask": mask} for mask in (attended, torch.ones_like(attended))]
    times = [[engine_time(model, one, Tokens(5), device)[0] for one in inputs] for _ in range(3)]
    without, with_ = (min(column) for column in zip(*times, strict=True))
    return without / with_


def bare_time(run: Callable[[Any], Any], one: Any, size: int, rows: int, device: str) -> float:
    """Seconds for ``rows`` rows in batches of ``size``."""
    many = {key: value.repeat(size, 1) for key, value in one.items()} if isinstance(one, dict) else None
    batch = one.repeat(size, *[1] * (one.ndim - 1)) if many is None else many
    with torch.no_grad():
        run(batch)
        started = now(device)
        for _ in range(-(-rows // size)):
            run(batch)
        return (now(device) - started) * rows / (-(-rows // size) * size)


def count_flops(run: Callable[[], Any]) -> int:
    """Floating-point operations of a call."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    return counter.get_total_flops()


def peak_of(case: Network, device: str, setting: tuple[int, bool, int]) -> dict[str, Any]:
    """Peak memory of explaining one image, and what it was after the first chunk: further masks must not add to it."""
    size, tables, n = setting
    model, inputs, variables = set_up(case, device, 1, n)
    first: list[float] = []
    weights = sum(tensor.numel() * tensor.element_size() for tensor in model.parameters()) / 2**20

    def whole() -> float:
        return torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else resident("VmHWM")

    def output(logits: Tensor, _targets: Tensor) -> Tensor:
        first.append(whole())
        return logits[:, 0]

    def run() -> None:
        observed = values(
            model,
            inputs,
            torch.zeros(1),
            variables,
            variables.draw(inputs),
            output=output,
            mask_batch_size=size or "auto",
            choose=choose_way if tables else without_tables,
        )
        sparsify(observed, NOISE_RATIO * output_scale(observed))

    started = now(device)
    peak = peak_memory(run, device)
    return {
        "mask_batch_size": size or "auto",
        "tables": tables,
        "masks": 2**n,
        "chunks": len(first),
        "peak_mb": peak,
        "whole_process_mb": whole(),
        "within_2_gb": whole() <= BUDGET_MB,
        "after_first_chunk_mb": first[0],
        "weights_mb": weights,
        "seconds": now(device) - started,
    }


if __name__ == "__main__":
    main()
