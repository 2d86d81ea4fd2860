"""Does the picture depend on the choices that the paper made without giving reasons? One run, measured in other ways.

The networks of one finished run, untrained, at the end of the normal phase and at the end, are explained again with
another number of variables, grid, baseline, draw of the variables, and solver; and the run is repeated with other
weight decays. The answers go to a JSON file question by question, so that the command goes on where it was cut off;
the page is written from the JSON file alone.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import torch
from matplotlib.figure import Figure

from experiments.figures.catalogue import without_nan
from experiments.figures.draw import distribution, page, same_scale
from experiments.figures.run_folder import RunFolder
from experiments.record import surroundings
from experiments.restore import restore
from experiments.results import load_results
from lightning_interactions import FeatureMapPatches, InputPatches, disentangle
from lightning_interactions.callback.samples import Samples
from lightning_interactions.distribution.strength import mean_order, order_strength, sample_order_strength
from lightning_interactions.files import write_whole
from lightning_interactions.masking.layers import find_layer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from experiments.restore import Restored
    from lightning_interactions import Interactions, Variables

__all__ = ["N_SAMPLES", "QUESTIONS", "ask", "early_signs", "write_page"]

N_SAMPLES = 20
"""Samples explained for each setting."""

_WEIGHT_DECAYS = (0.0, 0.0005, 0.005)

QUESTIONS = {
    "n": "Does it depend on the number n of input variables?",
    "grid": "Does it depend on the grid that cuts the map into patches?",
    "baseline": "Does it depend on the value that replaces a masked patch, or on where is masked?",
    "draws": "Does it depend on which patches are drawn?",
    "solver": "Does the published picture depend on a solver that stops early?",
    "weight_decay": "What does weight decay do?",
}
"""The questions by name, in the order of the page."""


def ask(run: Path, path: Path) -> None:
    """Measure what is missing in the file of answers.

    Args:
        run: folder of a finished image run whose map's patches are masked.
        path: the JSON file of the answers; it is written again after each question.
    """
    folder = RunFolder(run)
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"answers": {}}
    epochs = [folder.history.epochs[0], folder.reference_epoch, folder.history.epochs[-1]]
    found |= surroundings() | {
        "run": folder.name,
        "size": folder.config["size"],
        "seed": folder.config["seed_everything"],
        "epochs": epochs,
        "n_samples": N_SAMPLES,
    }
    missing = [question for question in QUESTIONS if question not in found["answers"]]
    networks = [restore(folder, epoch) for epoch in epochs] if missing else []
    for question in missing:
        found["answers"][question] = _answer(question, folder, networks)
        with write_whole(path) as file:
            file.write(json.dumps(without_nan(found), indent=1, allow_nan=False).encode())


def _answer(question: str, folder: RunFolder, networks: list[Restored]) -> list[dict[str, Any]]:
    if question == "weight_decay":
        return [_trained_with(folder, decay) for decay in _WEIGHT_DECAYS]
    return [
        {"setting": label, "points": _measure(networks, variables, solver)}
        for label, variables, solver in _settings(question, networks[-1])
    ]


def _settings(question: str, network: Restored) -> list[tuple[str, Variables, str]]:
    """The ways to measure: a label, the variables and the solver."""
    base = network.monitor.variables
    if not isinstance(base, FeatureMapPatches):
        msg = f"`run` must mask the patches of a map, got variables of the kind {type(base).__name__}."
        raise TypeError(msg)
    solver = network.monitor.settings.solver

    def patches(**changed: Any) -> FeatureMapPatches:
        kept = {name: getattr(base, name) for name in ("layer", "grid", "border", "n_variables", "baseline", "seed")}
        return FeatureMapPatches(**(kept | changed))

    settings: dict[str, Callable[[], list[tuple[str, Variables, str]]]] = {
        "n": lambda: [(f"n = {n}", patches(n_variables=n), "auto") for n in (6, 8, 10, 12)],
        "grid": lambda: [
            (f"{grid} × {grid}, border {border}", patches(grid=grid, border=border), solver)
            for grid, border in ((4, 0), (6, 1), (8, 1), (14, 2))
        ],
        "baseline": lambda: [
            ("map, zero", patches(baseline=0.0), solver),
            ("map, mean of each channel", patches(baseline=_channel_means(network, base.layer)), solver),
            (
                "image, zero",
                InputPatches(grid=base.grid, border=base.border, n_variables=base.n_variables, baseline=0.0),
                solver,
            ),
        ],
        "draws": lambda: [(f"draw {seed}", patches(seed=seed), solver) for seed in range(5)],
        "solver": lambda: [(name, patches(), name) for name in ("interior_point", "admm", "sgd", "none")],
    }
    return settings[question]()


def _measure(networks: list[Restored], variables: Variables, solver: str) -> list[dict[str, Any]]:
    """Strength at each epoch, and the spindle share with this setting's own end of the normal phase as reference."""
    explained = [_explain(network, variables, solver) for network in networks]
    return [_point(network.epoch, found, explained[1]) for network, found in zip(networks, explained, strict=True)]


