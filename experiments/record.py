"""What a reader of a run must know to repeat it, written beside its results."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Callback

from experiments.data.classification import ClassificationData
from experiments.in_use import FolderLock
from experiments.processor import processor
from experiments.similarity import SimilarityMonitor
from lightning_interactions.files import write_json

if TYPE_CHECKING:
    from experiments.data.dataset import Examples

__all__ = ["RunRecord", "surroundings"]

_PACKAGES = ("lightning-interactions", "torch", "lightning", "torchvision", "transformers", "numpy", "scipy")
_CODE = Path(__file__).parent


def surroundings() -> dict[str, Any]:
    """Versions, machine, date and commit.

    Example:
        >>> sorted(surroundings())
        ['commit', 'date', 'machine', 'python', 'threads', 'versions']
    """
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    threads = f"{torch.get_num_threads()} thread{'s' * (torch.get_num_threads() > 1)}"
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": _commit(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "machine": f"{platform.system()} {platform.machine()}, {processor()}, {threads}, {device}",
        "threads": torch.get_num_threads(),
    }


class RunRecord(Callback):
    """Write ``data.json``, which samples were trained on and which labels were reset, and ``run.json``.

    ``run.json`` has the versions, machine, date and commit, the command, the seconds that the training took (for a
    resumed one with those before, up to the checkpoint), and the last values of everything logged by its end. While the
    training lasts, no other process may use the run's folder.
    """

    def __init__(self) -> None:
        super().__init__()
        self._started: float | None = None
        self._seconds_before = 0.0
        self._metrics: dict[str, float] = {}
        self._lock: FolderLock | None = None

    def state_dict(self) -> dict[str, Any]:
        """The seconds and the last logged values so far."""
        return {"seconds": self._seconds(), "metrics": self._metrics}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._seconds_before = state_dict.get("seconds", 0.0)
        self._metrics = state_dict.get("metrics", {})

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:  # noqa: ARG002  # Lightning's signature
        """Keep other processes out of the run's folder."""
        folder = _folder(trainer)
        if folder is not None and stage == "fit":
            self._lock = FolderLock(folder)
            self._lock.hold()

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:  # noqa: ARG002  # Lightning's signature
        """Let others in again."""
        self._release()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:  # noqa: ARG002
        """Let others in again; Lightning tears nothing down after an error."""
        self._release()

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002  # Lightning's signature
        """Write what is known before the training."""
        self._started = time.perf_counter()
        _write(trainer, "data.json", _data(trainer))
        _write(trainer, "run.json", surroundings() | {"command": sys.argv, "finished": False})

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002  # Lightning's signature
        """Note what was logged, for the checkpoint of this epoch."""
        self._metrics |= _metrics(trainer)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002  # Lightning's signature
        """Write what is known after it."""
        metrics = self._metrics | _metrics(trainer)
        end: dict[str, Any] = {"epochs": trainer.current_epoch, "seconds": self._seconds(), "metrics": metrics}
        if self._started is None:
            # Resumed with nothing left to train: what is written already is of the training, this process is not.
            end |= _written(trainer, "run.json")
        _write(trainer, "run.json", surroundings() | {"command": sys.argv} | end | {"finished": True})

    def _seconds(self) -> float:
        now = 0.0 if self._started is None else time.perf_counter() - self._started
        return self._seconds_before + now

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()


def _folder(trainer: Any) -> Path | None:
    """Where this process writes; one process of several does."""
    folder = trainer.log_dir  # a collective call: never inside a rank guard
    return None if folder is None or trainer.fast_dev_run or not trainer.is_global_zero else Path(folder)


def _write(trainer: Any, name: str, content: dict[str, Any]) -> None:
    folder = _folder(trainer)
    if folder is not None:
        write_json(folder / name, content)


def _written(trainer: Any, name: str) -> dict[str, Any]:
    folder = _folder(trainer)
    return {} if folder is None or not (folder / name).exists() else json.loads((folder / name).read_text())


def _metrics(trainer: Any) -> dict[str, float]:
    """The last logged values, without those that the history has."""
    metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
    return {name: value for name, value in metrics.items() if not name.startswith("interactions/")}


def _data(trainer: Any) -> dict[str, Any]:
    data = trainer.datamodule
    found: dict[str, Any] = {"reset_indices": list(getattr(data, "reset_indices", []))}
    if isinstance(data, ClassificationData) and data.train is not None and data.test is not None:
        found |= {"seed": data.seed, "train_rows": data.train.rows, "test_rows": data.test.rows}
        found["at_hand"] = _at_hand(data.train, data.test)
    for callback in trainer.callbacks:
        if isinstance(callback, SimilarityMonitor) and callback.classes:
            found["similarity"] = callback.classes
    return found


def _at_hand(train: Examples, test: Examples) -> dict[str, int]:
    """What the subsets were drawn from: so many samples, of so many classes."""
    return {"train": len(train.inputs), "test": len(test.inputs), "classes": int(train.targets.max()) + 1}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def _commit() -> str | None:
    """What was checked out when this process first asked: its code stays that, whatever is committed meanwhile."""
    command = ["git", "-C", str(_CODE), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
