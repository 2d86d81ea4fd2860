"""How much more than the bare network the masking engine costs, and how much memory it takes.

Each network is run on all masked versions of some images or sentences: by the engine; by the engine without its tables
of local values; by the bare layers after the mask on as many random maps, at the best of several batch sizes; and as a
whole on as many random inputs. They take turns, so that a busy machine is busy for all of them; a ratio is that of the
best times. On a CPU they run on one thread, and time is the process's own. Each network has a process of its own, so
that its peak memory is its own, too.

On a CPU the large networks are given fewer variables than the paper's ten; with ten the engine alone is run on one
sample, beside the bare layers on a part of as many inputs. The engine first compares its ways of running the network on
about 13 masked inputs; that time is left out and reported as a share of the paper's 50 samples with 2**10 masks each.

    python benchmarks/masking.py [--quick] [--device cuda]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import alexnet, vgg16

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the experiments are not installed

from experiments.models.vgg import VGG11  # noqa: E402
from lightning_interactions.callback.ranks import share_out  # noqa: E402
from lightning_interactions.masking.feature_map import FeatureMapPatches  # noqa: E402
from lightning_interactions.masking.forward import values  # noqa: E402
from lightning_interactions.masking.network import MaskedNetwork  # noqa: E402
from lightning_interactions.masking.observe import observing  # noqa: E402
from lightning_interactions.masking.variables import Draw, Variables, mask_regions  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = Path(__file__).parent / "results"
PAPER_ROWS = 50 * 2**10
"""Masked inputs of one measurement with the paper's settings."""

ROUNDS = 2
MINILM = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
SENTENCE = 24
"""Tokens; what a sentence of SST-2 has on average, with its two special ones."""


class LeNet(nn.Module):
    """LeNet-5 for 28-pixel images, with rectifiers."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, 10)``."""
        return self.classifier(self.features(images))


class Tokens(Variables):
    """Tokens at fixed positions, so that no tokenizer is needed."""

    def draw(self, inputs: Any, seed: int | None = None) -> list[Draw | None]:  # noqa: ARG002  # the protocol's
        """The first tokens after the special one."""
        positions = tuple((position,) for position in range(1, self.n_variables + 1))
        return [Draw(positions, tuple(map(str, positions)), (103.0,)) for _ in inputs["input_ids"]]

    def mask(self, target: Any, draws: list[Draw], masks: Tensor) -> Any:
        """As :class:`~lightning_interactions.TokenWords` does."""
        ids = target["input_ids"]
        regions = torch.full(ids.shape, self.n_variables)
        for row, draw in enumerate(draws):
            for variable, (position,) in enumerate(draw.positions):
                regions[row, position] = variable
        masked = mask_regions(ids, regions.to(ids.device), masks, torch.tensor(103))
        return {"input_ids": masked, "attention_mask": torch.ones_like(masked)}


@dataclass(frozen=True)
class Network:
    """A network, how its inputs look, and which layer of ``features`` is masked."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    layer: int | None
    n: int
    """Variables on a CPU."""
    samples: int
    batch_sizes: tuple[int, ...]


def _minilm() -> nn.Module:
    from transformers import BertConfig, BertForSequenceClassification  # noqa: PLC0415  # takes seconds to import

    return BertForSequenceClassification(BertConfig(**MINILM))


NETWORKS = {
    "LeNet": Network(LeNet, (1, 28, 28), 1, 10, 2, (64, 256, 1024)),
    "VGG-11 at 32": Network(VGG11, (3, 32, 32), 4, 8, 1, (16, 64)),
    "AlexNet at 224": Network(lambda: alexnet(weights=None), (3, 224, 224), 1, 6, 1, (8, 32)),
    "MiniLM, 24 tokens": Network(_minilm, (SENTENCE,), None, 7, 1, (16, 64)),
    "VGG-16 at 224": Network(lambda: vgg16(weights=None), (3, 224, 224), 3, 3, 1, (1, 8)),
}
QUICK = ("LeNet",)


def main() -> None:
    """Run the benchmark, or one network of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smallest network only; writes no results")
    parser.add_argument("--device", default="cpu", help="where the networks run")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--knob", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank is not None:
        print(json.dumps(one_rank(options.rank, ranks=int(os.environ["WORLD_SIZE"]))))
    elif options.knob is not None:
        print(json.dumps(peak_of(NETWORKS[options.case], options.device, options.knob)))
    elif options.case:
        print(json.dumps(run_network(options.case, options.device)))
    else:
        report(options.device, quick=options.quick)


