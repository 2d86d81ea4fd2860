"""What a run has shown, for the terminal: a table of its measurements, a picture, and where everything lies."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.table import Table

from lightning_interactions.distribution.phases import end_of_normal_phase
from lightning_interactions.plots import strength_over_training

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from lightning_interactions.history import History

__all__ = ["bar_row", "print_summary", "time_points"]

_BARS = " ▁▂▃▄▅▆▇█"


def print_summary(history: History, folder: Path, phase_message: str, console: Console) -> None:
    """Print the table, draw the picture, and say where the run lies.

    Args:
        history: the run's measurements.
        folder: the run's folder of interactions; the picture is written into it.
        phase_message: the phase detector's last word.
        console: where to print.
    """
    console.print(_table(history))
    console.print(f"Phase: {phase_message}")
    picture = folder / "strength_over_training.png"
    figure, _ = strength_over_training(list(history), time_points(history))
    figure.savefig(picture, dpi=150)
    run = folder.parent
    for what, where in (
        ("Run", run),
        ("Picture", picture),
        ("TensorBoard", f"tensorboard --logdir {run.parent}"),
    ):
        # A path must stay whole to be copied.
        console.print(f"{what + ':':<13}{where}", soft_wrap=True, highlight=False)


def time_points(history: History) -> list[int]:
    """Up to four measured epochs that tell the story of a training.

    The untrained network, the middle and the end of the normal phase, and the last measurement. The normal phase ends
    where :func:`~lightning_interactions.distribution.phases.end_of_normal_phase` says.
    """
    epochs = history.epochs
    onset = next((record["onset_epoch"] for record in reversed(list(history))), math.nan)
    end = end_of_normal_phase(epochs, history.column("held_out_loss"), onset)
    end = epochs[0] if end is None else end
    middle = min(epochs, key=lambda epoch: abs(epoch - end / 2))
    return sorted({epochs[0], middle, end, epochs[-1]})


def bar_row(amounts: list[float]) -> str:
    """Non-negative amounts as one character each, relative to the largest; a dash where there is nothing to compare.

    Example:
        >>> bar_row([0.0, 1.0, 2.0, 4.0])
        ' ▂▄█'
    """
    largest = max((amount for amount in amounts if math.isfinite(amount)), default=0.0)
    return "".join(_bar(amount, largest) for amount in amounts)


def _bar(amount: float, largest: float) -> str:
    if largest == 0 or not math.isfinite(amount):
        return "–"
    return _BARS[math.ceil(amount / largest * (len(_BARS) - 1))]


def _table(history: History) -> Table:
    table = Table(title="Losses and strength of interactions by order")
    for name in ("epoch", "train", "held-out", "gap", "phase", "mean order"):
        table.add_column(name, justify="left" if name == "phase" else "right", no_wrap=name == "phase")
    n_variables = history[history.epochs[-1]]["n_variables"]
    table.add_column(f"orders 1…{n_variables}", no_wrap=True)
    for record in history:
        table.add_row(
            str(record["epoch"]),
            f"{record['train_loss']:.3f}",
            f"{record['held_out_loss']:.3f}",
            f"{record['loss_gap']:+.3f}",
            record["phase"],
            f"{record['mean_order']:.2f}",
            bar_row([up + down for up, down in zip(record["positive"], record["negative"], strict=True)]),
        )
    return table
