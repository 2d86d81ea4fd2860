"""A training in a process of its own: how it is started, how it goes on, and whether it has ended."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from experiments.in_use import LOCK_FILE
from experiments.sizes import CONFIGS, config_files

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["finished_record", "resume_options", "start_clean", "training_command", "whole_record"]


def training_command(name: str, size: str, seed: int, runs: Path) -> list[str]:
    """The command line that trains a run.

    Args:
        name: of its configuration.
        size: any but ``"paper"`` lays its own configuration over the paper's.
        seed: the run's.
        runs: folder of the runs.

    Example:
        >>> from pathlib import Path
        >>> training_command("lenet_mnist", "paper", 0, Path("runs"))[:3]
        ['fit', '--config', 'configs/lenet_mnist.yaml']
    """
    configs = (file.relative_to(CONFIGS.parent) for file in config_files(name, size))
    options = [option for config in configs for option in ("--config", str(config))]
    options += [f"--seed_everything={seed}", f"--trainer.logger.init_args.save_dir={runs}"]
    options += ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    return ["fit", *options]


def finished_record(folder: Path) -> dict[str, Any] | None:
    """What the training has written into ``run.json`` by its end; ``None`` while it has not ended.

    Lightning ends a training that was asked to stop like one that is done, with code 0. This record is written by the
    end of a whole training only, and by the training itself, so it is there even if whoever started it is gone.

    Args:
        folder: the run's.

    Example:
        >>> from pathlib import Path
        >>> finished_record(Path("nowhere")) is None
        True
    """
    path = folder / "run.json"
    record: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return record if record.get("finished") else None


def whole_record(folder: Path) -> dict[str, Any]:
    """The same, for what may be said of a whole training only.

    Args:
        folder: the run's.

    Raises:
        RuntimeError: if the training has not come to its end.
    """
    record = finished_record(folder)
    if record is None:
        msg = (
            f"The training in '{folder}' must have come to its end, got one that goes on or was cut off. HINT: the"
            f" command that began it goes on where it was cut off with --ckpt_path last."
        )
        raise RuntimeError(msg)
    return record


def resume_options(folder: Path) -> list[str]:
    """What the command line needs beside :func:`training_command` to go on where a training was cut off.

    Args:
        folder: the run's.

    Example:
        >>> from pathlib import Path
        >>> resume_options(Path("nowhere"))
        []
    """
    return ["--ckpt_path=last"] * _can_go_on(folder)


def start_clean(folder: Path) -> None:
    """Remove the files of a training that was cut off before its first checkpoint: it starts anew, they are in the way.

    Args:
        folder: the run's; to be held by a :class:`~experiments.in_use.FolderLock`, whose file is left.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "config.yaml").write_text("left over")
        >>> start_clean(folder)
        >>> list(folder.iterdir())
        []
    """
    if _can_go_on(folder) or not folder.exists():
        return
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK_FILE:
            path.unlink()


def _can_go_on(folder: Path) -> bool:
    return (folder / "checkpoints" / "last.ckpt").exists()