def _explain(network: Restored, variables: Variables, solver: str) -> Interactions:
    some = Samples(network.samples.inputs[:N_SAMPLES], network.samples.targets[:N_SAMPLES])
    return network.monitor.settings.explain(network.module, some, variables, solver=solver)


def _point(epoch: int, found: Interactions, reference: Interactions) -> dict[str, Any]:
    positive, negative = order_strength(found, normalize=True)
    plain = order_strength(found)
    fit = disentangle(*sample_order_strength(found), reference) if sum(side.sum() for side in plain) > 0 else None
    return {
        "epoch": epoch,
        "positive": positive.tolist(),
        "negative": negative.tolist(),
        "mean_order": mean_order(*plain),
        "l1": found.l1.mean().item(),
        "solver_gap": found.gap.max().item(),
        "spindle_share": math.nan if fit is None else fit.spindle_share,
        "spindle_share_interval": [math.nan] * 2 if fit is None else list(fit.intervals["spindle_share"]),
    }


def _channel_means(network: Restored, layer: str) -> list[float]:
    """The mean of each channel of a layer's output over the samples."""
    seen = []
    handle = find_layer(network.module, layer).register_forward_hook(lambda _m, _i, output: seen.append(output))
    try:
        with torch.no_grad():
            network.module(network.samples.inputs[:N_SAMPLES])
    finally:
        handle.remove()
    return seen[0].mean(dim=(0, 2, 3)).tolist()


def _trained_with(folder: RunFolder, weight_decay: float) -> dict[str, Any]:
    """The run's whole history with another weight decay; trained unless that was done before."""
    own = folder.config["model"]["optimizer"]["init_args"]["weight_decay"]
    run = folder if weight_decay == own else _retrained(folder, weight_decay)
    epochs = [run.history.epochs[0], run.reference_epoch, run.history.epochs[-1]]
    reference = run.interactions(run.reference_epoch)
    return {
        "setting": f"weight decay {weight_decay:g}",
        "points": [_point(epoch, run.interactions(epoch), reference) for epoch in epochs],
        "epochs": run.history.epochs,
        "mean_order": run.history.column("mean_order"),
        "loss_gap": run.history.column("loss_gap"),
    }


def _retrained(folder: RunFolder, weight_decay: float) -> RunFolder:
    name, size = folder.name, f"wd{weight_decay:g}"
    target = folder.path.parent / f"{size}-seed{folder.config['seed_everything']}"
    record = target / "run.json"
    if not record.exists() or not json.loads(record.read_text())["finished"]:
        configs = [
            f"configs/{name}.yaml",
            *([f"configs/small/{name}.yaml"] if folder.config["size"] == "small" else []),
        ]
        options = [option for config in configs for option in ("--config", config)]
        options += [f"--size={size}", f"--model.optimizer.init_args.weight_decay={weight_decay}"]
        options += [f"--seed_everything={folder.config['seed_everything']}", "--similarity.at_epochs=[]"]
        options += [f"--trainer.logger.init_args.save_dir={folder.path.parent.parent}"]
        options += ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
        subprocess.run([sys.executable, "-m", "experiments", "fit", *options], check=True)  # noqa: S603
    return RunFolder(target)


# -- The page --------------------------------------------------------------------------------------------------------


def write_page(path: Path, page_path: Path, results: Path | None = None) -> Path:
    """Write the page and its figures from the file of answers.

    Args:
        path: the JSON file of the answers.
        page_path: the page; the figures lie in ``questions/`` beside it.
        results: folder of the runs' results, for the question of early signs; that of ``path`` when ``None``.
    """
    found = json.loads(path.read_text())
    lines = [_page_head(found)]
    for question, text in QUESTIONS.items():
        if question not in found["answers"]:
            continue
        answers = found["answers"][question]
        picture = page_path.parent / "questions" / f"{question}.png"
        with write_whole(picture) as file:
            _draw(answers).savefig(file, dpi=100, format="png")
        lines += [f"## {text}", "", *_table(answers), "", f"![{text}](questions/{question}.png)", ""]
        if question == "weight_decay":
            curves = page_path.parent / "questions" / "weight_decay_over_training.png"
            with write_whole(curves) as file:
                _draw_curves(answers).savefig(file, dpi=100, format="png")
            lines += ["![Mean order and loss gap over the training](questions/weight_decay_over_training.png)", ""]
    signs = early_signs(load_results(path.parent if results is None else results))
    if signs:
        lines += ["## Is it an earlier sign of overfitting than simpler measures?", "", *_signs_table(signs), ""]
    with write_whole(page_path) as file:
        file.write("\n".join(lines).encode())
    return page_path


