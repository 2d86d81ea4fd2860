"""Where a measurement goes: the files of the run, pictures and the Interactions tab of the loggers, the screen."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lightning_interactions.callback.loggers import log_pictures, save_pictures
from lightning_interactions.callback.progress import announce, measurement_line
from lightning_interactions.callback.tab import log_measurement, log_refit, log_samples, samples_document
from lightning_interactions.files import write_whole
from lightning_interactions.run_files import history_file, interactions_file, samples_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from lightning_interactions.callback.samples import Samples
    from lightning_interactions.history import History
    from lightning_interactions.interactions import Interactions
    from lightning_interactions.masking.variables import Variables

__all__ = ["Publisher"]


class Publisher:
    """Publish what one run measures. What fails here is left to ``survived``.

    Args:
        trainer: the Trainer; only its first process publishes.
        folder: of the run's files.
        prefix: of every tag.
        name: of the monitor, where it has one.
        survived: ``survived(doing)`` takes any error out of its block.
        verbose: whether to print a line for each measurement.
    """

    def __init__(
        self,
        trainer: Any,
        folder: Path,
        prefix: str,
        name: str | None,
        survived: Callable[[str], AbstractContextManager[None]],
        *,
        verbose: bool,
    ) -> None:
        self._trainer = trainer
        self._folder = folder
        self._prefix = prefix
        self._name = name
        self._survived = survived
        self._verbose = verbose

    def begin(self, samples: Samples, variables: Variables, history: History) -> None:
        """Show what is explained and, where a training is resumed, what was measured before."""
        with self._survived("showing the samples"):
            document = samples_document(samples.inputs, variables, samples.targets)
            with write_whole(samples_file(self._folder)) as file:
                file.write(json.dumps(document).encode())
            for logger in self._trainer.loggers:
                log_samples(logger, document, self._step, self._prefix)
                if len(history):
                    log_refit(logger, history, self._step, self._prefix, whole=True)

    def measurement(self, epoch: int, history: History, interactions: Interactions | None, changed: list[int]) -> None:
        """Publish one measurement, and the earlier ones that it changed.

        Args:
            epoch: of the measurement.
            history: all records.
            interactions: what was measured; ``None`` where that failed.
            changed: epochs whose records are fitted anew.
        """
        record = history[epoch]
        with self._survived("writing the results"):
            history.save(history_file(self._folder))
            if interactions is not None:
                interactions.save(interactions_file(self._folder, epoch))
        shown = [self._show(logger, record, interactions) for logger in self._trainer.loggers]
        if interactions is not None and not any(shown):
            with self._survived("drawing a picture"):
                save_pictures(self._folder, record)
        self.refit(history, [other for other in changed if other != epoch], save=False)
        if self._verbose:
            with self._survived("printing the results"):
                announce(self._trainer, measurement_line(record, self._name))

    def refit(self, history: History, changed: list[int], *, save: bool = True) -> None:
        """Publish records whose fit has changed."""
        if not changed:
            return
        if save:
            with self._survived("writing the results"):
                history.save(history_file(self._folder))
        for logger in self._trainer.loggers:
            with self._survived("writing for the Interactions tab"):
                log_refit(logger, history, self._step, self._prefix)

    def _show(self, logger: Any, record: dict[str, Any], interactions: Interactions | None) -> bool:
        """Whether the logger shows pictures."""
        with self._survived("writing for the Interactions tab"):
            log_measurement(logger, record, interactions, self._step, self._prefix)
        if interactions is not None:
            with self._survived("drawing for the loggers"):
                return log_pictures(logger, interactions, record, self._step, self._prefix)
        return False

    @property
    def _step(self) -> int:
        """Where Lightning puts what is logged at the end of an epoch."""
        return max(0, self._trainer.fit_loop.epoch_loop._batches_that_stepped - 1)  # noqa: SLF001
