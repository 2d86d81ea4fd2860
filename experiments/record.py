"""What a reader of a run must know to repeat it, written beside its results."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback

from experiments.data.classification import ClassificationData
from experiments.similarity import SimilarityMonitor
from lightning_interactions.files import write_json

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
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": _commit(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "machine": f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads, {device}",
        "threads": torch.get_num_threads(),
    }


class RunRecord(Callback):
    """Write ``data.json``, which samples were trained on and which labels were reset, and ``run.json``.

    ``run.json`` has the versions, machine, date and commit, the command, the seconds that the training took (for a
    resumed one with those before, up to the checkpoint), and the last values of everything logged by its end.
    """

    def __init__(self) -> None:
        super().__init__()
        self._started = time.perf_counter()
        self._seconds_before = 0.0

    def state_dict(self) -> dict[str, Any]:
        """The seconds so far."""
        return {"seconds": self._seconds()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._seconds_before = state_dict.get("seconds", 0.0)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002  # Lightning's signature
        """Write what is known before the training."""
        self._started = time.perf_counter()
        self._write(trainer, "data.json", _data(trainer))
        self._write(trainer, "run.json", surroundings() | {"command": sys.argv, "finished": False})

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002  # Lightning's signature
        """Write what is known after it."""
        metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
        found = {
            "command": sys.argv,
            "finished": True,
            "epochs": trainer.current_epoch,
            "seconds": self._seconds(),
            "metrics": {name: value for name, value in metrics.items() if not name.startswith("interactions/")},
        }
        self._write(trainer, "run.json", surroundings() | found)

    def _seconds(self) -> float:
        return self._seconds_before + time.perf_counter() - self._started

    def _write(self, trainer: Any, name: str, content: dict[str, Any]) -> None:
        folder = trainer.log_dir  # a collective call: never inside a rank guard
        if folder is None or trainer.fast_dev_run or not trainer.is_global_zero:
            return
        write_json(Path(folder, name), content)


def _data(trainer: Any) -> dict[str, Any]:
    data = trainer.datamodule
    found: dict[str, Any] = {"reset_indices": list(getattr(data, "reset_indices", []))}
    if isinstance(data, ClassificationData) and data.train is not None and data.test is not None:
        found |= {"seed": data.seed, "train_rows": data.train.rows, "test_rows": data.test.rows}
    for callback in trainer.callbacks:
        if isinstance(callback, SimilarityMonitor) and callback.classes:
            found["similarity"] = callback.classes
    return found


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    command = ["git", "-C", str(_CODE), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
