"""Samples side by side: every thread of the processor solves some of them alone.

Threads that share an operation have to wait for each other after each of thousands, for which a core that another
process needs is enough: a solution that took 0.1 s a sample then takes ten seconds and more. And what they add up in
parts is rounded otherwise than by one thread alone. So every thread has samples of its own, with one thread for the
products within, and neither their number nor the other samples change a digit of the result.
"""

from __future__ import annotations

import ctypes
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from scipy.linalg import cython_blas  # noqa: F401  # its library is to be among those that are found
from threadpoolctl import LibController, ThreadpoolController

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Stopped", "check_stop", "in_parts", "most_workers", "one_thread", "side_by_side", "to_spare"]

_MOST_THREADS = 32
"""SciPy's BLAS has buffers for so many calls at a time."""

Result = TypeVar("Result")


class Stopped(Exception):  # noqa: N818  # nothing went wrong here
    """What runs here is not wanted any more: another part failed, or the caller was interrupted.

    Example:
        >>> issubclass(Stopped, Exception)
        True
    """


class _Here(threading.local):
    """What the current thread knows.

    Attributes:
        before: how many threads torch had before there was to be one.
        spare: see :func:`to_spare`.
        stop: set when the part that runs here is not wanted any more.
    """

    before: int | None = None
    spare: int = 1
    stop: threading.Event | None = None


_here = _Here()


def most_workers(device: torch.device) -> int:
    """How many threads can solve samples on a device: as many as torch used here on a CPU, one elsewhere.

    Example:
        >>> most_workers(torch.device("cuda"))
        1
    """
    return min(_here.before or torch.get_num_threads(), _MOST_THREADS) if device.type == "cpu" else 1


def in_parts(task: Callable[[slice], Result], samples: int, workers: int) -> list[Result]:
    """Run ``task`` on parts of the samples, each on a thread of its own.

    Gradient and inference mode are those of the caller.

    Args:
        task: given a slice of the samples; what it does with torch, BLAS and LAPACK is done by one thread. It calls
            :func:`check_stop` from time to time, so that an error or an interrupt ends all parts.
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
    with _one_blas_thread():
        if workers == 1:
            return [_alone(task, spare, _here.stop, parts[0])]
        modes, stop = (torch.is_inference_mode_enabled(), torch.is_grad_enabled()), threading.Event()
        with ThreadPoolExecutor(workers) as pool:
            done = [pool.submit(partial(_in_modes, modes, task, spare, stop), part) for part in parts]
            try:
                wait(done)
            finally:
                stop.set()
    for error in filter(None, (part.exception() for part in done)):
        if not isinstance(error, Stopped):
            raise error
    return [part.result() for part in done]


def check_stop() -> None:
    """End the part that runs here where it is not wanted any more.

    Raises:
        Stopped: if another part has failed, or the caller was interrupted.

    Example:
        >>> check_stop()  # nothing runs in parts here
    """
    if _here.stop is not None and _here.stop.is_set():
        raise Stopped


def to_spare() -> int:
    """How many threads the task that runs here may use for itself: those left when all samples have one.

    Example:
        >>> in_parts(lambda _: to_spare(), 2, workers=32) == [max(1, most_workers(torch.device("cpu")) // 2)] * 2
        True
    """
    return _here.spare


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


def _in_modes(
    modes: tuple[bool, bool], task: Callable[[slice], Result], spare: int, stop: threading.Event, part: slice
) -> Result:
    inference, gradients = modes
    with torch.inference_mode(mode=inference), torch.set_grad_enabled(gradients):
        return _alone(task, spare, stop, part)


def _alone(task: Callable[[slice], Result], spare: int, stop: threading.Event | None, part: slice) -> Result:
    outer = _here.spare, _here.stop
    with one_thread():
        try:
            _here.spare, _here.stop = spare, stop
            return task(part)
        except BaseException:
            if stop is not None:
                stop.set()
            raise
        finally:
            _here.spare, _here.stop = outer


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for the operations of torch that the current one calls, until the block ends; others keep theirs.

    Example:
        >>> with one_thread():
        ...     torch.get_num_threads()
        1
    """
    if _here.before is not None:
        yield
        return
    # The first call in a thread sets the number, and would undo a smaller one.
    before, set_mkl_threads = torch.get_num_threads(), _mkl_of_torch()
    mkl_before = set_mkl_threads(1)
    counts = [library.get_num_threads() for library in _libraries("openmp")]
    try:
        _here.before = before
        for library in _libraries("openmp"):
            _set_threads(library, 1)
        yield
    finally:
        for library, count in zip(_libraries("openmp"), counts, strict=True):
            _set_threads(library, count)
        set_mkl_threads(mkl_before)
        _here.before = None


class _OneBlasThread:
    """While any call is inside, BLAS has one thread; its number is that of the whole process."""

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._before: list[int] = []

    @contextmanager
    def __call__(self) -> Iterator[None]:
        libraries = _libraries("blas")
        with self._lock:
            if not self._inside:
                self._before = [library.get_num_threads() for library in libraries]
            self._inside += 1
            for library in libraries:
                _set_threads(library, 1)
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    for library, count in zip(libraries, self._before, strict=True):
                        _set_threads(library, count)


_one_blas_thread = _OneBlasThread()


def _set_threads(library: LibController, number: int) -> None:
    """Set it also where a limit of somebody else is in force, which newer threadpoolctl lets no other thread change."""
    getattr(library, "_real_set_num_threads", library.set_num_threads)(number)


@cache
def _libraries(api: str) -> list[LibController]:
    """The libraries of one kind in the process. Looking for them takes milliseconds."""
    return list(ThreadpoolController().select(user_api=api).lib_controllers)


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
