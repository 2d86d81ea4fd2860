"""In which phase a training is, told from the gap between held-out and training loss."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from lightning_interactions.distribution.hinge import HingeTest, Knee

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["EXPECTED_NOISE", "Phase", "PhaseDetector", "end_of_normal_phase"]

Phase = Literal["normal", "overfitting"]

_LASTING = 3
"""Measurements in a row that must be high before the phase changes; fewer are noise."""
_LEAST_SHARE = 0.25
"""Of their mean height that each of them must have; where one has less, the others are spikes."""
_CAUTION_BELOW = 3.0
"""How many standard deviations, beside a quarter of the rise that matters, a gap must fall below the lowest to start
anew: with no more noise than expected, as much as the rise."""
_CAUTION = 3
"""Standard errors by which the mean gap must be back before the phase is normal again."""
EXPECTED_NOISE = 0.25
"""Of a gap, as a share of `rise`, before there are measurements to tell."""


class PhaseDetector:
    """Find, while training runs, the epoch at which the loss gap begins to grow (Section 2.2.1).

    In the *normal* phase the gap between held-out and training loss stays close to a constant level, which need not be
    0; in the *overfitting* phase it grows. After every measurement a sequential test (:mod:`.hinge`) asks whether a
    broken line, constant and then rising, explains the gaps since the level was last constant better than a constant
    does. The phase changes when the evidence reaches ``1 / false_alarm_rate``, the rise is more than ``rise`` and one
    standard deviation of the noise, and the last three gaps lie on average ``rise`` above the level, each at least a
    quarter as high, and do not fall: a spike, or the jump after a restart of the learning rate, is no growth. The onset
    is the first measurement behind the knee of the line.

    It goes back to normal when the gap is back within ``rise`` of the old level. A gap that falls for good, as it may
    early in training, sets a new level.

    While the gap fluctuates around a constant level with independent Gaussian noise of any size, the test alone ends
    the normal phase with a probability of about ``false_alarm_rate`` at most, however long the training; the other
    conditions lower it. ``docs/validity.md`` has the rates measured on simulated trainings.

    Args:
        rise: growth of the gap that matters, in the unit of the loss (nats for cross-entropy). A slow drift that stays
            below it is normal.
        false_alarm_rate: probability that independent noise alone ever ends a normal phase; correlated noise raised
            more alarms (``docs/validity.md``).

    Raises:
        ValueError: if ``rise`` is not positive or ``false_alarm_rate`` not between 0 and 1.

    Example:
        >>> detector = PhaseDetector()
        >>> for epoch, gap in enumerate([0.0, -0.02, 0.01, 0.0, 0.2, 0.4, 0.7]):
        ...     phase = detector.update(epoch=epoch, gap=gap)
        >>> detector.phase, detector.onset_epoch, detector.onset_interval
        ('overfitting', 4, (4, 4))
        >>> print(detector.phase_message)
        overfitting since epoch 4: the loss gap rose by 0.71 above its level of -0.01 and is now 0.700
    """

    def __init__(self, rise: float = 0.1, false_alarm_rate: float = 0.05) -> None:
        if not 0 < rise < math.inf:
            msg = f"`rise` must be a positive number of the loss's unit, got {rise!r}."
            raise ValueError(msg)
        if not 0 < false_alarm_rate < 1:
            msg = f"`false_alarm_rate` must lie between 0 and 1, got {false_alarm_rate!r}."
            raise ValueError(msg)
        self.rise = rise
        self.false_alarm_rate = false_alarm_rate
        self.phase: Phase = "normal"
        self.onset_epoch: int | None = None
        self.onset_interval: tuple[int, int] | None = None
        """Epochs between which the onset lies with a probability of 90 %, given that the broken line is true."""
        self.reason = "no loss gap has been measured yet"
        """Why the phase is what it is, in words."""
        self._epoch: int | None = None
        self._level = 0.0
        self._noise = 0.0
        self._lowest = math.inf
        self._recent: list[float] = []
        self._since: int | None = None
        self._test: HingeTest = self._fresh_test()
        self._onsets: list[int] = []
        """For each knee of the test, the epoch of the first measurement behind it."""

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
        self._epoch = epoch
        if self._test.count and self.phase == "normal" and gap < self._lowest - self._new_start_below:
            # Wrong labels let the gap dip before it grows: it grows from there. The lowest itself, chosen for being
            # low, would make all that follows look high.
            self._start_over()
            self._lowest = gap
            self.reason = self._explain(gap)
            return self.phase
        self._lowest = min(self._lowest, gap)
        self._recent = [*self._recent, gap][-_LASTING:]
        if not self._test.count:
            self._since = epoch
        if len(self._onsets) < len(self._test.knees):
            self._onsets.append(epoch)
        self._test.add(gap)
        if self._test.is_due:
            self._decide()
        self.reason = self._explain(gap)
        return self.phase

    @property
    def since_epoch(self) -> int | None:
        """First measurement of the level that the gap is now compared with; ``None`` before there is one."""
        return self._since

    @property
    def phase_message(self) -> str:
        """The phase and the reason for it, in words."""
        since = f" since epoch {self.onset_epoch}" if self.onset_epoch is not None else ""
        return f"{self.phase}{since}: {self.reason}"

    def state_dict(self) -> dict[str, Any]:
        """Everything that was learned from the measurements, as plain data."""
        return {
            "phase": self.phase,
            "onset_epoch": self.onset_epoch,
            "onset_interval": None if self.onset_interval is None else list(self.onset_interval),
            "reason": self.reason,
            "epoch": self._epoch,
            "level": self._level,
            "noise": self._noise,
            "lowest": self._lowest,
            "recent": list(self._recent),
            "since": self._since,
            "onsets": list(self._onsets),
            "test": self._test.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` returned."""
        self.phase = state["phase"]
        self.onset_epoch = state["onset_epoch"]
        interval = state["onset_interval"]
        self.onset_interval = None if interval is None else (interval[0], interval[1])
        self.reason = state["reason"]
        self._epoch = state["epoch"]
        self._level = state["level"]
        self._noise = state["noise"]
        self._lowest = state["lowest"]
        self._recent = list(state["recent"])
        self._since = state["since"]
        self._onsets = list(state["onsets"])
        # The noise to expect is an option of the new detector, not something that was learned.
        self._test = HingeTest.from_state(state["test"] | {"noise": self._test.noise})

    def _decide(self) -> None:
        """Change the phase, or take a new level, where the evidence is enough for it."""
        if self.phase == "overfitting" and self._is_back():
            self.phase, self.onset_epoch, self.onset_interval = "normal", None, None
            self._start_over()
            return
        for direction in (1, -1):
            knee = self._test.knee(direction, least=-math.log(self.false_alarm_rate))
            if knee is None or abs(knee.change) <= self.rise + knee.noise:
                continue
            if self.phase == "normal" and direction > 0:
                if self._is_lasting(knee):
                    self._begin_overfitting(knee)
                continue
            self._start_over()  # the old level no longer tells anything about what follows
            return

    @property
    def _new_start_below(self) -> float:
        return self.rise / 4 + _CAUTION_BELOW * self._test.difference_noise

    def _begin_overfitting(self, knee: Knee) -> None:
        place = self._test.knees.index
        low, high = (self._onsets[place(index)] for index in knee.interval)
        self.phase = "overfitting"
        self.onset_epoch = self._onsets[place(knee.index)]
        self.onset_interval = (low, high)
        self._level, self._noise = knee.baseline, knee.noise
        self._start_over()

    def _is_lasting(self, knee: Knee) -> bool:
        """Whether the last gaps are high, all of them and not a spike among them, and do not fall."""
        if len(self._recent) < _LASTING:
            return False
        height = sum(self._recent) / _LASTING - knee.baseline
        all_high = height > self.rise and min(self._recent) - knee.baseline > _LEAST_SHARE * height
        return all_high and self._recent[-1] >= self._recent[0]

    def _is_back(self) -> bool:
        """Whether the last gaps, or all since the level last changed, are surely no more than `rise` too high."""
        if self._test.count < _LASTING:
            return False
        last = sum(self._recent) / _LASTING + _CAUTION * self._noise / math.sqrt(_LASTING)
        whole = self._test.mean + _CAUTION * self._test.standard_error
        return min(last, whole) <= self._level + self.rise

    def _start_over(self) -> None:
        self._test = self._fresh_test()
        self._onsets = []
        self._lowest = math.inf

    def _fresh_test(self) -> HingeTest:
        return HingeTest(noise=EXPECTED_NOISE * self.rise)

    def _explain(self, gap: float) -> str:
        if self.phase == "overfitting":
            risen = gap - self._level
            if risen > self.rise:
                return f"the loss gap rose by {risen:.2f} above its level of {self._level:.2f} and is now {gap:.3f}"
            return f"the loss gap is {gap:.3f}, not yet back for long enough at its level of {self._level:.2f}"
        if not self._test.count:
            return f"the loss gap is {gap:.3f} and has settled at a new level"
        return (
            f"the loss gap is {gap:.3f} and has not grown for long by more than {self.rise:g}"
            f" above {self._test.mean:.3f}, its mean since epoch {self._since}"
        )


