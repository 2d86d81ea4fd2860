"""The page of answers, with its figures, from the file of answers and nothing else."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from experiments.early_signs import early_signs, signs_table
from experiments.figures.draw import distribution, page, same_scale
from experiments.questions.settings import QUESTIONS
from experiments.results import load_results
from lightning_interactions.files import with_nan, write_whole

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["write_page"]


def write_page(path: Path, page_path: Path, results: Path | None = None) -> Path:
    """Write the page and its figures from the file of answers.

    Args:
        path: the JSON file of the answers.
        page_path: the page; the figures lie in ``questions/`` beside it.
        results: folder of the runs' results, for the question of early signs; that of ``path`` when ``None``.
    """
    found = with_nan(json.loads(path.read_text()))
    lines = [_page_head(found)]
    for question, text in QUESTIONS.items():
        if question not in found["answers"]:
            continue
        answers = found["answers"][question]
        picture = page_path.parent / "questions" / f"{question}.png"
        with write_whole(picture) as file:
            _draw(answers).savefig(file, dpi=100, format="png")
        beside = _above_the_optimum(answers) if question == "solver" else []
        lines += [f"## {text}", "", *_table(answers), *beside, "", f"![{text}](questions/{question}.png)", ""]
        if question == "weight_decay":
            curves = page_path.parent / "questions" / "weight_decay_over_training.png"
            with write_whole(curves) as file:
                _draw_curves(answers).savefig(file, dpi=100, format="png")
            lines += ["![Mean order and loss gap over the training](questions/weight_decay_over_training.png)", ""]
    signs = early_signs(load_results(path.parent if results is None else results))
    if signs:
        lines += ["## Is it an earlier sign of overfitting than simpler measures?", "", *signs_table(signs), ""]
    with write_whole(page_path) as file:
        file.write("\n".join(lines).encode())
    return page_path


def _page_head(found: dict[str, Any]) -> str:
    first, end, last = found["epochs"]
    return f"""# Questions that reviewers raised

Written by `python -m experiments questions` from `experiments/results/questions.json`; no number is typed by hand.

The networks of one run (`{found["run"]}`, {found["size"]} size, seed {found["seed"]}) after {first}, {end} and {last}
epochs (untrained, the end of the normal phase, the end), explained in other ways: {found["n_samples"]} test samples for
each setting (for weight decay the run's own). The spindle share is that of Eq. 9, with the same setting's epoch {end}
as the reference, where it is 0 by construction. Strength is relative to order 1. Measured on
{found["machine"]}, {found["date"][:10]}.
"""


def _table(answers: list[dict[str, Any]]) -> list[str]:
    lines = ["| setting | mean order | spindle share (interval), untrained and last | L1 | largest proven gap |"]
    lines.append("|---|---|---|---|---|")
    for answer in answers:
        points = answer["points"]
        orders = " → ".join(_number(point["mean_order"]) for point in points)
        shares = ", ".join(
            f"{_number(point['spindle_share'])} ({' … '.join(map(_number, point['spindle_share_interval']))})"
            for point in (points[0], points[-1])
        )
        gap = max((point["solver_gap"] for point in points if math.isfinite(point["solver_gap"])), default=math.nan)
        amounts = " → ".join(f"{point['l1']:.3g}" for point in points)
        lines.append(f"| {answer['setting']} | {orders} | {shares} | {amounts} | {gap:.1e} |")
    return lines


def _above_the_optimum(answers: list[dict[str, Any]]) -> list[str]:
    """How far from the sparsest explanation each solver ends, and which explanations are not sparse at all."""
    amounts = {answer["setting"]: [point["l1"] for point in answer["points"]] for answer in answers}
    (exact, optimum), *others = amounts.items()
    ratios = (
        f"{name} " + ", ".join(f"{l1 / best:.3g}" for l1, best in zip(found, optimum, strict=True))
        for name, found in others
    )
    nothing_done = amounts.get("none", [math.inf] * len(optimum))
    lines = ["", f"L1 relative to the optimum ({exact}) at the three epochs: {'; '.join(ratios)}."]
    for name, found in others:
        epochs = [
            str(point["epoch"])
            for point, l1, plain in zip(answers[0]["points"], found, nothing_done, strict=True)
            if l1 > plain
        ]
        if epochs:
            lines.append(
                f"At epoch {', '.join(epochs)} `{name}` is further from sparse than `none`, which does nothing:"
            )
            lines.append("the middle orders that it shows there are its own.")
    return lines


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "–"


def _draw(answers: list[dict[str, Any]]) -> Figure:
    """One column a setting, one row an epoch."""
    figure, axes = page(len(answers[0]["points"]), len(answers), width=2.2, height=1.7)
    for column, answer in enumerate(answers):
        for row, point in enumerate(answer["points"]):
            title = f"epoch {point['epoch']}, mean order {_number(point['mean_order'])}"
            full = f"{answer['setting']}\n{title}" if row == 0 else title
            distribution(axes[row][column], point["positive"], point["negative"], full)
    for row_of_axes in axes[1:]:
        same_scale(row_of_axes)
    for ax in axes[-1]:
        ax.set_xlabel("order", fontsize=7)
    for row_of_axes in axes:
        row_of_axes[0].set_ylabel("strength / order 1", fontsize=7)
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
