"""A monitor that measures at chosen epochs: early ones often, late ones seldom."""

from __future__ import annotations

from typing import Any

from lightning_interactions import InteractionMonitor

__all__ = ["ScheduledMonitor"]


class ScheduledMonitor(InteractionMonitor):
    """The package's monitor with a list of epochs in the place of a period.

    Args:
        at_epochs: the epochs to measure after; 0 is the untrained network. ``None`` measures every ``every_n_epochs``.
        **options: see :class:`~lightning_interactions.InteractionMonitor`.

    Example:
        >>> from lightning_interactions import FeatureMapPatches
        >>> monitor = ScheduledMonitor(FeatureMapPatches("features.4"), at_epochs=[0, 1, 2, 5])
        >>> [epoch for epoch in range(10) if monitor.should_measure(epoch)]
        [0, 1, 2, 5]
    """

    def __init__(self, *arguments: Any, at_epochs: list[int] | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.at_epochs = None if at_epochs is None else frozenset(at_epochs)

    def should_measure(self, epoch: int) -> bool:
        """Whether ``epoch`` is in the list."""
        return super().should_measure(epoch) if self.at_epochs is None else epoch in self.at_epochs
