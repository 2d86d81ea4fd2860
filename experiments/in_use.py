"""One process at a time in a run's folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING

try:
    import fcntl
except ImportError:  # Windows: nothing keeps a second process away
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["LOCK_FILE", "FolderInUseError", "FolderLock"]

LOCK_FILE = ".in_use"
"""The file in the run's folder that the lock is on. It stays there; what counts is whether a process holds it."""

_TAKEN = (errno.EACCES, errno.EAGAIN)


class FolderInUseError(RuntimeError):
    """Another process works in the folder."""


class FolderLock:
    """Keep other processes out of a run's folder, until the lock is released or this process ends, however it ends.

    Args:
        folder: the run's folder; made when it is not there.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp(), "small-seed0")
        >>> with FolderLock(folder):
        ...     [file.name for file in folder.iterdir()]
        ['.in_use']
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        self._file: IO[str] | None = None

    def hold(self) -> None:
        """Take the lock.

        Raises:
            FolderInUseError: if another process has it; the message names the process.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        file = (self._folder / LOCK_FILE).open("a+")
        if not _locked(file):
            file.seek(0)
            holder = file.read().strip()
            file.close()
            msg = (
                f"The run's folder '{self._folder}' must be used by one process at a time, got it in use by process"
                f" {holder or 'unknown'}. HINT: wait for that process, or end it (kill {holder or 'its id'}); then the"
                " same command goes on."
            )
            raise FolderInUseError(msg)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    def release(self) -> None:
        """Let others in; nothing happens where the lock is not held."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> None:
        self.hold()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _locked(file: IO[str]) -> bool:
    """Whether this process has got the lock on a file, or there are no locks."""
    if fcntl is None:
        return True
    try:
        # Of the process and not of the open file, so that workers which it forks do not hold the lock after its end.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Any other error comes from a file system without locks: a training there is better than none.
        return error.errno not in _TAKEN
    return True