def end_of_normal_phase(
    epochs: Iterable[int], held_out_losses: Iterable[float], onset_epoch: float | None = None
) -> int | None:
    """The measured epoch that stands for the end of the normal phase, from which Eq. 9 takes the decay.

    Of the epochs before the onset of overfitting, or of all where there is no onset, the one with the smallest held-out
    loss, the first of equal ones. Never the untrained network (epoch 0), nor an epoch whose loss is not known; where
    this leaves none before the onset, the first after it.

    Args:
        epochs: the measured epochs.
        held_out_losses: the loss on held-out samples at each of them; NaN where it is not known.
        onset_epoch: first epoch of the overfitting phase; ``None`` or NaN in the normal phase.

    Returns:
        one of ``epochs``, or ``None`` where no trained epoch has a finite loss.

    Raises:
        ValueError: if there are not as many losses as epochs.

    Example:
        >>> end_of_normal_phase([0, 10, 20, 30, 40], [0.1, 0.9, 0.5, 0.6, 0.3], onset_epoch=40)
        20
    """
    known = sorted((epoch, loss) for epoch, loss in zip(epochs, held_out_losses, strict=True) if epoch > 0)
    known = [(epoch, loss) for epoch, loss in known if loss < math.inf]
    onset = math.inf if onset_epoch is None or math.isnan(onset_epoch) else onset_epoch
    before = [(epoch, loss) for epoch, loss in known if epoch < onset] or known[:1]
    return min(before, key=lambda measured: measured[1])[0] if before else None
