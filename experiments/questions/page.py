"""The page of answers, with its figures, from the file of answers and nothing else."""

from __future__ import annotations

import json
import math
import textwrap
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from experiments.claims import MEAN_ORDER_CHANGE
from experiments.early_signs import early_signs, signs_answer, signs_table
from experiments.figures.draw import distribution, page, same_scale
from experiments.figures.fits import share_in_words
from experiments.questions.settings import QUESTIONS
from experiments.results import load_results
from lightning_interactions.distribution.disentangle import WIDEST_SHARE
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

    Raises:
        FileNotFoundError: if nothing was measured yet.
    """
    if not path.exists():
        msg = f"There are no answers in '{path}'. HINT: python -m experiments questions --run FOLDER measures them."
        raise FileNotFoundError(msg)
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
        said = _wrapped(_ANSWERS.get(question, _course)(answers))
        lines += [f"## {text}", "", said, "", *_table(answers), *beside, "", f"![{text}](questions/{question}.png)", ""]
        if question == "weight_decay":
            curves = page_path.parent / "questions" / "weight_decay_over_training.png"
            with write_whole(curves) as file:
                _draw_curves(answers).savefig(file, dpi=100, format="png")
            lines += ["![Mean order and loss gap over the training](questions/weight_decay_over_training.png)", ""]
    signs = early_signs(load_results(path.parent if results is None else results))
    if signs:
        text = "Is it an earlier sign of overfitting than simpler measures?"
        lines += [f"## {text}", "", _wrapped(signs_answer(signs)), "", *signs_table(signs), ""]
    with write_whole(page_path) as file:
        file.write("\n".join(lines).encode())
    return page_path


def _page_head(found: dict[str, Any]) -> str:
    first, end, last = found["epochs"]
    text = f"""\
The networks of one run (`{found["run"]}`, {found["size"]} size, seed {found["seed"]}) after {first}, {end} and {last}
epochs (untrained, the end of the normal phase, the end), explained in other ways: {found["n_samples"]} test samples for
each setting (for weight decay the run's own). All settings of a question have the same solver
({_solvers(found["answers"])}), but for the question about solvers. The spindle share is that of Eq. 9, with the same
setting's epoch {end} as the reference, where it is 0 by construction; a share whose interval is wider than
{WIDEST_SHARE} is not identified. In the answers a change of the mean order counts from {MEAN_ORDER_CHANGE} on; less is
within the spread between draws of 20 to 50 samples. In the pictures blue is in favour of the true class and orange
against it; strength is relative to order 1, and the scales differ. Measured on {found["machine"]},
{found["date"][:10]}, commit {str(found["commit"])[:7]}."""
    return f"""# What the numbers depend on

Written by `python -m experiments questions` from `experiments/results/questions.json`; no number is typed by hand.

{_wrapped(text)}
"""


def _solvers(found: dict[str, list[dict[str, Any]]]) -> str:
    """The solvers of all questions but the one about them."""
    others = (answers for question, answers in found.items() if question != "solver")
    names = {point["solver"] for answers in others for answer in answers for point in answer["points"]}
    return " or ".join(f"`{name}`" for name in sorted(names))


def _course(answers: list[dict[str, Any]]) -> str:
    """Whether the mean order falls and rises again in every setting, and how large it and the last share are."""
    orders = [[point["mean_order"] for point in answer["points"]] for answer in answers]
    names = [answer["setting"] for answer in answers]
    falls = [first - end >= MEAN_ORDER_CHANGE for first, end, _ in orders]
    rises = [last - end >= MEAN_ORDER_CHANGE for _, end, last in orders]
    known = [
        answer["points"][-1]["spindle_share"]
        for answer in answers
        if _width(answer["points"][-1]["spindle_share_interval"]) <= WIDEST_SHARE
    ]
    alike = len(set(falls)) == len(set(rises)) == 1
    return (
        f"{'The course does not, the size does' if alike else 'Yes'}: the mean order falls in the normal phase in"
        f" {_of_all(names, falls)} and rises again after it in {_of_all(names, rises)}; untrained it is"
        f" {_range([first for first, _, _ in orders])}, at the end {_range([last for _, _, last in orders])}. The last"
        f" spindle share is identified in {len(known)} of {len(orders)} settings"
        + (f" and is {_range(known)} there." if known else ".")
    )


def _of_all(names: list[str], those: list[bool]) -> str:
    """How many settings, and where they part into two kinds, which are the fewer.

    Example:
        >>> print(_of_all(["a", "b", "c"], [True, False, True]), _of_all(["a", "b"], [True, True]), sep="; ")
        2 of 3 settings (not: b); 2 of 2 settings
    """
    few = 2 * sum(those) <= len(those)
    named = [name for name, is_one in zip(names, those, strict=True) if is_one == few]
    kinds = f" ({'' if few else 'not: '}{'; '.join(named)})" if len(set(those)) > 1 else ""
    return f"{sum(those)} of {len(those)} settings{kinds}"


def _stopping_early(answers: list[dict[str, Any]]) -> str:
    """How far the published recipe ends above the optimum, and what that does to the mean order."""
    points = {answer["setting"]: answer["points"] for answer in answers}
    exact, recipe = points["interior_point"], points["sgd"]
    ratios = [mine["l1"] / best["l1"] for mine, best in zip(recipe, exact, strict=True)]
    courses = (" → ".join(_number(point["mean_order"]) for point in found) for found in (recipe, exact))
    amounts = ", ".join(f"{ratio:.3g}" for ratio in ratios)
    return (
        f"{'Yes' if max(ratios) > _STOPPED_EARLY else 'No'}: `sgd` ends at {amounts} times the least L1, and its mean"
        " order is {}, the exact one {}.".format(*courses)
    )


def _weight_decay(answers: list[dict[str, Any]]) -> str:
    """Mean order, strength and loss gap at the end of the training, setting by setting."""
    ends = [answer["points"][-1] for answer in answers]
    settings = ", ".join(answer["setting"].removeprefix("weight decay ") for answer in answers)
    orders = " → ".join(_number(point["mean_order"]) for point in ends)
    amounts = " → ".join(f"{point['l1']:.3g}" for point in ends)
    gaps = " → ".join(_number(answer["loss_gap"][-1]) for answer in answers)
    return (
        f"With a weight decay of {settings} the training ends with a mean order of {orders}, an L1 of {amounts} and a"
        f" loss gap of {gaps} nats; one training each."
    )


_WIDTH = 120
"""Of the page's lines, but for tables."""

_STOPPED_EARLY = 1.01
"""An L1 of more than this times the least one is not that of a sparsest explanation."""

_ANSWERS = {"solver": _stopping_early, "weight_decay": _weight_decay}


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _range(values: list[float]) -> str:
    return f"{_number(min(values))} … {_number(max(values))}"


def _width(interval: list[float]) -> float:
    return interval[1] - interval[0]


def _table(answers: list[dict[str, Any]]) -> list[str]:
    lines = ["| setting | mean order | spindle share (interval), untrained and last | L1 | largest proven gap |"]
    lines.append("|---|---|---|---|---|")
    for answer in answers:
        points = answer["points"]
        orders = " → ".join(_number(point["mean_order"]) for point in points)
        shares = ", ".join(
            share_in_words(point["spindle_share"], *point["spindle_share_interval"])
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
