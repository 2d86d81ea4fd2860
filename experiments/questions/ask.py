"""From questions about a run to a file of answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from experiments.figures.run_folder import RunFolder
from experiments.questions.measure import N_SAMPLES, measure
from experiments.questions.settings import QUESTIONS, settings
from experiments.questions.weight_decay import trained_with
from experiments.record import surroundings
from experiments.restore import restore
from lightning_interactions.files import write_json

if TYPE_CHECKING:
    from pathlib import Path

    from experiments.restore import Restored

__all__ = ["ask"]

_WEIGHT_DECAYS = (0.0, 0.0005, 0.005)


def ask(run: Path, path: Path) -> None:
    """Measure what is missing in the file of answers.

    Args:
        run: folder of a finished image run whose map's patches are masked.
        path: the JSON file of the answers; it is written again after each question.
    """
    folder = RunFolder(run)
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"answers": {}}
    epochs = [folder.history.epochs[0], folder.reference_epoch, folder.history.epochs[-1]]
    found |= surroundings() | {
        "run": folder.name,
        "size": folder.config["size"],
        "seed": folder.config["seed_everything"],
        "epochs": epochs,
        "n_samples": N_SAMPLES,
    }
    missing = [question for question in QUESTIONS if question not in found["answers"]]
    networks = [restore(folder, epoch) for epoch in epochs] if missing else []
    for question in missing:
        found["answers"][question] = _answer(question, folder, networks)
        write_json(path, found)


def _answer(question: str, folder: RunFolder, networks: list[Restored]) -> list[dict[str, Any]]:
    if question == "weight_decay":
        return [trained_with(folder, decay) for decay in _WEIGHT_DECAYS]
    return [
        {"setting": label, "points": measure(networks, variables, solver)}
        for label, variables, solver in settings(question, networks[-1])
    ]
