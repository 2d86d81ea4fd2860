"""How fast the sparse AND–OR split is solved, and how close to the optimum: every solver beside three measuring rods.

The values are those of the quickstart's network, trained here. Each case runs in a process of its own, so that its peak
memory is its own. Every time is a ratio to (a) the published recipe, one sample at a time, both as ``solver="sgd"``,
which makes the same steps with fast transforms, and as it is shared today, with dense matrices and torch's own
differentiation; (b) ``scipy.optimize.linprog(method="highs")`` on the same programme; (c) the floor of a dense
interior-point method: one float64 Cholesky factorisation an iteration at the best speed measured here, torch's or ours.

    python benchmarks/extraction.py [--quick] [--device cuda]
    python benchmarks/extraction.py --again    # the exponents and the picture from the stored times
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.optimize import linprog
from torch.nn import functional

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the experiments are not installed

from child import child  # noqa: E402
from machine import machine  # noqa: E402
from resources import peak_memory  # noqa: E402
from tables import print_table  # noqa: E402

from experiments.data.digits import Digits  # noqa: E402
from experiments.models.vgg import VGG11  # noqa: E402
from lightning_interactions.extraction import admm, cholesky, threads  # noqa: E402
from lightning_interactions.extraction.solve import solve  # noqa: E402
from lightning_interactions.lattice import dense_power, subset_masks  # noqa: E402
from lightning_interactions.masking.feature_map import FeatureMapPatches  # noqa: E402
from lightning_interactions.masking.forward import values  # noqa: E402
from lightning_interactions.sparsify import output_scale  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = Path(__file__).parent / "results"
EPOCHS = 20
REPEATS = 7
STEPS = 10_000
"""Of the published recipe."""
LONG = 10.0
"""Seconds after which a case is not repeated."""
LAST_OF_SHORT_SCHEDULE = 12
"""The largest n for which ``admm`` keeps to 300 iterations unless told otherwise; above, it makes 3,000."""

RODS = ("sgd", "shared", "highs")
"""What the times are compared with."""

Case = tuple[str, int, int]
"""Solver, n, number of samples."""

CASES: dict[str, list[Case]] = {
    "quick": [("sgd", 8, 1), ("shared", 8, 1), ("highs", 8, 1), ("interior_point", 8, 8), ("admm", 8, 8)],
    "full": [
        ("sgd", 8, 1),
        ("sgd", 10, 1),
        ("shared", 8, 1),
        ("shared", 10, 1),
        ("highs", 8, 3),
        ("highs", 10, 1),
        ("interior_point", 8, 50),
        ("interior_point", 10, 20),
        ("interior_point", 12, 2),
        ("interior_point", 13, 1),
        ("admm", 8, 50),
        ("admm", 10, 50),
        ("admm", 12, 8),
        ("admm", 13, 2),
        ("admm", 14, 2),
        ("admm", 16, 2),
    ],
}

COLUMNS = {
    "solver": "{}",
    "n": "{}",
    "samples": "{}",
    "s_per_sample": "{:.3g}",
    "peak_mb": "{:.0f}",
    "l1_over_optimum": "{:.6f}",
    "gap": "{:.1e}",
    "largest_gap": "{:.1e}",
    "noise_ratio": "{:.3f}",
    "iterations": "{:.0f}",
    "falls_per_100": "{:.1e}",
    "times_faster_than_sgd": "{:.1f}",
    "times_faster_than_shared": "{:.1f}",
    "times_faster_than_highs": "{:.1f}",
    "times_floor": "{:.1f}",
}
"""What the terminal shows of each case."""


def main() -> None:
    """Run the benchmark, or one case of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="n = 8 and few samples only; writes no results")
    parser.add_argument("--device", default="cpu", help="where the project's solvers run")
    parser.add_argument("--again", action="store_true", help="time nothing: exponents and picture of the stored rows")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(run_case(**json.loads(options.case))))
        return
    name = f"extraction_{options.device}"
    if options.again:
        known = json.loads((RESULTS / f"{name}.json").read_text())
    else:
        known = {"machine": machine(options.device)}
        known["rows"] = run_all(CASES["quick" if options.quick else "full"], options.device)
    rows = known["rows"]
    report = {"machine": known["machine"], "rows": rows, "growth_exponent": growth_exponents(rows)}
    print_table(rows, COLUMNS, report["machine"])
    print("time grows like (2**n)**p:", {solver: round(p, 2) for solver, p in report["growth_exponent"].items()})
    if not options.quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")
        growth_figure(rows).savefig(RESULTS / f"{name}_growth.png", dpi=150)


