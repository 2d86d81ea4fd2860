"""A process of its own that is asked to stop when this one is."""

from __future__ import annotations

import signal
import subprocess
import threading
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["run_process"]

_REQUESTS = (signal.SIGTERM, signal.SIGINT)


def run_process(command: Sequence[str], output: IO[str] | None = None) -> int:
    """Run a command and wait for its end.

    A SIGTERM or SIGINT to this process goes on to the other one, so that it does not live on without anybody knowing.
    Once that has ended, this process does what the signal would have made it do.

    Args:
        command: the program and its arguments.
        output: where its output and errors go; to this process's own when ``None``.

    Returns:
        its exit code.

    Example:
        >>> import sys
        >>> run_process([sys.executable, "-c", "raise SystemExit(3)"])
        3
    """
    children: list[subprocess.Popen[bytes]] = []
    asked: list[int] = []

    def pass_on(number: int, _frame: Any) -> None:
        asked.append(number)
        for child in children:
            child.send_signal(number)

    with _handling(pass_on):
        errors = None if output is None else subprocess.STDOUT
        children.append(subprocess.Popen(command, stdout=output, stderr=errors))  # noqa: S603
        for number in asked:  # before there was anybody to pass it on to
            children[0].send_signal(number)
        code = children[0].wait()
    for number in asked[:1]:
        signal.raise_signal(number)
    return code


@contextmanager
def _handling(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Requests to stop go to the handler; those that this process ignores are still ignored."""
    if threading.current_thread() is not threading.main_thread():  # where Python lets nobody handle signals
        yield
        return
    before = {number: signal.getsignal(number) for number in _REQUESTS}
    before = {number: known for number, known in before.items() if known not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, known in before.items():
            signal.signal(number, known)
