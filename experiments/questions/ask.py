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
from experiments.training import finished_record
from lightning_interactions.files import write_json

if TYPE_CHECKING:
    from pathlib import Path

    from experiments.restore import Restored

__all__ = ["ask"]

_WEIGHT_DECAYS = (0.0, 0.0005, 0.005)


def ask(run: Path, path: Path, *, again: bool = False) -> list[str]:
    """Measure what is missing in the file of answers.

    Answers about another run, other networks of it, or with another number of samples are dropped. Each question's
    surroundings are kept beside it, under ``measured``; those of the file itself are of the first one.

    Args:
        run: folder of a finished image run whose map's patches are masked.
        path: the JSON file of the answers; it is written again after each question.
        again: drop all answers.

    Returns:
        the questions that were measured.
    """
    folder = RunFolder(run)
    about = _about(folder)
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    if again or not _is_about(found, about):
        found = surroundings() | about | {"measured": {}, "answers": {}}
    missing = [question for question in QUESTIONS if question not in found["answers"]]
    networks = [restore(folder, epoch) for epoch in about["epochs"]] if missing else []
    for question in missing:
        found["answers"][question] = _answer(question, folder, networks)
        found.setdefault("measured", {})[question] = surroundings()
        write_json(path, found)
    return missing


def _about(folder: RunFolder) -> dict[str, Any]:
    """What the answers are about: the training, which of its networks, and how many samples."""
    return {
        "run": folder.name,
        "size": folder.config["size"],
        "seed": folder.config["seed_everything"],
        "epochs": [folder.history.epochs[0], folder.reference_epoch, folder.history.epochs[-1]],
        "n_samples": N_SAMPLES,
        "trained": (finished_record(folder.path) or {}).get("date"),
    }


def _is_about(found: dict[str, Any], about: dict[str, Any]) -> bool:
    """Whether answers are about this; files from before the training's date was noted say nothing of it."""
    return all(found.get(name, value if name == "trained" else None) == value for name, value in about.items())


def _answer(question: str, folder: RunFolder, networks: list[Restored]) -> list[dict[str, Any]]:
    if question == "weight_decay":
        return [trained_with(folder, decay) for decay in _WEIGHT_DECAYS]
    return [
        {"setting": label, "points": measure(networks, variables, solver)}
        for label, variables, solver in settings(question, networks[-1])
    ]
