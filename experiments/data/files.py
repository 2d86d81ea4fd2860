"""Messages about data that are missing or not what they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["missing", "wrong"]


def missing(wanted: Path, what: str, hint: str) -> FileNotFoundError:
    """The error for data that are not there.

    Args:
        wanted: the file or folder that was looked for.
        what: name of the data set.
        hint: what to get, from where, and where to put it.
    """
    return FileNotFoundError(f"{what} was not found: there is no '{wanted}'. HINT: {hint}")


def wrong(path: Path, expected: str, got: str, hint: str = "get this file again; it may be incomplete.") -> ValueError:
    """The error for a file that is not what it should be.

    Args:
        path: the file.
        expected: what it should hold.
        got: what it holds.
        hint: what to do.
    """
    return ValueError(f"'{path}' should hold {expected}, got {got}. HINT: {hint}")
