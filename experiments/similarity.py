"""Interactions of training and of test samples at the same positions: what the Jaccard similarity of Fig. 6 needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback

from experiments.data.classification import ClassificationData
from experiments.data.dataset import rows_of_classes
from experiments.schedule import ScheduledMonitor
from lightning_interactions.masking.fixed import SamePositions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from experiments.data.dataset import Examples

__all__ = ["SimilarityMonitor"]


class SimilarityMonitor(Callback):
    """Measure training and test samples of the first classes at shared positions, at a few epochs.

    They are explained as the run's own monitor does it. The results lie in ``interactions/train/`` and
    ``interactions/test/``; row ``i`` of either is of class ``i // samples_per_class``, and the classes are repeated in
    ``data.json`` under ``similarity``. Training samples whose label was reset are left out, because they are of another
    class than their label says.

    Args:
        at_epochs: the epochs to measure after; none turns this off.
        n_classes: the classes 0 … ``n_classes - 1`` are measured.
        samples_per_class: training samples, and as many test samples, of each class.
        seed: decides which samples.
    """

    def __init__(
        self, at_epochs: list[int] | None = None, n_classes: int = 10, samples_per_class: int = 5, seed: int = 0
    ) -> None:
        super().__init__()
        self.at_epochs = at_epochs or []
        self.n_classes = n_classes
        self.samples_per_class = samples_per_class
        self.seed = seed
        self.monitors: list[ScheduledMonitor] = []
        self.classes: dict[str, list[int]] = {}
        """The class of every measured sample, for ``train`` and for ``test``."""

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Take the samples and make the two monitors."""
        data = trainer.datamodule
        if stage != "fit" or not self.at_epochs or not isinstance(data, ClassificationData):
            return
        main = next(callback for callback in trainer.callbacks if isinstance(callback, ScheduledMonitor))
        if data.train is None or data.test is None:
            msg = "SimilarityMonitor needs a data module whose `setup` has read the training and the test samples."
            raise RuntimeError(msg)
        samples = {
            "train": self._samples(data, data.train, without=data.reset_indices),
            "test": self._samples(data, data.test),
        }
        positions = SamePositions(main.variables, samples["train"][0])
        self.classes = {part: targets.tolist() for part, (_, targets) in samples.items()}
        self.monitors = [
            ScheduledMonitor(
                positions,
                at_epochs=self.at_epochs,
                n_samples=len(targets),
                n_loss_samples=len(targets),
                samples=(inputs, targets),
                name=part,
                **main.settings.arguments(),
            )
            for part, (inputs, targets) in samples.items()
        ]
        for monitor in self.monitors:
            monitor.setup(trainer, pl_module, stage)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """See :class:`~lightning_interactions.InteractionMonitor`."""
        for monitor in self.monitors:
            monitor.on_train_start(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """See :class:`~lightning_interactions.InteractionMonitor`."""
        for monitor in self.monitors:
            monitor.on_train_epoch_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """The state of both monitors."""
        return {str(monitor.name): monitor.state_dict() for monitor in self.monitors}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        for monitor in self.monitors:
            monitor.load_state_dict(state_dict[str(monitor.name)])

    def _samples(self, data: ClassificationData, examples: Examples, without: Sequence[int] = ()) -> Any:
        rows = rows_of_classes(examples.targets, self.n_classes, self.samples_per_class, self.seed, without)
        return data.collate([examples[row] for row in rows.tolist()])