def run_all(cases: list[Case], device: str) -> list[dict[str, Any]]:
    """Every case in a process of its own, with the ratios that need more than one of them."""
    model, images, classes = trained_network()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for n_variables in sorted({n for _, n, _ in cases}):
            count = max(samples for _, n, samples in cases if n == n_variables)
            np.save(Path(folder) / f"{n_variables}.npy", network_values(model, images, classes, n_variables, count))
        for solver, n_variables, samples in cases:
            print(f"{solver} n={n_variables} samples={samples}", file=sys.stderr)
            case = {"solver": solver, "n": n_variables, "samples": samples, "device": device, "folder": folder}
            rows.append(child(__file__, "--case", json.dumps(case)))
    return with_ratios(rows, cholesky_gflops(device))


def trained_network() -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    """The quickstart's network after some epochs, and held-out images with their classes."""
    torch.manual_seed(0)
    data = Digits()
    data.setup("fit")
    model = VGG11(width=0.25)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    for _ in range(EPOCHS):
        for images, classes in data.train_dataloader():
            optimizer.zero_grad()
            functional.cross_entropy(model(images), classes).backward()
            optimizer.step()
    images, classes = next(iter(data.val_dataloader()))
    return model, images, classes


def network_values(
    model: torch.nn.Module, images: torch.Tensor, classes: torch.Tensor, n_variables: int, count: int
) -> np.ndarray:
    """Log-odds on all masked versions of ``count`` images: ``(count, 2**n)``."""
    patches = FeatureMapPatches("features.4", grid=8, border=1, n_variables=n_variables)
    draws = patches.draw(images[:count])
    return values(model, images[:count], classes[:count], patches, draws).numpy()


def run_case(solver: str, n: int, samples: int, device: str, folder: str) -> dict[str, Any]:
    """Time one case and say how good its answers are."""
    every = torch.from_numpy(np.load(Path(folder) / f"{n}.npy"))
    noise_bound = 0.02 * output_scale(every)
    observed = every[:samples]
    run = {"highs": highs, "shared": shared}.get(solver, partial(ours, solver=solver, device=device))
    if solver != "shared":
        run(torch.rand(1, 8, dtype=torch.float64), 0.01)  # what is made once a process, such as a GPU's handles
    times: list[float] = []
    found: list[dict[str, Any]] = []

    def repeat() -> None:
        while len(times) < REPEATS and sum(times) < LONG:
            started = time.perf_counter()
            found.append(run(observed, noise_bound))
            times.append(time.perf_counter() - started)

    peak = peak_memory(repeat, "cpu" if solver in ("highs", "shared") else device)
    seconds = statistics.median(times) / samples
    case = {"solver": solver, "n": n, "samples": samples, "s_per_sample": seconds, "peak_mb": peak}
    falls = last_fall(observed[:1].to(device), noise_bound) if solver == "admm" else None
    return case | found[-1] | {"falls_per_100": falls}


