"""A bar for one measurement, beside whatever bar the Trainer shows."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["measurement_bar"]


@contextmanager
def measurement_bar(trainer: Any, description: str, total: int) -> Iterator[Callable[[int, int], None] | None]:
    """Show the progress of a measurement while the block runs.

    Args:
        trainer: the Trainer; without an enabled progress bar of its own nothing is shown.
        description: what is measured.
        total: samples to explain.

    Yields:
        ``update(done, total)``, or ``None`` when nothing is shown.
    """
    bar = trainer.progress_bar_callback
    if bar is None or not getattr(bar, "is_enabled", True) or not trainer.is_global_zero:
        yield None
        return
    # Rich's live display must hold our line too: a second display would fight with it for the terminal.
    show = _rich_bar if getattr(bar, "progress", None) is not None else _plain_bar
    with show(bar, description, total) as update:
        yield update


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
