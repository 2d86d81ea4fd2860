"""What a finished run has left on the disk, by name."""

from __future__ import annotations

import json
import math
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.core.saving import load_hparams_from_yaml

from lightning_interactions import Interactions
from lightning_interactions.distribution.phases import end_of_normal_phase
from lightning_interactions.history import History
from lightning_interactions.run_files import history_file, interactions_file, measured_epochs, monitor_folder

if TYPE_CHECKING:
    import os

__all__ = ["RunFolder"]


class RunFolder:
    """The folder that ``python -m experiments fit`` has written.

    Args:
        path: the folder that holds ``config.yaml`` and ``interactions/``.

    Raises:
        FileNotFoundError: if there is no run in it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not history_file(monitor_folder(self.path)).exists():
            msg = (
                f"`run` must be the folder of a run with an 'interactions/history.json' in it, got '{path}'."
                f" HINT: python -m experiments fit --config configs/….yaml prints it as 'Run:'."
            )
            raise FileNotFoundError(msg)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The whole configuration of the run, as Lightning's command line has saved it."""
        return dict(load_hparams_from_yaml(self.path / "config.yaml", use_omegaconf=False))

    @cached_property
    def history(self) -> History:
        """Its measurements, without those that failed."""
        records = History.load(history_file(monitor_folder(self.path)))
        return History(record for record in records if math.isfinite(record["mean_order"]))

    @property
    def name(self) -> str:
        """The configuration's name, which is the logger's."""
        return str(self.config["trainer"]["logger"]["init_args"]["name"])

    @property
    def n_variables(self) -> int:
        """Input variables of a sample."""
        return int(self.history[self.history.epochs[-1]]["n_variables"])

    @property
    def onset_epoch(self) -> float:
        """First epoch of the overfitting phase; NaN if it was not reached."""
        return float(self.history[self.history.epochs[-1]]["onset_epoch"])

    @property
    def reference_epoch(self) -> int:
        """The end of the normal phase, as the run's own fits took it."""
        epochs = self.history.epochs
        noted = self.history[epochs[-1]].get("reference_epoch", math.nan)
        if math.isfinite(noted) and int(noted) in self.history:
            return int(noted)
        end = end_of_normal_phase(epochs, self.history.column("held_out_loss"), self.onset_epoch)
        return epochs[0] if end is None else end

    def interactions(self, epoch: int, part: str = "") -> Interactions:
        """The interactions after ``epoch`` completed epochs; for Fig. 6 ``part`` is ``"train"`` or ``"test"``."""
        return Interactions.load(interactions_file(monitor_folder(self.path, part), epoch))

    def injected(self) -> Path:
        """Where ``python -m experiments inject`` keeps what it measures."""
        return self.path / "injected"

    @cached_property
    def similarity_classes(self) -> dict[str, list[int]]:
        """The class of each sample in ``interactions/train`` and ``interactions/test``; empty without these."""
        path = self.path / "data.json"
        return json.loads(path.read_text()).get("similarity", {}) if path.exists() else {}

    def similarity_epochs(self) -> list[int]:
        """Epochs at which training and test samples were measured at the same positions, ascending."""
        train, test = (measured_epochs(monitor_folder(self.path, part)) for part in ("train", "test"))
        return sorted({*train} & {*test}) if self.similarity_classes else []

    def time_points(self) -> list[int]:
        """Up to four measured epochs: A untrained, B the end of the normal phase, C midway from B to D, and D the last.

        They are the time points of Figs. 2, 5 and 9.
        """
        epochs, end = self.history.epochs, self.reference_epoch
        after = [epoch for epoch in epochs if epoch > end]
        middle = [min(after[:-1], key=lambda epoch: abs(epoch - (end + after[-1]) / 2))] if len(after) > 1 else []
        return sorted({epochs[0], end, *middle, *after[-1:]})