def ours(observed: torch.Tensor, noise_bound: float, solver: str, device: str) -> dict[str, Any]:
    """One of the project's solvers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a missed tolerance shows in the column of the gap
        solution = solve(observed.to(device), noise_bound, solver)
    if device == "cuda":
        torch.cuda.synchronize()
    return {
        "l1": solution.l1.tolist(),
        "gap": solution.gap.median().item(),
        "largest_gap": solution.gap.max().item(),
        "noise_ratio": (solution.noise / noise_bound).max().item(),
        "iterations": solution.iterations.double().mean().item(),
    }


def shared(observed: torch.Tensor, noise_bound: float) -> dict[str, Any]:
    """The published recipe as it is shared: dense matrices in float32, torch's optimiser, one sample at a time."""
    moebius = dense_power(((1, 0), (-1, 1)), observed.shape[1].bit_length() - 1, torch.float32)
    l1, left = [], []
    for sample in (observed - observed[:, :1]).float():
        gamma, delta = (torch.zeros_like(sample, requires_grad=True) for _ in range(2))
        optimizer = torch.optim.SGD([gamma, delta], lr=1e-5, momentum=0.9)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1 ** (1 / STEPS))

        def effects(w: torch.Tensor = sample, gamma: torch.Tensor = gamma, delta: torch.Tensor = delta) -> torch.Tensor:
            half = (w - delta) / 2
            return torch.cat([(moebius @ (half + gamma))[1:], -(moebius @ (half - gamma).flip(0))[1:]])

        box = torch.full_like(sample, noise_bound)
        box[0] = 0  # the bias is the output with everything masked
        for _ in range(STEPS):
            delta.data.clamp_(-box, box)
            optimizer.zero_grad()
            effects().abs().sum().backward()
            optimizer.step()
            schedule.step()
        delta.data.clamp_(-box, box)
        l1.append(effects().detach().double().abs().sum().item())
        left.append(delta.abs().amax().item())  # what the effects leave over is δ itself
    noise_ratio = max(left) / noise_bound
    return {"l1": l1, "gap": None, "largest_gap": None, "noise_ratio": noise_ratio, "iterations": STEPS}


