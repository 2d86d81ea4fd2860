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
import math
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import Trainer, seed_everything
from matplotlib.figure import Figure
from scipy.stats import spearmanr

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the experiments are not installed

from machine import processor  # noqa: E402
from validity_page import write_page  # noqa: E402

from experiments.classifier import Classifier  # noqa: E402
from experiments.data.digits import Digits  # noqa: E402
from experiments.models.vgg import VGG11  # noqa: E402
from lightning_interactions import FeatureMapPatches, InteractionMonitor, explain  # noqa: E402
from lightning_interactions.distribution.decay import sample_decay  # noqa: E402
from lightning_interactions.distribution.disentangle import Disentangled, disentangle  # noqa: E402
from lightning_interactions.distribution.phases import PhaseDetector  # noqa: E402
from lightning_interactions.distribution.segmentation import segment  # noqa: E402
from lightning_interactions.distribution.spindle import spindle  # noqa: E402
from lightning_interactions.distribution.strength import (  # noqa: E402
    high_order_share,
    mean_order,
    salient_counts,
    sample_order_strength,
)
from lightning_interactions.interactions import Interactions  # noqa: E402
from lightning_interactions.lattice import subset_order  # noqa: E402
from lightning_interactions.masking.perturb import fgsm, weight_noise  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = Path(__file__).parent / "results"
REPORTED_SEED = 1
SIGMAS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Parameter noise, relative to the root mean square of each tensor."""
EPSILONS = (2 / 255, 4 / 255, 8 / 255, 16 / 255)
"""FGSM steps on the inputs."""
N_MIXTURE = 8
N_IMAGES = 50
POPULATION = 5_000


def main() -> None:
    """Run one part and write the document."""
    parts: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
        "phases": phases,
        "mixtures": mixtures,
        "noise": noise,
        "early_sign": early_sign,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=[*parts, "docs"])
    parser.add_argument("--seed", type=int, default=REPORTED_SEED)
    parser.add_argument("--repeats", type=int, help="simulations a case, or networks")
    options = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    if options.part != "docs":
        started = time.perf_counter()
        report = {"seed": options.seed, "machine": circumstances()} | parts[options.part](options)
        report["seconds"] = time.perf_counter() - started
        path = RESULTS / ("validity.json" if options.part == "phases" else f"{_FILES[options.part]}.json")
        path.write_text(json.dumps(report, indent=1) + "\n")
    write_page()


_FILES = {"mixtures": "validity_mixtures", "noise": "validity_noise", "early_sign": "early_sign"}


# -- A: simulated loss gaps --------------------------------------------------------------------------------------------


class Curve(NamedTuple):
    """A simulated training, and the truth about it."""

    held_out: np.ndarray
    gap: np.ndarray
    onset: int | None
    """Index of the first measurement of the overfitting phase."""
    level: float
    growth: np.ndarray
    """The gap above its level without noise."""
    noise: float
    """Standard deviation."""


LENGTHS = {13: 1000, 50: 1000, 200: 1000, 1000: 50}
"""Measurements of a training, and how many of each family are simulated."""

FAMILIES = {
    "flat": "constant gap, independent noise: normal",
    "slow drift": "the gap grows evenly by 0 … 0.05 over the whole run, less than what matters: normal",
    "noisy": "constant gap, independent noise of 0.05 … 0.3: normal",
    "correlated": "the same with noise that is correlated in time (0.5): normal",
    "restarts": "constant gap that jumps by 0.1 … 0.5 at each of 4–10 restarts of the learning rate and decays: normal",
    "knee": "constant, then even growth to 0.3 … 3 from a place in 20–80 % of the run",
    "noisy knee": "the same with noise of 0.05 … 0.3",
    "steady growth": "even growth by 0.5 … 3 from the first measurement: overfitting from then on",
    "dip": "constant, down by 0.2 … 0.5 within a tenth of the run, and from there even growth by 0.5 … 2, as with wrong"
    " labels: overfitting from the lowest gap on",
    "double descent": "constant, up to 0.5 … 2, back within a third of the run, constant again",
}
"""What is simulated, and what counts as the truth."""


def simulate(family: str, length: int, generator: np.random.Generator) -> Curve:
    """One training: training loss falls, the gap is the family's, held-out loss is their sum."""
    position = np.arange(length) / length
    level = generator.uniform(-0.1, 0.4)
    size = math.exp(generator.uniform(math.log(0.002), math.log(0.05)))
    gap, onset = np.zeros(length), None
    if family == "slow drift":
        gap = generator.uniform(0.0, 0.05) * position
    elif family in {"noisy", "correlated"}:
        size = generator.uniform(0.05, 0.3)
    elif family == "restarts":
        cycle = length / generator.integers(4, 11)
        gap = generator.uniform(0.1, 0.5) * np.exp(-(np.arange(length) % cycle) / generator.uniform(0.5, 3))
    elif "knee" in family:
        size = generator.uniform(0.05, 0.3) if family == "noisy knee" else size
        place = generator.uniform(0.2, 0.8)
        growth = math.exp(generator.uniform(math.log(0.3), math.log(3)))
        gap = growth * np.maximum(position - place, 0) / (1 - place)
        onset = math.floor(place * length) + 1
    elif family == "steady growth":
        gap = generator.uniform(0.5, 3) * position
        onset = 1
    elif family == "dip":
        place, depth = generator.uniform(0.1, 0.4), generator.uniform(0.2, 0.5)
        gap = np.interp(position, [place, place + 0.1, 1], [0, -depth, generator.uniform(0.5, 2) - depth])
        onset = math.floor((place + 0.1) * length) + 1
    elif family == "double descent":
        place, width = generator.uniform(0.2, 0.5), generator.uniform(0.2, 1 / 3)
        gap = np.interp(position, [place, place + width / 2, place + width], [0, generator.uniform(0.5, 2), 0])
        onset = math.floor(place * length) + 1
    noise_ = generator.normal(size=length)
    if family == "correlated":
        for index in range(1, length):
            noise_[index] = 0.5 * noise_[index - 1] + math.sqrt(0.75) * noise_[index]
    growth_, gap = gap, level + gap + size * noise_
    train = 2.3 * np.exp(-6 * position) * np.exp(0.05 * generator.normal(size=length))
    return Curve(train + gap, gap, onset, level, growth_, size)


