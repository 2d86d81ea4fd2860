"""Data as their owners publish them: fetched where that can be done, otherwise what to get from whose site.

A message about data that are missing or not what they should be names the file.
"""

from __future__ import annotations

import reprlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_interactions.checks import reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Published", "is_whole", "short"]

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


@dataclass(frozen=True)
class Published:
    """A data set as its owners publish it.

    Args:
        name: of the data set.
        by_hand: what to get, from whose site, and where to put it.
        can_be_fetched: whether ``--data.init_args.download=true`` does so.

    Example:
        >>> from pathlib import Path
        >>> published = Published("Birds", "get birds.zip from https://birds.example and unpack it in 'data'.")
        >>> str(published.missing(Path("data", "birds")))
        "Birds was not found: there is no 'data/birds'. HINT: get birds.zip from https://birds.example and ..."
    """

    name: str
    by_hand: str
    can_be_fetched: bool = False

    @property
    def how_to_get(self) -> str:
        """Every way to the data."""
        by_torchvision = " Or let torchvision do so with --data.init_args.download=true."
        return self.by_hand + by_torchvision * self.can_be_fetched

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

    def fetch(self, download: Callable[[Path], Any], root: Path, folder: str, sites: Sequence[str]) -> None:
        """Download the data; their files come to ``root / folder`` whole, and no sooner than all of them are there.

        Args:
            download: fetches the data into a folder that it is given, below which they lie in ``folder``.
            root: folder under which the data lie.
            folder: where in it.
            sites: from where, for the message.

        Raises:
            FileNotFoundError: if that fails; with the reason, and how to do it by hand.
        """
        try:
            root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="download-", dir=root) as fetched:
                download(Path(fetched))
                (root / folder).mkdir(parents=True, exist_ok=True)
                for path in Path(fetched, folder).iterdir():
                    path.replace(root / folder / path.name)
        except Exception as error:  # the network, the site, the archive and the disk fail in a dozen ways
            msg = (
                f"{self.name} could not be downloaded from {' or '.join(sites)} ({reason_of(error)})."
                f" HINT: {self.by_hand}"
            )
            raise FileNotFoundError(msg) from error

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


def is_whole(read: Callable[[], Any]) -> bool:
    """Whether data are there and as they should be: whether reading them raises nothing of :class:`Published`.

    Example:
        >>> published = Published("Birds", "get birds.zip from https://birds.example and unpack it in 'data'.")
        >>> is_whole(lambda: published.lines(Path("nowhere", "birds.txt")))
        False
    """
    try:
        read()
    except (FileNotFoundError, ValueError):
        return False
    return True


def short(value: Any) -> str:
    """How a message shows what was read: a long text in part, so that a file without line ends can be named, too.

    Example:
        >>> short("a" * 1000)
        "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'"
    """
    return _SHORT.repr(value)