def report(device: str, *, quick: bool) -> None:
    """Every network in a process of its own; a table and a file."""
    rows = []
    for name in QUICK if quick else NETWORKS:
        rows.append(child("--case", name, "--device", device))
        print(rows[-1], file=sys.stderr)
        if not quick:
            write({"machine": machine(device), "rows": rows}, device)  # a long benchmark may be interrupted
    print_table(rows, device)
    if quick:
        return
    large = "VGG-16 at 224"
    knob = [child("--case", large, "--knob", str(size), "--device", device) for size in (1, 16, 0)]
    result: dict[str, Any] = {"machine": machine(device), "rows": rows, "memory of VGG-16 at 224": knob}
    if device == "cpu":
        result["ranks"] = two_ranks()
    write(result, device)
    for row in (*knob, result.get("ranks")):
        print(row)


def write(result: dict[str, Any], device: str) -> None:
    """The file of results."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"masking_{device}.json").write_text(json.dumps(result, indent=1) + "\n")


def child(*words: str, **environment: str) -> dict[str, Any]:
    """What this file prints as its last line when it is called with some words."""
    done = subprocess.run(  # noqa: S603  # our own file
        [sys.executable, __file__, *words],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        env=os.environ | environment,
    )
    return json.loads(done.stdout.splitlines()[-1])


def run_network(name: str, device: str) -> dict[str, Any]:
    """Time and memory of one network."""
    case = NETWORKS[name]
    n, samples = (10, 10) if device == "cuda" else (case.n, case.samples)
    if device == "cpu":
        torch.set_num_threads(1)
    model, inputs, variables = set_up(case, device, samples, n)
    peak = peak_memory(lambda: values(model, inputs, torch.zeros(samples), variables, variables.draw(inputs)), device)
    suffix, maps = bare_suffix(model, case, device)
    whole = whole_network(model)
    rows = samples * 2**n
    with observing(model):
        best = min(case.batch_sizes, key=lambda size: bare_time(suffix, maps, size, min(rows, 2 * size), device))
        images = random_inputs(case, 1, device)
        rounds = []
        for _ in range(ROUNDS):
            engine, probe = engine_time(model, inputs, variables, device)
            plain, _ = engine_time(model, inputs, variables, device, local=False)
            bare = bare_time(suffix, maps, best, rows, device)
            full = bare_time(whole, images, best, rows, device)
            times = {"engine_s": engine, "plain_s": plain, "probe_s": probe, "suffix_s": bare, "full_s": full}
            rounds.append(times)
        ten = engine_at_ten(case, model, suffix, maps, best, device)
    fastest = {key: min(one[key] for one in rounds) for key in rounds[0]}
    flops = [count_flops(lambda: suffix(maps)), count_flops(lambda: whole(images))]
    return {
        "network": name,
        "device": device,
        "n": n,
        "samples": samples,
        "batch_size": best,
        "ms_per_masked_input": 1e3 * fastest["engine_s"] / rows,
        "engine_over_suffix": fastest["engine_s"] / fastest["suffix_s"],
        "without_tables_over_suffix": fastest["plain_s"] / fastest["suffix_s"],
        "at_n_10_over_suffix": ten,
        "engine_over_full": fastest["engine_s"] / fastest["full_s"],
        "median_engine_over_suffix": statistics.median(one["engine_s"] / one["suffix_s"] for one in rounds),
        "median_without_tables_over_suffix": statistics.median(one["plain_s"] / one["suffix_s"] for one in rounds),
        "prefix_share_of_flops": 1 - flops[0] / flops[1],
        "probe_share_of_paper_run": fastest["probe_s"] / (fastest["engine_s"] / rows * PAPER_ROWS),
        "peak_mb": peak,
        "load": os.getloadavg()[0],
    }


def set_up(case: Network, device: str, samples: int, n: int) -> tuple[nn.Module, Any, Variables]:
    """The network in evaluation mode, inputs and variables."""
    torch.manual_seed(0)
    model = case.make().eval().to(device)
    variables: Variables = Tokens(n)
    if case.layer is not None:
        variables = FeatureMapPatches(f"features.{case.layer}", grid=8, border=1, n_variables=n)
    return model, random_inputs(case, samples, device), variables


def random_inputs(case: Network, samples: int, device: str) -> Any:
    """Images, or what a tokenizer returns."""
    if case.layer is not None:
        return torch.randn(samples, *case.shape, device=device)
    ids = torch.randint(1000, 20000, (samples, *case.shape), device=device)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def bare_suffix(model: nn.Module, case: Network, device: str) -> tuple[Callable[[Any], Any], Any]:
    """What lies after the mask as a function, and one random input of it."""
    inputs = random_inputs(case, 1, device)
    if case.layer is None:
        return whole_network(model), inputs
    network: Any = model
    after = network.features[case.layer + 1 :]
    if isinstance(model, VGG11):
        tail = lambda x: network.head(after(x).mean(dim=(2, 3)))  # noqa: E731
    elif isinstance(model, LeNet):
        tail = lambda x: network.classifier(after(x))  # noqa: E731
    else:
        tail = lambda x: network.classifier(network.avgpool(after(x)).flatten(1))  # noqa: E731
    with torch.no_grad():
        return tail, network.features[: case.layer + 1](inputs)


def whole_network(model: nn.Module) -> Callable[[Any], Any]:
    """The network as a function of a batch."""
    return lambda inputs: model(**inputs) if isinstance(inputs, dict) else model(inputs)


def engine_time(
    model: nn.Module, inputs: Any, variables: Variables, device: str, *, local: bool = True
) -> tuple[float, float]:
    """Seconds that the engine takes without and for its first comparison."""
    probe = 0.0
    compare, tables = MaskedNetwork.choose_way, MaskedNetwork._try_local  # noqa: SLF001  # to be timed, to be left out
    if not local:
        MaskedNetwork._try_local = lambda *_: None  # type: ignore[method-assign]  # noqa: SLF001

    def timed(*arguments: Any) -> Tensor:
        nonlocal probe
        started = now(device)
        logits = compare(*arguments)
        arguments[0]._kept = None  # noqa: SLF001  # its table of the first sample is work of the loop
        probe = now(device) - started
        return logits

    MaskedNetwork.choose_way = timed  # type: ignore[method-assign]
    try:
        draws = variables.draw(inputs)
        started = now(device)
        values(model, inputs, torch.zeros(len(draws)), variables, draws)
        return now(device) - started - probe, probe
    finally:
        MaskedNetwork.choose_way = compare  # type: ignore[method-assign]
        MaskedNetwork._try_local = tables  # type: ignore[method-assign]  # noqa: SLF001


def engine_at_ten(
    case: Network, model: nn.Module, suffix: Callable[[Any], Any], maps: Any, batch_size: int, device: str
) -> float | None:
    """The engine with the paper's ten variables on one sample, relative to the bare layers on as many inputs."""
    if case.layer is None:
        return None
    torch.manual_seed(1)
    variables = FeatureMapPatches(f"features.{case.layer}", grid=8, border=1, n_variables=10)
    inputs = random_inputs(case, 1, device)
    before, engine, after = (
        bare_time(suffix, maps, batch_size, batch_size, device),
        engine_time(model, inputs, variables, device)[0],
        bare_time(suffix, maps, batch_size, batch_size, device),
    )
    return engine / (min(before, after) / batch_size * 2**10)


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


