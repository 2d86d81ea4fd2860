"""What a run has left in its folder, read for a report."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lightning_interactions.history import History
from lightning_interactions.interactions import SHOWN_SAMPLES, Interactions, strongest_effects
from lightning_interactions.refit import refit
from lightning_interactions.run_files import (
    history_file,
    interactions_file,
    monitor_folder,
    monitor_folders,
    samples_file,
)

if TYPE_CHECKING:
    import os
    from pathlib import Path

__all__ = ["Run", "read_runs"]

_FIT = "decay_positive"


@dataclass(frozen=True)
class Run:
    """One monitor's measurements of one run.

    Attributes:
        name: of the run: the last two folders of its path.
        monitor: the monitor's name, empty for one without.
        history: all records, with the fit of decay and spindle where there could be one.
        strongest: for each epoch the strongest effects of the first samples.
        samples: what these samples look like, as plain data.
        last: the last measurement's interactions; ``None`` when none can be read.
        notes: what could not be read or done, for people.
    """

    name: str
    monitor: str
    history: History
    strongest: dict[int, list[dict[str, Any]]]
    samples: list[dict[str, Any]]
    last: Interactions | None
    notes: list[str] = field(default_factory=list)


def read_runs(path: str | os.PathLike[str]) -> list[Run]:
    """Read what the monitors of a run have measured, without its network.

    Records without a fit of decay and spindle get one.

    Args:
        path: the run's log folder, its ``interactions`` folder, or the folder of one named monitor in that.

    Returns:
        one entry for each monitor.

    Raises:
        FileNotFoundError: if there is no history in that folder.
        ValueError: if a history is damaged or empty.

    Example:
        >>> import tempfile
        >>> folder = monitor_folder(tempfile.mkdtemp(), "late")
        >>> History([{"epoch": 5, "mean_order": 2.1}]).save(history_file(folder))
        >>> [(run.monitor, run.history.epochs) for run in read_runs(folder)]
        [('late', [5])]
    """
    found = list(monitor_folders(path))
    if not found:
        msg = (
            f"`path` must be a folder with an InteractionMonitor's '{history_file(monitor_folder(''))}', got '{path}'."
            f" HINT: give the Trainer's log folder, e.g. lightning_logs/version_0."
        )
        raise FileNotFoundError(msg)
    return [_read(*monitor) for monitor in found]


def _read(folder: Path, log_dir: Path, monitor: str) -> Run:
    notes: list[str] = []
    history = _fitted(folder, notes)
    if not len(history):
        msg = f"'{history_file(folder)}' holds no measurement yet. HINT: at least one epoch must have been measured."
        raise ValueError(msg)
    strongest, last = {}, None
    for epoch in history.epochs:
        try:
            last = Interactions.load(interactions_file(folder, epoch))
        except FileNotFoundError:
            continue  # a measurement that failed has none
        except ValueError as error:
            notes.append(str(error).replace(str(folder), "…"))
            continue
        strongest[epoch] = strongest_effects(last)
    samples = _samples(samples_file(folder), notes) or ([] if last is None else _names_only(last))
    return Run("/".join(log_dir.parts[-2:]).lstrip("/"), monitor, history, strongest, samples, last, notes)


def _fitted(folder: Path, notes: list[str]) -> History:
    """The history, with a fit where the monitor has made none."""
    history = History.load(history_file(folder))
    if any(math.isfinite(value) for record in history for value in record.get(_FIT, ())):
        return history
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of files that cannot be read; they are noted elsewhere
            return refit(folder)
    except (ValueError, OSError) as error:
        notes.append(f"Decay and spindle could not be fitted: {error}".replace(str(folder), "…"))
        return history


def _samples(path: Path, notes: list[str]) -> list[dict[str, Any]]:
    """What the samples look like, as the monitor wrote it; the page relies on every key."""
    if not path.is_file():
        return []
    try:
        samples = json.loads(path.read_text(encoding="utf-8"))["samples"]
        return [_described(int(one["sample"])) | one for one in samples]
    except (ValueError, KeyError, TypeError) as error:
        notes.append(f"'{path.name}' cannot be read: {error}")
        return []


def _names_only(interactions: Interactions) -> list[dict[str, Any]]:
    return [
        _described(int(sample)) | {"names": list(interactions.variable_names(row))}
        for row, sample in enumerate(interactions.sample_numbers[:SHOWN_SAMPLES])
    ]


def _described(sample: int) -> dict[str, Any]:
    """A sample of which nothing is known."""
    return {"sample": sample, "title": f"sample {sample}", "names": [], "image": None, "cells": [], "words": []}