def last_fall(observed: torch.Tensor, noise_bound: float) -> float:
    """By how much, relative to what it comes to, ``admm`` lowers the L1 in its last 100 iterations."""
    seen = []

    class Watched(admm._Found):  # noqa: SLF001  # nothing public tells how far a run has come
        """Notes the L1 of effects within the noise bound, at each look at what has been reached."""

        def offer(self, *offered: torch.Tensor) -> torch.Tensor:
            gap = super().offer(*offered)
            seen.append(self.l1.item())
            return gap

    with warnings.catch_warnings(), mock.patch.object(admm, "_Found", Watched):
        warnings.simplefilter("ignore")
        solve(observed, noise_bound, "admm")
    before = seen[-1 - 100 // admm._CHECK_EVERY :][0]  # noqa: SLF001
    return before / seen[-1] - 1


def highs(observed: torch.Tensor, noise_bound: float) -> dict[str, Any]:
    """SciPy's HiGHS, sample by sample, on min 1ᵀ(z⁺ + z⁻) s.t. Φ(z⁺ − z⁻) + r = w, |r| ≤ ζ."""
    masks = subset_masks(observed.shape[1].bit_length() - 1).double()
    sizes = masks.sum(dim=1)
    meet = masks @ masks.T
    phi = torch.cat([meet == sizes[None, :], meet > 0], dim=1)[1:, :].double()
    phi = torch.cat([phi[:, 1 : len(masks)], phi[:, len(masks) + 1 :]], dim=1).numpy()
    rows = len(phi)
    equal = np.hstack([phi, -phi, np.eye(rows)])
    cost = np.concatenate([np.ones(2 * phi.shape[1]), np.zeros(rows)])
    l1 = []
    for sample in observed.numpy():
        right = sample[1:] - sample[0]
        scale = np.abs(right).max()
        box = noise_bound / scale
        bounds = [(0, None)] * (2 * phi.shape[1]) + [(-box, box)] * rows
        l1.append(linprog(cost, A_eq=equal, b_eq=right / scale, bounds=bounds, method="highs").fun * scale)
    return {"l1": l1, "gap": 0.0, "largest_gap": 0.0, "noise_ratio": 1.0, "iterations": None}


def cholesky_gflops(device: str) -> dict[int, float]:
    """Speed of the float64 Cholesky factorisation of matrices of the size of the normal matrix, by n."""
    return {n_variables: max(_gflops(n_variables, device, way) for way in WAYS) for n_variables in (8, 10, 12, 13)}


WAYS: list[Callable[[torch.Tensor], object]] = [
    torch.linalg.cholesky,
    lambda matrices: threads.in_parts(
        lambda part: cholesky.factorise(matrices[part]), len(matrices), threads.most_workers(matrices.device)
    ),
]
"""One matrix after the other on all threads, or one a thread."""


def _gflops(n_variables: int, device: str, factorise: Callable[[torch.Tensor], object]) -> float:
    size, count = 2**n_variables, torch.get_num_threads()
    drawn = torch.rand(size, size, dtype=torch.float64, device=device)
    matrix = drawn @ drawn.T + size * torch.eye(size, dtype=torch.float64, device=device)
    times: list[float] = []
    while sum(times) < (LONG if len(times) < REPEATS else 1):
        matrices = matrix.repeat(count, 1, 1)
        if device == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        factorise(matrices)
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return count * size**3 / 3 / min(times) / 1e9


def with_ratios(rows: list[dict[str, Any]], gflops: dict[int, float]) -> list[dict[str, Any]]:
    """Add L1 relative to the optimum, and time relative to the measuring rods of the same n."""
    for row in rows:
        n_variables = row["n"]
        optimum = optimal_l1(rows, n_variables)
        known = min(len(row["l1"]), len(optimum))
        ratios = [mine / best for mine, best in zip(row["l1"][:known], optimum[:known], strict=True)]
        row["l1_over_optimum"] = statistics.median(ratios) if ratios else None
        for rod in RODS:
            time_of_rod = next((r["s_per_sample"] for r in rows if r["solver"] == rod and r["n"] == n_variables), None)
            row[f"times_faster_than_{rod}"] = time_of_rod and time_of_rod / row["s_per_sample"]
        row["times_floor"] = None
        if row["solver"] == "interior_point":
            floor = row["iterations"] * 8**n_variables / 3 / (gflops[n_variables] * 1e9)
            row["times_floor"] = row["s_per_sample"] / floor
    for row in rows:
        del row["l1"]
    return rows


def optimal_l1(rows: list[dict[str, Any]], n_variables: int) -> list[float]:
    """The smallest certified L1 of each sample: the exact solver's, where it ran."""
    exact = [r["l1"] for r in rows if r["n"] == n_variables and r["solver"] == "interior_point"]
    return max(exact, key=len, default=[])


def growth_exponents(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The exponent p of time ∝ (2ⁿ)ᵖ for each schedule that ran at two sizes or more: least squares in log–log."""
    exponents = {}
    for schedule, mine in by_schedule(rows).items():
        points = [(row["n"] * np.log(2), np.log(row["s_per_sample"])) for row in mine]
        if len(points) > 1:
            exponents[schedule] = float(np.polyfit(*zip(*points, strict=True), deg=1)[0])
    return exponents


def by_schedule(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The rows of each solver; those of ``admm`` parted where its schedule becomes longer, whose jump is no growth."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        solver = row["solver"]
        if solver == "admm":
            solver += ", short schedule" if row["n"] <= LAST_OF_SHORT_SCHEDULE else ", long schedule"
        found.setdefault(solver, []).append(row)
    return found


def growth_figure(rows: list[dict[str, Any]]) -> Figure:
    """Time a sample against the number of masked inputs, both logarithmic; broken where the schedule changes."""
    figure = Figure(figsize=(5, 4.6), layout="constrained")
    ax = figure.subplots()
    colours = {solver: f"C{place}" for place, solver in enumerate(dict.fromkeys(row["solver"] for row in rows))}
    for schedule, mine in by_schedule(rows).items():
        inputs, seconds = [2 ** row["n"] for row in mine], [row["s_per_sample"] for row in mine]
        style = "--" if schedule.endswith("long schedule") else "-"
        ax.plot(inputs, seconds, style, marker="o", color=colours[mine[0]["solver"]], label=schedule)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xlabel("masked inputs of a sample, 2ⁿ")
    ax.set_ylabel("seconds a sample")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    ax.grid(alpha=0.3)
    return figure


if __name__ == "__main__":
    main()