def new_rule(held_out: np.ndarray, gaps: np.ndarray) -> tuple[int | None, int | None, str]:  # noqa: ARG001
    """First detection, the onset it dated, and the phase at the end: this project's detector."""
    detector, detected, onset = PhaseDetector(), None, None
    for index, gap in enumerate(gaps):
        if detector.update(epoch=index, gap=gap) == "overfitting" and detected is None:
            detected, onset = index, detector.onset_epoch
    return detected, onset, detector.phase


def previous_rule(held_out: np.ndarray, gaps: np.ndarray) -> tuple[int | None, int | None, str]:  # noqa: ARG001
    """Two gaps in a row more than 0.1 above the lowest before; as many below it go back to normal."""
    lowest, against, phase, first, onset = math.inf, 0, "normal", None, None
    for index, gap in enumerate(gaps):
        high = gap > lowest + 0.1
        against = against + 1 if high == (phase == "normal") else 0
        if against == 2:  # noqa: PLR2004
            phase, against = ("overfitting" if phase == "normal" else "normal"), 0
            if first is None:
                first, onset = index, index - 1
        lowest = min(lowest, gap)
    return first, onset, phase


def naive_rule(held_out: np.ndarray, gaps: np.ndarray) -> tuple[int | None, int | None, str]:  # noqa: ARG001
    """The held-out loss has risen for three checks in a row."""
    rising = np.diff(held_out) > 0
    for index in range(3, len(held_out)):
        if rising[index - 3 : index].all():
            return index, index - 2, "overfitting"
    return None, None, "normal"


RULES = {"detector": new_rule, "rise 0.1 twice": previous_rule, "held-out loss rose 3 times": naive_rule}

LIMIT = "limit: told all but when"
LIMIT_FAMILIES = ("knee", "noisy knee")
_LIMIT_RUNS = 100
_LIMIT_DRAWS = 200


