"""Samples side by side: every thread of the processor solves some of them alone.

Threads that share an operation have to wait for each other after each of thousands, for which a core that another
process needs is enough: a solution that took 0.1 s a sample then takes ten seconds and more. And what they add up in
parts is rounded otherwise than by one thread alone. So every thread has samples of its own, with one thread for the
products within, and neither their number nor the other samples change a digit of the result.
"""

from __future__ import annotations

import ctypes
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from threadpoolctl import ThreadpoolController

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["in_parts", "most_workers", "one_thread", "side_by_side", "to_spare"]

_MOST_THREADS = 32
"""SciPy's BLAS has buffers for so many calls at a time."""

Result = TypeVar("Result")

_here = threading.local()


def most_workers(device: torch.device) -> int:
    """How many threads can solve samples on a device: as many as torch used here on a CPU, one elsewhere.

    Example:
        >>> most_workers(torch.device("cuda"))
        1
    """
    return min(getattr(_here, "before", torch.get_num_threads()), _MOST_THREADS) if device.type == "cpu" else 1


def in_parts(task: Callable[[slice], Result], samples: int, workers: int) -> list[Result]:
    """Run ``task`` on parts of the samples, each on a thread of its own.

    Gradient and inference mode are those of the caller.

    Args:
        task: given a slice of the samples; what it does with torch, BLAS and LAPACK is done by one thread.
        samples: how many there are.
        workers: the largest number of threads; with one, the caller's own does the work.

    Returns:
        What ``task`` returned for each part, in the order of the samples; one part at least, if an empty one.

    Example:
        >>> in_parts(lambda part: (part.start, part.stop), 5, workers=2)
        [(0, 2), (2, 5)]
    """
    workers = max(1, min(workers, samples))
    bounds = [samples * worker // workers for worker in range(workers + 1)]
    parts = [slice(*ends) for ends in pairwise(bounds)]
    spare = max(1, most_workers(torch.device("cpu")) // workers)
    with _libraries().limit(limits=1, user_api="blas"):
        if workers == 1:
            return [_alone(task, spare, parts[0])]
        modes = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(partial(_in_modes, modes, task, spare), parts))


def to_spare() -> int:
    """How many threads the task that runs here may use for itself: those left when all samples have one.

    Example:
        >>> in_parts(lambda _: to_spare(), 2, workers=32) == [max(1, most_workers(torch.device("cpu")) // 2)] * 2
        True
    """
    return getattr(_here, "spare", 1)


def side_by_side(task: Callable[[int], None], count: int, workers: int) -> None:
    """Run ``task``, which does not call torch, for 0, 1, …, ``count - 1`` on so many threads.

    Example:
        >>> done = []
        >>> side_by_side(done.append, 3, workers=2)
        >>> sorted(done)
        [0, 1, 2]
    """
    if min(workers, count) <= 1:
        for index in range(count):
            task(index)
        return
    with ThreadPoolExecutor(min(workers, count)) as pool:
        for _ in pool.map(task, range(count)):
            pass


def _in_modes(modes: tuple[bool, bool], task: Callable[[slice], Result], spare: int, part: slice) -> Result:
    inference, gradients = modes
    with torch.inference_mode(mode=inference), torch.set_grad_enabled(gradients):
        return _alone(task, spare, part)


def _alone(task: Callable[[slice], Result], spare: int, part: slice) -> Result:
    with one_thread():
        _here.spare = spare
        try:
            return task(part)
        finally:
            del _here.spare


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for the operations of torch that the current one calls, until the block ends; others keep theirs.

    Example:
        >>> with one_thread():
        ...     torch.get_num_threads()
        1
    """
    if hasattr(_here, "before"):
        yield
        return
    # The first call in a thread sets the number, and would undo a smaller one.
    _here.before = torch.get_num_threads()
    set_mkl_threads = _mkl_of_torch()
    mkl_before = set_mkl_threads(1)
    try:
        with _libraries().limit(limits=1, user_api="openmp"):
            yield
    finally:
        set_mkl_threads(mkl_before)
        del _here.before


@cache
def _mkl_of_torch() -> Callable[[int], int]:
    """What sets the number of threads, for the current one, of the MKL inside torch, and returns the number before.

    MKL goes by OpenMP until somebody calls ``torch.set_num_threads``; builds without it have nothing to set.
    """
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        return ctypes.CDLL(str(library)).MKL_Set_Num_Threads_Local
    except (OSError, AttributeError):
        return lambda number: number


@cache
def _libraries() -> ThreadpoolController:
    """Looking for the libraries of the process takes milliseconds; those used here are loaded with this module."""
    return ThreadpoolController()
