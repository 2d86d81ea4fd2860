"""From what a file of interactions was made, as it says itself: whether it is still what its checkpoint would give."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lightning_interactions.callback.settings import changed_settings, changes_in_words
from lightning_interactions.interactions import Interactions

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Origin", "Standing", "digest", "seen_from", "standing"]

_KEY = "explained"
_BLOCK = 2**20


class Standing(Enum):
    """How a checkpoint stands to the file that is its own."""

    MISSING = "is not explained yet"
    CURRENT = "is explained"
    OUTDATED = "is to be explained again"
    UNKNOWN = "has a file that does not say from what it was made"
    TAKEN = "has a name under which another checkpoint's file lies"


@dataclass(frozen=True)
class Origin:
    """From what a file of interactions was made; kept in its provenance.

    Attributes:
        checkpoint: where that lies, seen from the folder of the file: both can be moved together.
        sha256: of the checkpoint's content.
        settings: what decides the numbers beside it, as texts.

    Example:
        >>> origin = Origin("../last.ckpt", "ab12", {"solver": "'auto'"})
        >>> Origin.of({"explained": origin.provenance()["explained"]}) == origin
        True
    """

    checkpoint: str
    sha256: str
    settings: Mapping[str, str]

    @classmethod
    def of(cls, provenance: Mapping[str, Any]) -> Origin | None:
        """What interactions say; ``None`` where they say nothing, as those of the monitor and of earlier versions."""
        kept = provenance.get(_KEY)
        if not isinstance(kept, dict) or not isinstance(kept.get("settings"), dict):
            return None
        return cls(str(kept.get("checkpoint")), str(kept.get("sha256")), kept["settings"])

    def provenance(self) -> dict[str, Any]:
        """What is added to the provenance of the interactions, as plain data."""
        return {_KEY: asdict(self)}


def standing(checkpoint: Path, file: Path, settings: Mapping[str, str]) -> tuple[Standing, str]:
    """Whether a checkpoint must be explained, and what a user should know about it.

    Args:
        checkpoint: the checkpoint.
        file: where its interactions are, or will be.
        settings: with which it is to be explained.

    Returns:
        how it stands, and why; the reason is empty where there is nothing to say.
    """
    if not file.exists():
        return Standing.MISSING, ""
    try:
        origin = Origin.of(Interactions.load(file).provenance)
    except ValueError as error:  # damaged, foreign, or of a newer version
        return Standing.UNKNOWN, str(error).partition(" HINT")[0].rstrip(".")
    if origin is None:
        return Standing.UNKNOWN, f"'{file}' does not say from what it was made"
    return _compared(origin, checkpoint, file, settings)


def _compared(origin: Origin, checkpoint: Path, file: Path, settings: Mapping[str, str]) -> tuple[Standing, str]:
    with checkpoint.open("rb") as content:
        same = digest(content) == origin.sha256
    if not same and origin.checkpoint != seen_from(file.parent, checkpoint):
        return Standing.TAKEN, f"'{file}' holds the interactions of '{origin.checkpoint}'"
    if not same:
        return Standing.OUTDATED, "it has changed since it was explained"
    changed = changed_settings(origin.settings, settings)
    if changed:
        return Standing.OUTDATED, f"settings changed: {changes_in_words(changed)}"
    return Standing.CURRENT, ""


def seen_from(folder: Path, checkpoint: Path) -> str:
    """Where a checkpoint lies, seen from a folder; a link stays what it is, for it may point elsewhere tomorrow.

    Example:
        >>> seen_from(Path("run", "interactions"), Path("run", "checkpoints", "last.ckpt"))
        '../checkpoints/last.ckpt'
    """
    place = checkpoint.parent.resolve() / checkpoint.name
    try:
        return Path(os.path.relpath(place, folder.resolve())).as_posix()
    except ValueError:  # on another drive of Windows
        return place.as_posix()


def digest(file: IO[bytes]) -> str:
    """SHA-256 of a file's content, from where it stands; it is not read as a whole into memory.

    Example:
        >>> import io
        >>> digest(io.BytesIO(b"weights"))[:8]
        '9a129038'
    """
    known = hashlib.sha256()
    while block := file.read(_BLOCK):
        known.update(block)
    return known.hexdigest()