def limit_rule(curve: Curve, generator: np.random.Generator) -> tuple[int | None, int | None, str]:
    """What hardly any rule beats that alarms in a twentieth of the runs without growth: a likelihood ratio told all.

    It knows the level, the noise and the slope of this very training, and not when the growth begins: the ratio is
    averaged over all beginnings (Shiryaev and Roberts), and its threshold is the 95 % quantile of the highest ratio in
    simulations without growth.
    """
    slope = curve.growth[-1] - curve.growth[-2]
    first = curve.growth[curve.onset]
    template = (first + slope * np.arange(len(curve.gap))) / curve.noise
    highest = _log_ratios(generator.normal(size=(_LIMIT_DRAWS, len(curve.gap))), template).max(axis=1)
    ratios = _log_ratios((curve.gap - curve.level)[None] / curve.noise, template)[0]
    alarms = np.flatnonzero(ratios > np.quantile(highest, 0.95))
    detected = int(alarms[0]) if len(alarms) else None
    return detected, None, "normal" if detected is None else "overfitting"


def _log_ratios(levels: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Log of the summed likelihood ratios of all beginnings so far; levels ``(runs, length)`` in units of the noise."""
    found = np.full(levels.shape, -np.inf)
    for begin in range(levels.shape[1]):
        expected = template[: levels.shape[1] - begin]
        ratio = np.cumsum(levels[:, begin:] * expected - expected**2 / 2, axis=1)
        found[:, begin:] = np.logaddexp(found[:, begin:], ratio)
    return found


def phases(options: argparse.Namespace) -> dict[str, Any]:
    """Every rule on every family and length, and on the runs of all lengths together."""
    rows = []
    everything: dict[tuple[str, str], tuple[list[Curve], list[Any]]] = {}
    for length, count in LENGTHS.items():
        for number, family in enumerate(FAMILIES):
            generator = np.random.default_rng([options.seed, length, number])
            curves = [simulate(family, length, generator) for _ in range(min(options.repeats or count, count))]
            for rule, answer in RULES.items():
                answers = [answer(curve.held_out, curve.gap) for curve in curves]
                rows.append({"family": family, "length": length, "rule": rule} | score(curves, answers))
                kept = everything.setdefault((family, rule), ([], []))
                kept[0].extend(curves)
                kept[1].extend(answers)
            if any(curve.onset is not None for curve in curves) and family != "double descent":
                rows[-len(RULES)] |= offline_score(curves[:200])
            if family in LIMIT_FAMILIES:
                answers = [limit_rule(curve, generator) for curve in curves[:_LIMIT_RUNS]]
                rows.append({"family": family, "length": length, "rule": LIMIT} | score(curves[:_LIMIT_RUNS], answers))
            print(rows[-len(RULES) - (family in LIMIT_FAMILIES)], flush=True)
    figure(rows).savefig(RESULTS / "validity.png", dpi=150)
    rows += [
        {"family": family, "length": "all", "rule": rule} | score(curves, answers)
        for (family, rule), (curves, answers) in everything.items()
    ]
    return {"families": FAMILIES, "rows": rows}


def score(curves: list[Curve], answers: list[tuple[int | None, int | None, str]]) -> dict[str, Any]:
    """False alarms: detections where there is no onset, or before it. Delay: as a share of the run, missed: ∞."""
    early, delays, errors, back = 0, [], [], 0
    for curve, (detected, dated, phase) in zip(curves, answers, strict=True):
        length, onset = len(curve.gap), curve.onset
        back += phase == "normal"
        if detected is not None and (onset is None or detected < onset):
            early += 1
        elif onset is not None:
            delays.append(math.inf if detected is None else (detected - onset) / length)
            if dated is not None:
                errors.append(abs(dated - onset) / length)
    median = statistics.median(delays) if delays else None
    return {
        "n": len(curves),
        "false_alarms": early / len(curves),
        "missed": sum(math.isinf(delay) for delay in delays) / len(delays) if delays else None,
        "median_delay": None if median is None or math.isinf(median) else median,
        "median_onset_error": statistics.median(errors) if errors else None,
        "normal_at_the_end": back / len(curves),
    }


def offline_score(curves: list[Curve]) -> dict[str, float]:
    """How near, and how often inside its interval, the onset that ``segment`` finds afterwards is."""
    errors, covered = [], []
    for curve in curves:
        found = segment(range(len(curve.gap)), curve.gap)
        if found.onset_epoch is not None and found.onset_interval is not None and curve.onset is not None:
            errors.append(abs(found.onset_epoch - curve.onset) / len(curve.gap))
            covered.append(found.onset_interval[0] <= curve.onset <= found.onset_interval[1])
    return {
        "offline_onset_error": statistics.median(errors) if errors else math.nan,
        "offline_coverage": statistics.mean(covered) if covered else math.nan,
    }


def figure(rows: list[dict[str, Any]]) -> Figure:
    """False alarms and delay of each rule against the length of the run."""
    drawn = Figure(figsize=(10, 4), layout="constrained")
    left, right = drawn.subplots(1, 2)
    for rule in RULES:
        for ax, key in ((left, "false_alarms"), (right, "median_delay")):
            for family, marker in (("flat", "o"), ("noisy", "x"), ("knee", "s")):
                mine = [r for r in rows if r["rule"] == rule and r["family"] == family and r[key] is not None]
                if mine and (key == "false_alarms") == (family != "knee"):
                    ax.plot(
                        [r["length"] for r in mine], [r[key] for r in mine], marker=marker, label=f"{rule}, {family}"
                    )
    left.axhline(0.05, color="grey", linestyle=":")
    right.axhline(0.1, color="grey", linestyle=":")
    left.set_ylabel("runs with a false alarm")
    right.set_ylabel("median delay, share of the run")
    for ax in (left, right):
        ax.set_xscale("log")
        ax.set_xlabel("measurements of a run")
        ax.legend(frameon=False, fontsize="small")
    return drawn


# -- B: known mixtures -------------------------------------------------------------------------------------------------

SHARES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
NOISES = (0.1, 0.3, 0.6)


def mixtures(options: argparse.Namespace) -> dict[str, Any]:
    """γM(δ)I* + spindle image by image: bias, coverage and width of the interval of the share."""
    cells = [(noise_, share, options.repeats or 100, options.seed) for noise_ in NOISES for share in SHARES]
    with ProcessPoolExecutor(initializer=torch.set_num_threads, initargs=(1,)) as pool:
        rows = list(pool.map(mixture_row, *zip(*cells, strict=True)))
    return {"n": N_MIXTURE, "images": N_IMAGES, "rows": rows, "gaussian": gaussian(options.seed)}


def mixture_row(noise_: float, share: float, repeats: int, seed: int) -> dict[str, float]:
    """One noise and one share."""
    fits = []
    for number in range(repeats):
        generator = torch.Generator().manual_seed(1_000_000 * seed + number)
        reference, positive, negative = mixture(share, noise_, generator)
        fits.append(disentangle(positive, negative, reference, threshold=0.0))
    row = {"noise": noise_, "share": share} | coverage(fits, share)
    print(row, flush=True)
    return row


def mixture(share: float, noise_: float, generator: torch.Generator) -> tuple[Interactions, torch.Tensor, torch.Tensor]:
    """A reference of few effects, most of low order, and a later strength whose images vary around the mixture.

    Decay and spindle of an image vary log-normally by ``noise_``, and so does every order and sign of either, all with
    mean 1. δ is drawn from 0.001 … 0.1, α from 0.6 … 1.1. The share is that of the population the images are drawn
    from: the images themselves have it only on average.
    """

    def factor(*shape: int) -> torch.Tensor:
        normal = torch.randn(*shape, dtype=torch.float64, generator=generator)
        return torch.exp(noise_ * normal - noise_**2 / 2)

    effects = draw_effects(N_IMAGES, generator)
    delta = 10 ** (2 * torch.rand(1, generator=generator).item() - 3)
    curve = spindle(N_MIXTURE, 0.6 + 0.5 * torch.rand(1, generator=generator).item())
    beta = share / (1 - share) * decay_of_population(delta) / (2 * curve.sum())
    of_decay, of_spindle = factor(N_IMAGES, 1), factor(N_IMAGES, 1)
    positive, negative = (
        of_decay * factor(N_IMAGES, N_MIXTURE) * side + of_spindle * factor(N_IMAGES, N_MIXTURE) * beta * curve
        for side in sample_decay(*effects, delta)
    )
    return interactions(*effects), positive, negative


def draw_effects(images: int, generator: torch.Generator) -> torch.Tensor:
    """AND and OR effects ``(2, images, subsets)`` of a network in its normal phase, each image with its own size."""
    orders = subset_order(N_MIXTURE).double()
    shape = (2, images, 2**N_MIXTURE)
    chance = torch.where(orders > 0, 0.5 * torch.exp(-0.9 * (orders - 1)), 0.0)
    effects = torch.randn(shape, dtype=torch.float64, generator=generator) * torch.exp(-0.25 * (orders - 1))
    effects = torch.where(torch.rand(shape, dtype=torch.float64, generator=generator) < chance, effects, 0.0)
    return effects * torch.exp(0.4 * torch.randn(1, images, 1, dtype=torch.float64, generator=generator))


def decay_of_population(delta: float) -> float:
    """Expected strength of all orders of an image's decay."""
    return sum(side.mean(dim=0).sum().item() for side in sample_decay(*population(), delta))


@cache
def population() -> torch.Tensor:
    """Enough images to be taken for all: they leave to chance a tenth of what 50 images do."""
    return draw_effects(POPULATION, torch.Generator().manual_seed(-1))


def interactions(and_: torch.Tensor, or_: torch.Tensor) -> Interactions:
    """Effects that come from no network."""
    zero = torch.zeros(len(and_), dtype=torch.float64)
    return Interactions(
        values=torch.zeros_like(and_), and_=and_, or_=or_, l1=zero, gap=zero, noise_bound=zero, threshold=0.0
    )


def coverage(fits: list[Disentangled], share: float) -> dict[str, float]:
    """Of all fits, and of those that call themselves identified."""
    errors = [fit.spindle_share - share for fit in fits]
    ends = [fit.intervals["spindle_share"] for fit in fits]
    covered = [low - 1e-9 <= share <= high + 1e-9 for low, high in ends]
    named = [inside for inside, fit in zip(covered, fits, strict=True) if fit.identified]
    return {
        "fits": len(fits),
        "bias": statistics.mean(errors),
        "rms_error": math.sqrt(statistics.mean(error**2 for error in errors)),
        "coverage": statistics.mean(covered),
        "width": statistics.mean(high - low for low, high in ends),
        "identified": statistics.mean(fit.identified for fit in fits),
        "coverage_where_identified": statistics.mean(named) if named else math.nan,
    }


def gaussian(seed: int) -> dict[str, float]:
    """i.i.d. Gaussian effects: their strength must be a spindle with α = 1 and no decay."""
    generator = torch.Generator().manual_seed(seed)
    shape = (2, N_IMAGES, 2**10)
    effects = torch.randn(shape, dtype=torch.float64, generator=generator)
    effects[..., 0] = 0.0
    orders = subset_order(10).double()
    low_order = torch.randn(shape, dtype=torch.float64, generator=generator) * torch.exp(-1.5 * orders)
    low_order[..., 0] = 0.0
    measured = sample_order_strength(interactions(effects[0], effects[1]), 0.0)
    fit = disentangle(*measured, interactions(low_order[0], low_order[1]), threshold=0.0)
    return {"alpha": fit.alpha, "spindle_share": fit.spindle_share, "r_squared": fit.r_squared}


# -- C: networks -------------------------------------------------------------------------------------------------------

EPOCHS = 60
EVERY = 5
N_EXPLAINED = 24


def train(folder: Path, seed: int, label_noise: float = 0.05, weight_decay: float = 5e-4) -> tuple[Any, Any]:
    """The quickstart's network and data, watched: the finished module and its monitor."""
    seed_everything(seed)
    module = Classifier(
        VGG11(num_classes=10, width=0.25),
        partial(torch.optim.SGD, lr=0.01, momentum=0.9, weight_decay=weight_decay),
    )
    variables = FeatureMapPatches("network.features.4", grid=8, border=1, n_variables=8)
    monitor = InteractionMonitor(variables, every_n_epochs=EVERY, n_samples=N_EXPLAINED)
    Trainer(
        max_epochs=EPOCHS,
        check_val_every_n_epoch=EVERY,
        callbacks=[monitor],
        accelerator="cpu",
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(module, datamodule=Digits(n_train=500, label_noise=label_noise, seed=seed))
    return module.eval(), monitor


def noise(options: argparse.Namespace) -> dict[str, Any]:
    """The finished network, disturbed: does the spindle grow with σ while the decay stays, for each kind of I*?"""
    rows = []
    for seed in range(options.repeats or 3):
        with tempfile.TemporaryDirectory() as folder:
            module, monitor = train(Path(folder), seed)
            epochs = monitor.history.epochs
            onset = segment(monitor.history).onset_epoch
            held_out = monitor.history.column("held_out_loss")
            normal_end = (
                epochs[int(np.nanargmin(held_out))] if onset is None else max([0, *(e for e in epochs if e < onset)])
            )
            references = {
                "onset": Interactions.load(monitor.folder / f"epoch={normal_end:04d}.npz"),
                "final": Interactions.load(monitor.folder / f"epoch={epochs[-1]:04d}.npz"),
            }
        inputs, targets = monitor._held_out.inputs, monitor._held_out.targets  # noqa: SLF001
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


COMPANIONS = ("spindle_share", "mean_order", "high_order_share", "salient_count")


def early_sign(options: argparse.Namespace) -> dict[str, Any]:
    """On runs with more and less to overfit to: when does each measure first rise, and when does the gap?"""
    rows = []
    settings = [(label_noise, decay_) for label_noise in (0.0, 0.05, 0.1, 0.2) for decay_ in (5e-4, 0.0)]
    settings = (settings + settings[::2])[: options.repeats or 12]
    for number, (label_noise, decay_) in enumerate(settings):
        with tempfile.TemporaryDirectory() as folder:
            _, monitor = train(Path(folder), seed=10 + number, label_noise=label_noise, weight_decay=decay_)
            epochs = monitor.history.epochs
            measured = [Interactions.load(monitor.folder / f"epoch={epoch:04d}.npz") for epoch in epochs]
        found = segment(monitor.history)
        end = max([0, *(e for e in epochs if found.onset_epoch is not None and e < found.onset_epoch)])
        if found.onset_epoch is None:
            end = epochs[int(np.nanargmin(monitor.history.column("held_out_loss")))]
        reference = measured[epochs.index(end)]
        rises = first_rises(epochs, measured, reference)
        rows.append(
            {"label_noise": label_noise, "weight_decay": decay_, "onset": found.onset_epoch}
            | {"interval": found.onset_interval, "detected": found.detected_epoch, "rises": rises}
        )
        print(rows[-1], flush=True)
    return {"every": EVERY, "rows": rows}


def first_rises(
    epochs: list[int], measured: list[Interactions], reference: Interactions, draws: int = 200
) -> dict[str, int | None]:
    """First epoch at which a measure lies above its lowest value so far in 95 % of bootstrap draws over the images."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(len(reference.and_), (draws, len(reference.and_)), generator=generator)
    curves: dict[str, list[torch.Tensor]] = {name: [] for name in COMPANIONS[1:]}
    ends, points = [], []
    for found in measured:
        positive, negative = sample_order_strength(found)
        counts = salient_counts(found).double()
        drawn = [(positive[row].mean(dim=0), negative[row].mean(dim=0)) for row in rows]
        curves["mean_order"].append(torch.tensor([mean_order(*sides) for sides in drawn]))
        curves["high_order_share"].append(torch.tensor([high_order_share(*sides) for sides in drawn]))
        curves["salient_count"].append(counts[rows].mean(dim=1))
        fit = disentangle(positive, negative, reference)
        ends.append(fit.intervals["spindle_share"])
        points.append(fit.spindle_share)
    rises: dict[str, int | None] = dict.fromkeys(COMPANIONS)
    for name, values in curves.items():
        # The same images in every draw, so that what differs between images cancels.
        means = [value.mean().item() for value in values]
        for later in range(1, len(epochs)):
            lowest = int(np.nanargmin(means[:later]))
            if (values[later] > values[lowest]).double().mean() >= 0.95:  # noqa: PLR2004
                rises[name] = epochs[later]
                break
    for later in range(1, len(epochs)):
        # Two intervals that do not overlap.
        if ends[later][0] > ends[int(np.nanargmin(points[:later]))][1]:
            rises["spindle_share"] = epochs[later]
            break
    return rises


def circumstances() -> dict[str, Any]:
    """What ran."""
    return {"processor": processor(), "cores": f"{os.cpu_count()} cores", "torch": f"torch {torch.__version__}"}


if __name__ == "__main__":
    main()