def peak_memory(run: Callable[[], Any], device: str) -> float:
    """Megabytes that a call needs at most beyond what was there before it; in a fresh process."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10


def peak_of(case: Network, device: str, mask_batch_size: int) -> dict[str, Any]:
    """Peak memory of one image with ``mask_batch_size``, 0 for ``"auto"``; two chunks show it as well as many."""
    size = mask_batch_size or "auto"
    model, inputs, variables = set_up(case, device, 1, 5 if device == "cpu" and mask_batch_size != 1 else 2)
    run = lambda: values(  # noqa: E731
        model, inputs, torch.zeros(1), variables, variables.draw(inputs), mask_batch_size=size
    )
    weights = sum(tensor.numel() * tensor.element_size() for tensor in model.parameters()) / 2**20
    return {"mask_batch_size": size, "peak_mb": peak_memory(run, device), "weights_mb": weights}


# -- two processes -----------------------------------------------------------------------------------------------------


def two_ranks() -> dict[str, Any]:
    """One process and two, with one thread each, on the same samples.

    Where others use the machine, too, the processor time of the slower rank says what the clock would say alone.
    """
    environment = {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29551"}
    single = child("--rank", "0", WORLD_SIZE="1", **environment)
    command = [sys.executable, __file__, "--rank", "1"]
    second = subprocess.Popen(  # noqa: S603  # our own file
        command, env=os.environ | environment | {"WORLD_SIZE": "2"}, stdout=subprocess.PIPE, text=True
    )
    first = child("--rank", "0", WORLD_SIZE="2", **environment)
    other = json.loads(second.communicate()[0].splitlines()[-1])
    slower = {key: max(first[key], other[key]) for key in first}
    return {
        "single": single,
        "slower of two": slower,
        "times_faster": single["wall_s"] / slower["wall_s"],
        "times_less_processor_time": single["processor_s"] / slower["processor_s"],
        "load": os.getloadavg()[0],
    }


def one_rank(rank: int, ranks: int) -> dict[str, float]:
    """Time of this process's share of 16 samples of VGG-11."""
    torch.set_num_threads(1)
    if ranks > 1:
        torch.distributed.init_process_group("gloo", rank=rank, world_size=ranks)
    model, inputs, variables = set_up(NETWORKS["VGG-11 at 32"], "cpu", 16, 6)
    draws = variables.draw(inputs)

    def work(share: Any) -> Tensor:
        chosen = list(share)
        return values(model, inputs[chosen], torch.zeros(len(chosen)), variables, [draws[row] for row in chosen])

    values(model, inputs[:1], torch.zeros(1), variables, draws[:1])
    started, busy = time.perf_counter(), time.process_time()
    share_out(range(len(draws)), work)
    return {"wall_s": time.perf_counter() - started, "processor_s": time.process_time() - busy}


