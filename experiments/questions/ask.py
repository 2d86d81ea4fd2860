"""From questions about a run to a file of answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from experiments.figures.run_folder import RunFolder
from experiments.questions import weight_decay
from experiments.questions.measure import N_SAMPLES, measure
from experiments.questions.settings import QUESTIONS, settings
from experiments.record import surroundings
from experiments.restore import restore
from experiments.training import whole_record
from lightning_interactions.files import write_json

if TYPE_CHECKING:
    from pathlib import Path

    from experiments.restore import Restored

__all__ = ["ask"]

_WEIGHT_DECAYS = (0.0, 0.0005, 0.005)


def ask(run: Path, path: Path, *, again: bool = False) -> list[str]:
    """Measure what is missing in the file of answers.

    Answers about another run, another training of it, other networks, or with another number of samples are dropped,
    and a question that is asked of other settings than it was is measured again. Each question's surroundings are kept
    beside it, under ``measured``; those of the file itself are of the first one.

    Args:
        run: folder of a finished image run whose map's patches are masked.
        path: the JSON file of the answers; it is written again after each question.
        again: drop all answers.

    Returns:
        the questions that were measured.

    Raises:
        RuntimeError: if the run's training has not come to its end.
    """
    folder = RunFolder(run)
    about = _about(folder)
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    if again or any(found.get(name) != value for name, value in about.items()):
        found = surroundings() | about | {"measured": {}, "answers": {}}
    networks = [restore(folder, epoch) for epoch in about["epochs"]]
    given = {question: [answer["setting"] for answer in answers] for question, answers in found["answers"].items()}
    missing = [question for question in QUESTIONS if given.get(question) != _asked(question, networks)]
    for question in missing:
        found["answers"][question] = _answer(question, folder, networks)
        found.setdefault("measured", {})[question] = surroundings()
        write_json(path, found)
        print(f"Measured: {question}", flush=True)  # the next may take many minutes
    return missing


def _about(folder: RunFolder) -> dict[str, Any]:
    """What the answers are about: the training, which of its networks, and how many samples."""
    return {
        "run": folder.name,
        "size": folder.config["size"],
        "seed": folder.config["seed_everything"],
        "epochs": [folder.history.epochs[0], folder.reference_epoch, folder.history.epochs[-1]],
        "n_samples": N_SAMPLES,
        "trained": whole_record(folder.path)["date"],
    }


def _asked(question: str, networks: list[Restored]) -> list[str]:
    """The settings of which a question is asked, by their names."""
    if question == "weight_decay":
        return [weight_decay.setting(decay) for decay in _WEIGHT_DECAYS]
    return [label for label, *_ in settings(question, networks[-1])]


def _answer(question: str, folder: RunFolder, networks: list[Restored]) -> list[dict[str, Any]]:
    if question == "weight_decay":
        return [weight_decay.trained_with(folder, decay) for decay in _WEIGHT_DECAYS]
    return [
        {"setting": label, "points": measure(networks, variables, solver)}
        for label, variables, solver in settings(question, networks[-1])
    ]
