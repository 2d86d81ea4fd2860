"""In which phase a training is, told from the gap between held-out and training loss."""

from __future__ import annotations

import math
from typing import Any, Literal

__all__ = ["Phase", "PhaseDetector"]

Phase = Literal["normal", "overfitting"]


class PhaseDetector:
    """Find, while training runs, the epoch at which the loss gap begins to grow (Section 2.2.1).

    In the *normal* phase the gap between held-out and training loss stays close to its lowest value; in the
    *overfitting* phase it grows. The phase changes once ``patience`` measurements in a row lie more than ``rise`` above
    the lowest gap seen before them; the first of them is the onset. A gap that falls back as long returns to normal.

    Args:
        rise: how far above the lowest gap counts as growth, in the unit of the loss (nats for cross-entropy).
        patience: how many measurements in a row are needed; one high value is noise.

    Raises:
        ValueError: if ``rise`` is not positive or ``patience`` is below 1.

    Example:
        >>> detector = PhaseDetector(rise=0.1, patience=2)
        >>> for epoch, gap in enumerate([0.0, -0.05, 0.0, 0.2, 0.4]):
        ...     phase = detector.update(epoch=epoch, gap=gap)
        >>> detector.phase, detector.onset_epoch
        ('overfitting', 3)
        >>> print(detector.phase_message)
        overfitting since epoch 3: the loss gap is 0.400, its lowest was -0.050 at epoch 1
    """

    def __init__(self, rise: float = 0.1, patience: int = 2) -> None:
        if not rise > 0:
            msg = f"`rise` must be a positive number of the loss's unit, got {rise!r}."
            raise ValueError(msg)
        if patience < 1:
            msg = f"`patience` must be at least 1 measurement, got {patience!r}."
            raise ValueError(msg)
        self.rise = rise
        self.patience = patience
        self.phase: Phase = "normal"
        self.onset_epoch: int | None = None
        self._epoch: int | None = None
        self._gap = math.nan
        self._lowest_gap = math.inf
        self._lowest_epoch: int | None = None
        self._against: list[int] = []

    def update(self, *, epoch: int, gap: float) -> Phase:
        """Take in one measurement, in the order of training.

        A gap that is not finite is passed over, and so is the last epoch once more, which a resumed training measures.

        Args:
            epoch: completed training epochs.
            gap: held-out loss minus training loss.

        Returns:
            the phase after this measurement.
        """
        epoch, gap = int(epoch), float(gap)  # a NumPy number in a checkpoint would make the user's resume fail
        if not math.isfinite(gap) or epoch == self._epoch:
            return self.phase
        self._epoch, self._gap = epoch, gap
        high = gap > self._lowest_gap + self.rise
        self._collect_evidence(epoch, against=high == (self.phase == "normal"))
        if gap < self._lowest_gap:
            self._lowest_gap, self._lowest_epoch = gap, epoch
        return self.phase

    @property
    def phase_message(self) -> str:
        """The phase and the reason for it, in words."""
        if self._epoch is None:
            return "normal: no loss gap has been measured yet"
        lowest = f"the loss gap is {self._gap:.3f}, its lowest was {self._lowest_gap:.3f} at epoch {self._lowest_epoch}"
        if self.phase == "overfitting":
            return f"overfitting since epoch {self.onset_epoch}: {lowest}"
        return f"normal: {lowest}"

    def state_dict(self) -> dict[str, Any]:
        """Everything that was learned from the measurements, as plain data."""
        return {key: value for key, value in vars(self).items() if key not in {"rise", "patience"}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` returned."""
        vars(self).update(state | {"_against": list(state["_against"])})

    def _collect_evidence(self, epoch: int, *, against: bool) -> None:
        """Change the phase once ``patience`` measurements in a row speak against the present one."""
        self._against = [*self._against, epoch] if against else []
        if len(self._against) < self.patience:
            return
        self.phase, self.onset_epoch = ("overfitting", self._against[0]) if self.phase == "normal" else ("normal", None)
        self._against = []
