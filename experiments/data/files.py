"""Messages about data that are missing or not what they should be: which file, and what to get from whose site."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Published", "short"]

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


@dataclass(frozen=True)
class Published:
    """A data set as its owners publish it.

    Args:
        name: of the data set.
        how_to_get: what to get, from whose site, and where to put it.

    Example:
        >>> from pathlib import Path
        >>> published = Published("Birds", "get birds.zip from https://birds.example and unpack it in 'data'.")
        >>> str(published.missing(Path("data", "birds")))
        "Birds was not found: there is no 'data/birds'. HINT: get birds.zip from https://birds.example and ..."
    """

    name: str
    how_to_get: str

    def missing(self, wanted: Path) -> FileNotFoundError:
        """The error for a file or folder that is not there."""
        return FileNotFoundError(f"{self.name} was not found: there is no '{wanted}'. HINT: {self.how_to_get}")

    def wrong(self, path: Path, expected: str, got: str) -> ValueError:
        """The error for a file that is not what it should be.

        Args:
            path: the file.
            expected: what it should hold.
            got: what it holds.
        """
        return ValueError(
            f"'{path}' should hold {expected}, got {got}. HINT: it is incomplete or another one: remove it and"
            f" {self.how_to_get}"
        )

    def wrong_line(self, path: Path, expected: str, line: Any, number: int) -> ValueError:
        """The error for a line of a table; a long one is shown in part. Lines are counted from 1."""
        return self.wrong(path, f"{expected} in every line", f"{short(line)} in line {number}")

    def lines(self, path: Path) -> list[str]:
        """The lines of a text file.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if it is no text.
        """
        if not path.is_file():
            raise self.missing(path)
        try:
            with path.open(encoding="utf-8") as file:
                return [line.removesuffix("\n") for line in file]
        except UnicodeDecodeError as error:
            raise self.wrong(path, "UTF-8 text", f"other bytes ({error})") from error


def short(value: Any) -> str:
    """How a message shows what was read: a long text in part, so that a file without line ends can be named, too.

    Example:
        >>> short("a" * 1000)
        "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'"
    """
    return _SHORT.repr(value)