# -- reporting ---------------------------------------------------------------------------------------------------------


def now(device: str) -> float:
    """The clock, once the device has done what it was given; on a CPU this process's own time on one thread of it.

    The clock would favour short runs where others use the machine, too.
    """
    if device == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def machine(device: str) -> dict[str, Any]:
    """What ran, and when."""
    processor = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [line for line in information.read_text().splitlines() if line.startswith("model name")]
        processor = names[0].split(":", 1)[1].strip() if names else processor
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "processor": processor,
        "cores": os.cpu_count(),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def print_table(rows: list[dict[str, Any]], device: str) -> None:
    """One line a network."""
    table = Table(title=", ".join(f"{key} {value}" for key, value in machine(device).items()))
    columns = {
        "network": "{}",
        "n": "{}",
        "samples": "{}",
        "ms_per_masked_input": "{:.3g}",
        "engine_over_suffix": "{:.2f}",
        "without_tables_over_suffix": "{:.2f}",
        "at_n_10_over_suffix": "{:.3f}",
        "engine_over_full": "{:.2f}",
        "prefix_share_of_flops": "{:.2f}",
        "probe_share_of_paper_run": "{:.4f}",
        "peak_mb": "{:.0f}",
        "load": "{:.1f}",
    }
    for name in columns:
        table.add_column(name.replace("_", " "))
    for row in rows:
        table.add_row(*("–" if row[key] is None else form.format(row[key]) for key, form in columns.items()))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
