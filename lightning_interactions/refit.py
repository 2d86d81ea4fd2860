"""Separate decay from spindle in a finished run, from its files alone."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_interactions.distribution.reference import FIT_LISTS, FIT_NUMBERS, ReferenceFits
from lightning_interactions.history import History
from lightning_interactions.interactions import Interactions
from lightning_interactions.run_files import history_file, interactions_file, measured_epochs, run_folder

if TYPE_CHECKING:
    import os

__all__ = ["refit"]


def refit(
    run: str | os.PathLike[str],
    reference: str | Interactions | os.PathLike[str] = "onset",
    *,
    threshold: float | None = None,
    delta_range: tuple[float, float] | None = None,
    bootstraps: int = 200,
) -> History:
    r"""Fit decay and spindle to every measured epoch of a stored run against one reference (Eq. 9).

    The network is not needed: what the monitor measured is read from the run's folder. Nothing is written.

    Args:
        run: the run's log directory, or the folder in it that holds ``history.json``.
        reference: ``"onset"``, ``"final"``, ``"current"``, interactions, or a file of saved interactions; see
            :class:`~lightning_interactions.distribution.reference.ReferenceFits`.
        threshold: effects of the reference up to this absolute value are left out; ``None`` takes its own, 0 none.
        delta_range: the :math:`\delta` allowed; see :func:`~lightning_interactions.disentangle`.
        bootstraps: resamplings for the intervals.

    Returns:
        the run's history, in which the keys of the fit (``spindle_share``, ``decay_positive``, …) come from this
        reference alone: they are NaN in the records of epochs whose interactions are not in the folder.

    Raises:
        FileNotFoundError: if the folder holds no run.
        ValueError: for an unknown reference, or one with another number of variables, or a damaged history.

    Warns:
        UserWarning: once for every file that cannot be read, and once for all epochs that were measured but have no
            file, as those before a resume that began a new folder.

    Example:
        >>> import tempfile, torch
        >>> from lightning_interactions import sparsify
        >>> from lightning_interactions.history import History
        >>> from lightning_interactions.run_files import history_file, interactions_file
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     interactions = sparsify(torch.tensor([[0.0, 1.0, 2.0, 3.5, 1.0, 2.5, 3.0, 5.0]]))
        ...     path = interactions.save(interactions_file(folder, 5))
        ...     History([{"epoch": 5, "held_out_loss": 0.4}]).save(history_file(folder))
        ...     refit(folder)[5]["reference_epoch"]
        5
    """
    folder = run_folder(run)
    history = History.load(history_file(folder))
    if not isinstance(reference, Interactions) and Path(reference).suffix:
        reference = Interactions.load(reference)
    fits = ReferenceFits(
        reference,  # type: ignore[arg-type]  # a path without a suffix is refused as an unknown name
        threshold=threshold,
        delta_range=delta_range,
        bootstraps=bootstraps,
    )
    for record in list(history):
        history.update(record["epoch"], _without_fit(record))
    stored = [epoch for epoch in measured_epochs(folder) if epoch in history]
    _warn_of_missing(folder, history, stored)
    for epoch in stored:
        try:
            interactions = Interactions.load(interactions_file(folder, epoch))
        except ValueError as error:
            warnings.warn(f"{error} Epoch {epoch} has no fit.", stacklevel=2)
            continue
        _check_variables(reference, interactions)
        fits.add(epoch, interactions, _number(folder, history[epoch], "held_out_loss"))
        if reference == "current":
            _update(history, fits)
    onset = _number(folder, list(history)[-1], "onset_epoch") if len(history) else None
    _update(history, fits, onset)
    return history


def _without_fit(record: dict[str, Any]) -> dict[str, Any]:
    """The keys of a record's fit, which has another reference, with NaN."""
    fit = {key: record[key] for key in (*FIT_NUMBERS, *FIT_LISTS) if key in record}
    return {key: [math.nan] * len(value) if isinstance(value, list) else math.nan for key, value in fit.items()}


def _warn_of_missing(folder: Path, history: History, stored: list[int]) -> None:
    """Warn of epochs without a file, but for those whose measurement failed, which never had one."""
    missing = [record["epoch"] for record in history if record.get("n_samples") and record["epoch"] not in stored]
    if missing:
        warnings.warn(
            f"'{folder}' holds no interactions of the epochs {missing}, which have no fit. HINT: a resumed training"
            f" leaves them in the folder it began in: copy its files 'epoch=….npz' here.",
            stacklevel=3,
        )


def _number(folder: Path, record: dict[str, Any], key: str) -> float:
    """A number of a record; NaN where it lacks it."""
    value = record.get(key, math.nan)
    if not isinstance(value, (int, float)):
        msg = f"'{key}' of epoch {record['epoch']} must be a number, got {value!r} in '{history_file(folder)}'."
        raise ValueError(msg)  # noqa: TRY004  # what a file holds, not a programmer
    return value


def _update(history: History, fits: ReferenceFits, onset_epoch: float | None = None) -> None:
    for epoch, fit in fits.update(onset_epoch, finished=True).items():
        history.update(epoch, fit)


def _check_variables(reference: object, interactions: Interactions) -> None:
    if isinstance(reference, Interactions) and reference.n_variables != interactions.n_variables:
        msg = (
            f"`reference` has {reference.n_variables} input variables, the run has {interactions.n_variables}."
            f" HINT: the decay is compared order by order: use the same number."
        )
        raise ValueError(msg)