def early_signs(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For every run with an overfitting phase, the first measured epoch at which each sign is seen.

    The signs: the held-out loss lies 5 % above its smallest value so far, the phase detector's onset, the mean order
    lies 0.25 above its smallest value so far, the spindle share of Fig. 5 has come back to 0.1 after the reference. A
    sign that is never seen is NaN.
    """
    found = []
    for result in results:
        history, over = result["history"], result["figures"]["5"]
        onset = history[-1]["onset_epoch"]
        if onset is None:
            continue
        epochs = [row["epoch"] for row in history]
        after = [
            epoch
            for epoch, share in zip(over["epochs"], over["spindle_share"], strict=True)
            if epoch > over["reference_epoch"] and share >= 0.1  # noqa: PLR2004
        ]
        found.append(
            {
                "run": f"{result['run']} ({result['size']}, seed {result['seed']})",
                "held-out loss rises": _first_rise(epochs, [row["held_out_loss"] for row in history], factor=1.05),
                "loss gap (onset)": float(onset),
                "mean order rises": _first_rise(epochs, [row["mean_order"] for row in history], add=0.25),
                "spindle share returns": float(after[0]) if after else math.nan,
            }
        )
    return found


def _first_rise(epochs: list[int], values: list[float], factor: float = 1.0, add: float = 0.0) -> float:
    lowest = math.inf
    for epoch, value in zip(epochs, values, strict=True):
        if value > lowest * factor + add:
            return float(epoch)
        lowest = min(lowest, value)
    return math.nan


def _signs_table(signs: list[dict[str, Any]]) -> list[str]:
    names = [name for name in signs[0] if name != "run"]
    rows = [f"| {sign['run']} | {' | '.join(_epoch(sign[name]) for name in names)} |" for sign in signs]
    return [
        "The first measured epoch at which each sign is seen: the held-out loss 5 % above its smallest value so far,",
        "the phase detector's onset, the mean order 0.25 above its smallest value so far, a spindle share of 0.1 after",
        "the reference. Epochs are measured with gaps, so a sign between two measurements counts for the later one.",
        "",
        f"| run | {' | '.join(names)} |",
        "|---" * (1 + len(names)) + "|",
        *rows,
    ]


def _epoch(value: float) -> str:
    return f"{value:.0f}" if math.isfinite(value) else "never"


def _page_head(found: dict[str, Any]) -> str:
    first, end, last = found["epochs"]
    return f"""# Questions that reviewers raised

Written by `python -m experiments questions` from `experiments/results/questions.json`; no number is typed by hand.

The networks of one run (`{found["run"]}`, {found["size"]} size, seed {found["seed"]}) after {first}, {end} and {last}
epochs (untrained, the end of the normal phase, the end), explained in other ways: {found["n_samples"]} test samples for
each setting. The spindle share is that of Eq. 9, with the same setting's epoch {end} as the reference, where it is 0 by
construction. Strength is relative to order 1. Measured on {found["machine"]}, {found["date"][:10]}.
"""


def _table(answers: list[dict[str, Any]]) -> list[str]:
    lines = ["| setting | mean order | spindle share (interval), untrained and last | L1, last | largest solver gap |"]
    lines.append("|---|---|---|---|---|")
    for answer in answers:
        points = answer["points"]
        orders = " → ".join(_number(point["mean_order"]) for point in points)
        shares = ", ".join(
            f"{_number(point['spindle_share'])} ({' … '.join(map(_number, point['spindle_share_interval']))})"
            for point in (points[0], points[-1])
        )
        gap = max((point["solver_gap"] for point in points if point["solver_gap"] is not None), default=math.nan)
        lines.append(f"| {answer['setting']} | {orders} | {shares} | {_number(points[-1]['l1'])} | {gap:.1e} |")
    return lines


def _number(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.2f}"


def _draw(answers: list[dict[str, Any]]) -> Figure:
    """One column a setting, one row an epoch."""
    figure, axes = page(len(answers[0]["points"]), len(answers), width=2.2, height=1.7)
    for column, answer in enumerate(answers):
        for row, point in enumerate(answer["points"]):
            sides = [[math.nan if value is None else value for value in point[key]] for key in ("positive", "negative")]
            title = f"epoch {point['epoch']}, mean order {_number(point['mean_order'])}"
            full = f"{answer['setting']}\n{title}" if row == 0 else title
            distribution(axes[row][column], sides[0], sides[1], full)
    for row_of_axes in axes[1:]:
        same_scale(row_of_axes)
    for ax in axes[-1]:
        ax.set_xlabel("order", fontsize=7)
    return figure


def _draw_curves(answers: list[dict[str, Any]]) -> Figure:
    """Mean order and loss gap over the epochs, one line a setting."""
    figure = Figure(figsize=(8.0, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for answer in answers:
        left.plot(answer["epochs"], answer["mean_order"], marker=".", label=answer["setting"])
        right.plot(answer["epochs"], answer["loss_gap"], marker=".", label=answer["setting"])
    left.set_ylabel("mean order")
    right.set_ylabel("loss gap (nats)")
    right.legend(fontsize=8, frameon=False)
    for ax in (left, right):
        ax.set_xlabel("epoch")
    return figure
