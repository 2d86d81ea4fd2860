"""Time and memory that a benchmark takes in this process."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["now", "peak_memory", "resident"]


def now(device: str) -> float:
    """The clock, once the device has done what it was given; on a CPU this process's own time on one thread of it.

    The clock would favour short runs where others use the machine, too.
    """
    if device == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def peak_memory(run: Callable[[], Any], device: str) -> float:
    """Megabytes that a call needs at most beyond what was there before it (Linux only)."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    before_mb = resident("VmRSS")
    _forget_peak()
    run()
    return resident("VmHWM") - before_mb


def resident(what: str) -> float:
    """Megabytes of this process: ``VmRSS`` now, ``VmHWM`` at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 2**10


def _forget_peak() -> None:
    """Let Linux count ``VmHWM`` from now on: making a network takes more memory than having it."""
    Path("/proc/self/clear_refs").write_text("5")
