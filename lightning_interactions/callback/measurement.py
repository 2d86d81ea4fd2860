"""What is measured of a network at one epoch: the two losses, the interactions, and what rounding would look like."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightning_interactions.callback.faults import Faults, text_of
from lightning_interactions.callback.losses import MeanLoss, classification_loss, mean_loss
from lightning_interactions.callback.probabilities import ADVICE, Suspicion, targets_for
from lightning_interactions.callback.ranks import MISTAKES, share_out, together
from lightning_interactions.callback.samples import Samples
from lightning_interactions.masking.batches import take_rows
from lightning_interactions.masking.network import call_network
from lightning_interactions.masking.noise_floor import NoiseFloor, noise_floor
from lightning_interactions.masking.outputs import OUTPUTS, resolve_output
from lightning_interactions.masking.variables import usable_draws

if TYPE_CHECKING:
    from torch import nn

    from lightning_interactions.callback.held_out import MeasuredSamples
    from lightning_interactions.callback.settings import ExplainSettings
    from lightning_interactions.interactions import Interactions
    from lightning_interactions.masking.variables import Variables

__all__ = ["Measurement"]


@dataclass(frozen=True)
class Measurement:
    """How a monitor measures a network; it keeps nothing of what it finds.

    Attributes:
        variables: what the input variables are.
        settings: how the samples are explained.
        faults: hears of warnings and of what fails.
        loss: mean loss of ``(logits, targets)``.

    Example:
        >>> import torch
        >>> from lightning_interactions import Columns
        >>> from lightning_interactions.callback.held_out import MeasuredSamples
        >>> from lightning_interactions.callback.settings import ExplainSettings
        >>> measurement = Measurement(Columns(3), ExplainSettings(), Faults())
        >>> network, samples = torch.nn.Linear(3, 2), Samples(torch.rand(4, 3), torch.tensor([0, 1, 1, 0]))
        >>> measurement.explain(network, samples).and_.shape
        torch.Size([4, 8])
        >>> sorted(measurement.losses(network, MeasuredSamples(samples, [samples], [samples])))
        ['held_out_loss', 'train_loss']
    """

    variables: Variables
    settings: ExplainSettings
    faults: Faults
    loss: MeanLoss = classification_loss

    def rehearse(self, module: nn.Module, samples: MeasuredSamples) -> None:
        """Measure the losses and explain one sample: a mistake in the set-up shows now, not after the first epochs.

        A collective call.

        Raises:
            Exception: one of :data:`~.ranks.MISTAKES`, for such a mistake.
        """
        explained = samples.explained
        rows = [row for row, _ in usable_draws(self.variables.draw(explained.inputs))][:1] or slice(None)
        try:
            self.losses(module, samples)
            self.explain(module, Samples(take_rows(explained.inputs, rows), explained.targets[rows]), solver="none")
        except MISTAKES:
            raise
        except Exception as error:  # noqa: BLE001  # the network's own trouble; the measurement will tell
            self.faults.take(error, "a rehearsal on one sample failed with", "rehearsal")

    def losses(self, module: nn.Module, samples: MeasuredSamples) -> dict[str, float]:
        """The mean loss on both sets of samples; all processes get that of the first. A collective call."""
        suspicion = Suspicion(self.loss)

        def measure(batches: list[Samples]) -> float:
            forward = self.settings.forward or call_network
            return mean_loss(module, batches, suspicion, forward, self.settings.precision)

        losses = together(
            lambda: {"train_loss": measure(samples.train_batches), "held_out_loss": measure(samples.held_out_batches)}
        )[0]
        if suspicion.raised and self._reads_logits:
            self.faults.warn_once(ADVICE, key="probabilities")
        return losses

    @property
    def _reads_logits(self) -> bool:
        """Whether not only functions of the user's own, which may expect anything, read what the network returns."""
        return resolve_output(self.settings.output) in OUTPUTS.values() or self.loss is classification_loss

    def explain(self, module: nn.Module, samples: Samples, **overrides: Any) -> Interactions:
        """Interactions of the samples, shared out over all processes; each warning is given once in a training.

        A collective call.

        Args:
            module: the network.
            samples: what is explained.
            **overrides: see :meth:`~.settings.ExplainSettings.explain`.
        """
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            interactions = self.settings.explain(module, samples, self.variables, share_out=share_out, **overrides)
        for warning in caught:
            self.faults.warn_once(str(warning.message), key=f"{warning.filename}:{warning.lineno}")
        return interactions

    def noise_floor(self, module: nn.Module, samples: Samples) -> NoiseFloor:
        """What rounding alone would look like, by two samples; NaN where it cannot be measured."""
        drawn = usable_draws(self.variables.draw(samples.inputs))[:2]
        rows = [row for row, _ in drawn]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the measurement has said all this
                return noise_floor(
                    module,
                    take_rows(samples.inputs, rows),
                    targets_for(self.settings.output, samples.targets[rows]),
                    self.variables,
                    [draw for _, draw in drawn],
                    output=resolve_output(self.settings.output),
                    forward=self.settings.forward,
                    mask_batch_size=self.settings.mask_batch_size,
                    precision=self.settings.precision,
                )
        except Exception as error:  # noqa: BLE001  # e.g. a network or a device that knows no float64
            self.faults.warn_once(f"the noise floor could not be measured: {text_of(error)}.", "noise floor")
            return NoiseFloor.unknown(self.variables.n_variables)

    def warn_of_noise(self, floor: NoiseFloor, threshold: float) -> None:
        """Warn once where rounding alone makes effects that count as salient.

        Args:
            floor: what rounding makes.
            threshold: an effect is salient above this absolute value.
        """
        if orders := floor.exceeds(threshold):
            self.faults.warn_once(
                f"rounding alone makes effects larger than the threshold {threshold:.3g} in the orders {orders}; what"
                f" is found there may be arithmetic. HINT: pass `precision='float64'`.",
                key="noise floor exceeds the threshold",
            )
