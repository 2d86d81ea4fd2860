"""What share of a whole training is spent measuring: for the demo, and for the paper's schedule.

Both are estimated from their parts: the time of one training step and of one measurement, multiplied by how often they
happen; on a CPU it is the processor time of one thread. A measurement is the masked forward passes of a sample and the
solver, counted up to all samples, the losses on two sets of samples, and as many fits of decay and spindle as a normal
phase may take for each. The network is untrained, which is the hard case for the solver.

    python benchmarks/overhead.py [--quick] [--device cuda]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]  # neither is installed

from disentangle import mixture  # noqa: E402
from machine import machine  # noqa: E402
from resources import now  # noqa: E402

from experiments.models.vgg import VGG11  # noqa: E402
from lightning_interactions.callback.losses import classification_loss, mean_loss  # noqa: E402
from lightning_interactions.callback.samples import Samples  # noqa: E402
from lightning_interactions.distribution.decay import Decays  # noqa: E402
from lightning_interactions.distribution.disentangle import disentangle  # noqa: E402
from lightning_interactions.distribution.reference import REFITS_PER_EPOCH  # noqa: E402
from lightning_interactions.masking.feature_map import FeatureMapPatches  # noqa: E402
from lightning_interactions.masking.forward import values  # noqa: E402
from lightning_interactions.masking.network import call_network  # noqa: E402
from lightning_interactions.sparsify import output_scale, sparsify  # noqa: E402

RESULTS = Path(__file__).parent / "results"
ROUNDS = 2


@dataclass(frozen=True)
class Schedule:
    """A training and its measurements."""

    network: str
    width: float
    images: int
    batch_size: int
    epochs: int
    every_n_epochs: int
    n: int
    samples: int
    loss_samples: int


SCHEDULES = {
    "demo": Schedule("VGG-11, a quarter of the channels", 0.25, 500, 50, 60, 5, 8, 24, 500),
    "paper": Schedule("VGG-11 on CIFAR-10", 1.0, 50_000, 128, 256, 10, 10, 50, 500),
}


def main() -> None:
    """Estimate, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the demo only; writes no results")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where the network runs")
    options = parser.parse_args()
    rows = [
        estimate(name, schedule, options.device)
        for name, schedule in SCHEDULES.items()
        if not options.quick or name == "demo"
    ]
    for row in rows:
        print(json.dumps(row, indent=1))
    if not options.quick:
        RESULTS.mkdir(exist_ok=True)
        report = {"machine": machine(options.device), "rows": rows}
        (RESULTS / f"overhead_{options.device}.json").write_text(json.dumps(report, indent=1) + "\n")


def estimate(name: str, schedule: Schedule, device: str) -> dict[str, Any]:
    """Seconds of each part, and the share of the measurements."""
    torch.manual_seed(0)
    if device == "cpu":
        torch.set_num_threads(1)
    model = VGG11(width=schedule.width).to(device)
    few = 10 if device == "cuda" else max(1, 2**10 // 2**schedule.n)
    rounds = [one_round(model, schedule, few, device) for _ in range(ROUNDS)]
    best = {key: min(one[key] for one in rounds) for key in rounds[0]}
    steps = -(-schedule.images // schedule.batch_size) * schedule.epochs
    measurements = schedule.epochs // schedule.every_n_epochs + 1
    measurement = (best["values_s"] + best["solver_s"]) * schedule.samples + best["losses_s"]
    measurement += REFITS_PER_EPOCH * best["fit_s"]
    training = best["step_s"] * steps
    return {
        "name": name,
        "schedule": asdict(schedule),
        "device": device,
        **best,
        "steps": steps,
        "measurements": measurements,
        "fits_each": REFITS_PER_EPOCH,
        "training_s": training,
        "measuring_s": measurement * measurements,
        "share_of_all": measurement * measurements / (training + measurement * measurements),
        "load": os.getloadavg()[0],
    }


def one_round(model: nn.Module, schedule: Schedule, few: int, device: str) -> dict[str, float]:
    """Seconds of a training step, of masked forward passes and the solver for one sample, of the losses, of a fit."""
    return {
        "step_s": step_time(model, schedule.batch_size, device),
        **measurement_time(model, schedule, few, device),
        "losses_s": losses_time(model, schedule.loss_samples, device),
        "fit_s": fit_time(schedule, device),
    }


def step_time(model: nn.Module, batch_size: int, device: str) -> float:
    """Forward, backward and update; data loading and augmentation are left out, which makes measuring look larger."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9, weight_decay=5e-4)
    images, classes = torch.randn(batch_size, 3, 32, 32, device=device), torch.zeros(batch_size, dtype=torch.long)
    repeats = 20 if device == "cuda" else 1
    started = 0.0
    for repeat in range(repeats + 1):
        if repeat == 1:  # the first only warms up
            started = now(device)
        optimizer.zero_grad()
        functional.cross_entropy(model(images), classes.to(device)).backward()
        optimizer.step()
    return (now(device) - started) / repeats


def measurement_time(model: nn.Module, schedule: Schedule, few: int, device: str) -> dict[str, float]:
    """Seconds for one sample, of ``few`` that are measured together."""
    variables = FeatureMapPatches("features.4", grid=8, border=1, n_variables=schedule.n)
    images = torch.randn(few, 3, 32, 32)
    started = now(device)
    observed = values(model, images, torch.zeros(few), variables, variables.draw(images))
    seen = now(device)
    sparsify(observed, 0.02 * output_scale(observed), "auto")
    solved = now(device)
    return {"values_s": (seen - started) / few, "solver_s": (solved - seen) / few}


def losses_time(model: nn.Module, samples: int, device: str) -> float:
    """Seconds for the losses on two sets of samples."""
    batch = Samples(torch.randn(samples, 3, 32, 32), torch.zeros(samples, dtype=torch.long))
    started = now(device)
    for _ in range(2):
        mean_loss(model, [batch], classification_loss, call_network)
    return now(device) - started


def fit_time(schedule: Schedule, device: str) -> float:
    """Seconds for one fit, whose reference was used before."""
    positive, negative, reference = mixture(schedule.n, schedule.samples)
    decays = Decays(reference.and_, reference.or_)
    disentangle(positive, negative, decays)
    started = now(device)
    disentangle(positive, negative, decays)
    return now(device) - started


if __name__ == "__main__":
    main()
