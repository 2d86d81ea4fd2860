"""A bar while a measurement runs and a line when it is done, beside whatever bar the Trainer shows."""

from __future__ import annotations

import math
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import TQDMProgressBar
from pytorch_lightning.callbacks import TQDMProgressBar as StandaloneTQDMProgressBar
from tqdm.auto import tqdm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lightning_interactions.callback.faults import Faults

__all__ = ["announce", "measurement_bar", "measurement_line"]


def measurement_line(record: dict[str, Any], name: str | None = None) -> str:
    """One measurement in one line: epoch, phase, mean order, share of the spindle with its interval, and time.

    Args:
        record: the measurement as plain data.
        name: of the monitor.

    Example:
        >>> measurement_line({"epoch": 25, "phase": "overfitting", "mean_order": 2.33, "spindle_share": 0.08,
        ...                   "spindle_share_low": 0.02, "spindle_share_high": 0.2, "identified": 1, "seconds": 4.5})
        'Interactions, epoch 25: overfitting, mean order 2.33, spindle share 0.08 (0.02 … 0.20), 4.5 s'
    """
    parts = [str(record["phase"])]
    order = record["mean_order"]
    # A network without salient effects has no mean order either, but its measurement has samples.
    failed = not record.get("n_samples", 1)
    parts.append("measurement failed" if failed else f"mean order {order:.2f}" if math.isfinite(order) else "no order")
    share, low, high = (record.get(f"spindle_share{end}", math.nan) for end in ("", "_low", "_high"))
    if record.get("reference_epoch") == record["epoch"]:
        parts.append("lowest held-out loss so far: the reference for the spindle share")
    elif math.isfinite(share):
        interval = f"{low:.2f} … {high:.2f}"
        parts.append(
            f"spindle share {share:.2f} ({interval})"
            if record.get("identified", 1)
            else f"spindle share not identified ({interval})"
        )
    parts.append(f"{record['seconds']:.1f} s")
    who = "Interactions" if name is None else f"Interactions of {name}"
    return f"{who}, epoch {record['epoch']}: {', '.join(parts)}"


def announce(trainer: Any, text: str) -> None:
    """Print a line without breaking the Trainer's progress bar; only the first process does.

    Args:
        trainer: the Trainer, with or without a progress bar.
        text: the line.
    """
    if not trainer.is_global_zero:
        return
    bar = trainer.progress_bar_callback
    if bar is None or isinstance(bar, (TQDMProgressBar, StandaloneTQDMProgressBar)):
        # The bar's own `print` drops what comes before its first epoch.
        tqdm.write(text)
    else:
        bar.print(text)


@contextmanager
def measurement_bar(
    trainer: Any, description: str, total: int, faults: Faults
) -> Iterator[Callable[[int, int], None] | None]:
    """Show the progress of a measurement while the block runs.

    A bar that cannot be shown or removed costs the bar alone: the other processes count on the measurement.

    Args:
        trainer: the Trainer; without an enabled progress bar of its own nothing is shown.
        description: what is measured.
        total: samples to explain.
        faults: what happens to errors of the bar.

    Yields:
        ``update(done, total)``, or ``None`` when nothing is shown.
    """
    bar = trainer.progress_bar_callback
    if bar is None or not getattr(bar, "is_enabled", True) or not trainer.is_global_zero:
        yield None
        return
    # Rich's live display must hold our line too: a second display would fight with it for the terminal.
    show = _rich_bar if getattr(bar, "progress", None) is not None else _plain_bar
    update, shown = None, ExitStack()
    with faults.survived("showing the progress of a measurement"):
        update = shown.enter_context(show(bar, description, total))
    try:
        yield update
    finally:
        with faults.survived("removing the progress of a measurement"):
            shown.close()


@contextmanager
def _rich_bar(bar: Any, description: str, total: int) -> Iterator[Callable[[int, int], None]]:
    task = bar.progress.add_task(description, total=total)

    def update(done: int, _total: int) -> None:
        bar.progress.update(task, completed=done)
        bar.refresh()

    try:
        yield update
    finally:
        # Hidden and not removed: Lightning finds its own tasks by their position in the list.
        bar.progress.update(task, visible=False)


@contextmanager
def _plain_bar(_bar: Any, description: str, total: int) -> Iterator[Callable[[int, int], None]]:
    with tqdm(desc=description, total=total, unit="sample", leave=False, dynamic_ncols=True) as line:

        def update(done: int, _total: int) -> None:
            line.update(done - line.n)

        yield update
