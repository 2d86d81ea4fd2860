"""Share the samples out over the processes of a distributed training, and bring the results together."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from torch import distributed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import nn

__all__ = ["MISTAKES", "RankError", "first_rank_buffers", "is_grouped", "share_of", "share_out", "together"]

_T = TypeVar("_T")

MISTAKES = (ValueError, TypeError, LookupError, AttributeError, NotImplementedError, AssertionError)
"""Errors of code that was written or called wrongly, and not of what it met: memory, files, a device."""


class RankError(RuntimeError):
    """Another process of the training could not do its share."""


def together(work: Callable[[], _T]) -> list[_T]:
    """Let every process of the training do a piece of work; all get what all have made of it.

    A collective call. Where ``work`` raises on any process, all raise: its own error there, and elsewhere one of the
    same kind of :data:`MISTAKES`, or :class:`RankError`. So no process waits for one that has given up.

    Args:
        work: is called without arguments. What it returns is pickled.

    Returns:
        the results, rank by rank; in a single process ``[work()]``.

    Example:
        >>> together(lambda: 12)
        [12]
    """
    if not _many():
        return [work()]
    result: _T | None = None
    fault: Exception | None = None
    try:
        result = work()
    except Exception as error:  # noqa: BLE001  # every process must hear of it before it is raised
        fault = error
    told = None if fault is None else (_mistake(fault), type(fault).__name__, f"rank {distributed.get_rank()}: {fault}")
    reports: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(reports, (result, told))
    if fault is not None:
        try:
            raise fault
        finally:
            # The error knows this frame: it and all that failed, on the device too, would stay until a collection.
            del fault
    for _, elsewhere in reports:
        if elsewhere is not None:
            raise _error_elsewhere(*elsewhere)
    return [result for result, _ in reports]


def _mistake(error: Exception) -> str | None:
    """Which of :data:`MISTAKES` an error is, by name."""
    return next((kind.__name__ for kind in MISTAKES if isinstance(error, kind)), None)


def _error_elsewhere(mistake: str | None, kind: str, message: str) -> Exception:
    """What another process raises, as it can be raised here."""
    known = {each.__name__: each for each in MISTAKES}
    return RankError(f"{kind} on {message}") if mistake is None else known[mistake](message)


def share_out(samples: Sequence[int], work: Callable[[Sequence[int]], _T]) -> list[_T]:
    """Let each process of the training work on its share of the samples; all get all the parts.

    A collective call like :func:`together`: all processes must make it, with the same samples.

    Args:
        samples: what is shared out, in order.
        work: is called with this process's share, unless that is empty.

    Returns:
        what ``work`` gave, in the order of the samples.

    Example:
        >>> share_out([3, 4, 5], sum)
        [12]
    """
    rank, n_ranks = (distributed.get_rank(), distributed.get_world_size()) if _many() else (0, 1)
    share = share_of(samples, rank, n_ranks)
    return [part for parts in together(lambda: [work(share)] if share else []) for part in parts]


def share_of(samples: Sequence[int], rank: int, n_ranks: int) -> Sequence[int]:
    """The part of the samples that one process works on: in order, and no two parts differ by more than one sample.

    Example:
        >>> [list(share_of(range(5), rank, 3)) for rank in range(3)]
        [[0, 1], [2, 3], [4]]
    """
    size, rest = divmod(len(samples), n_ranks)
    start = rank * size + min(rank, rest)
    return samples[start : start + size + (rank < rest)]


@contextmanager
def first_rank_buffers(model: nn.Module) -> Iterator[None]:
    """Let all processes look at the same network: with the buffers of rank 0 while the block runs.

    Under DDP the weights are the same everywhere, but each process's batch norms have seen its own data since the last
    forward pass in training. A collective call.

    Example:
        >>> import torch
        >>> with first_rank_buffers(torch.nn.BatchNorm1d(2)):
        ...     pass
    """
    if not _many():
        yield
        return
    own = [(buffer, buffer.clone()) for buffer in model.buffers()]
    for buffer, _ in own:
        distributed.broadcast(buffer, src=0)
    try:
        yield
    finally:
        for buffer, value in own:
            buffer.copy_(value)


def is_grouped() -> bool:
    """Whether this process has joined others for a training, be it as the only one.

    Example:
        >>> is_grouped()
        False
    """
    return distributed.is_available() and distributed.is_initialized()


def _many() -> bool:
    return is_grouped() and distributed.get_world_size() > 1
