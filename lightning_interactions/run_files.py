"""Where a monitor keeps what it measures: the names in a run's folder, for those who write and those who read.

A run's log directory holds the folder ``interactions``, and that one folder for each monitor with a name. In each lie
``history.json``, ``samples.json`` and one ``epoch=0000.npz`` a measurement, with a picture of the same name for runs
whose loggers show none.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

__all__ = [
    "history_file",
    "interactions_file",
    "measured_epochs",
    "monitor_folder",
    "monitor_folders",
    "picture_file",
    "run_folder",
    "samples_file",
]

_FOLDER = "interactions"
_HISTORY = "history.json"
_SAMPLES = "samples.json"


def monitor_folder(log_dir: str | os.PathLike[str], name: str = "") -> Path:
    """Where a monitor keeps its files.

    Args:
        log_dir: of the run.
        name: of the monitor, empty for one without.

    Example:
        >>> monitor_folder("version_0", "late").parts
        ('version_0', 'interactions', 'late')
    """
    return Path(log_dir, _FOLDER, name)


def history_file(folder: str | os.PathLike[str]) -> Path:
    """Where the records are kept.

    Example:
        >>> history_file("interactions").name
        'history.json'
    """
    return Path(folder, _HISTORY)


def samples_file(folder: str | os.PathLike[str]) -> Path:
    """Where it is kept what the explained samples look like.

    Example:
        >>> samples_file("interactions").name
        'samples.json'
    """
    return Path(folder, _SAMPLES)


def interactions_file(folder: str | os.PathLike[str], epoch: int) -> Path:
    """Where the interactions of an epoch are kept.

    Example:
        >>> interactions_file("interactions", 20).name
        'epoch=0020.npz'
    """
    return Path(folder, f"epoch={epoch:04d}.npz")


def picture_file(folder: str | os.PathLike[str], epoch: int, name: str) -> Path:
    """Where the picture of that name of an epoch is kept.

    Example:
        >>> picture_file("interactions", 20, "strength").name
        'epoch=0020_strength.png'
    """
    return Path(folder, f"epoch={epoch:04d}_{name}.png")


def measured_epochs(folder: str | os.PathLike[str]) -> list[int]:
    """The epochs of which a folder holds interactions, ascending.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> for epoch in (10, 5):
        ...     interactions_file(folder, epoch).touch()
        >>> measured_epochs(folder)
        [5, 10]
    """
    stems = (path.stem.partition("=")[2] for path in Path(folder).glob("epoch=*.npz"))
    return sorted(int(stem) for stem in stems if stem.isdigit())


def run_folder(run: str | os.PathLike[str]) -> Path:
    """The folder of a run that holds its history: ``run`` itself, or ``interactions`` in it.

    Raises:
        FileNotFoundError: if neither does.
    """
    for folder in (Path(run), monitor_folder(run)):
        if history_file(folder).is_file():
            return folder
    msg = (
        f"`run`: neither '{run}' nor its folder '{_FOLDER}' holds a '{_HISTORY}'."
        f" HINT: give the log directory of a training with an InteractionMonitor, e.g. 'lightning_logs/version_0'."
    )
    raise FileNotFoundError(msg)


def monitor_folders(path: str | os.PathLike[str]) -> Iterator[tuple[Path, Path, str]]:
    """Every monitor's folder that holds a history.

    Args:
        path: a run's log directory, its folder ``interactions``, or the folder of one named monitor in that.

    Yields:
        the monitor's folder, the run's log directory and the monitor's name, which is empty for one without.
    """
    path = Path(path)
    if not path.is_dir():
        return
    path = path.resolve()
    folder = path / _FOLDER if (path / _FOLDER).is_dir() else path
    if folder.name != _FOLDER and history_file(folder).is_file() and folder.parent.name == _FOLDER:
        yield folder, folder.parent.parent, folder.name
        return
    if history_file(folder).is_file():
        yield folder, folder.parent if folder.name == _FOLDER else folder, ""
    for child in sorted(folder.iterdir()):
        if history_file(child).is_file():
            yield child, folder.parent, child.name
