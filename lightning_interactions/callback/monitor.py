"""The callback that watches what a network combines while it trains."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback
from pytorch_lightning import Callback as StandaloneCallback

from lightning_interactions.callback.faults import Faults, OnError
from lightning_interactions.callback.followers import early_followers
from lightning_interactions.callback.held_out import measured_samples
from lightning_interactions.callback.log_dir import is_remote, local_folder, run_log_dir
from lightning_interactions.callback.losses import MeanLoss, classification_loss
from lightning_interactions.callback.measurement import Measurement
from lightning_interactions.callback.progress import measurement_bar
from lightning_interactions.callback.publish import Publisher
from lightning_interactions.callback.ranks import MISTAKES, first_rank_buffers, is_grouped, share_of
from lightning_interactions.callback.record import failed, scalars, summarize
from lightning_interactions.callback.reference_network import (
    check_reference_argument,
    is_checkpoint,
    known_reference,
    weights_of,
)
from lightning_interactions.callback.samples import SplitBatch, split_batch
from lightning_interactions.callback.settings import ExplainSettings, changed_settings, changes_in_words
from lightning_interactions.callback.warned import warnings_shown
from lightning_interactions.callback.watching import watching
from lightning_interactions.checks import check_whole
from lightning_interactions.distribution.phases import PhaseDetector
from lightning_interactions.distribution.reference import ReferenceFits, unfitted
from lightning_interactions.extraction.solve import resolve_solver
from lightning_interactions.history import History
from lightning_interactions.masking.layers import find_layer
from lightning_interactions.masking.noise_floor import NoiseFloor
from lightning_interactions.masking.observe import is_uninitialised
from lightning_interactions.masking.variables import Variables, check_variables
from lightning_interactions.run_files import monitor_folder
from lightning_interactions.tensorboard_plugin.documents import tag_prefix

if TYPE_CHECKING:
    from pathlib import Path

    from lightning_interactions.callback.held_out import MeasuredSamples
    from lightning_interactions.callback.samples import Samples
    from lightning_interactions.interactions import Interactions
    from lightning_interactions.masking.memory import MaskBatchSize
    from lightning_interactions.masking.network import Forward
    from lightning_interactions.masking.outputs import Output
    from lightning_interactions.masking.precision import Precision

__all__ = ["InteractionMonitor"]

_TESTED_STRATEGIES = ("SingleDeviceStrategy", "DDPStrategy")


class InteractionMonitor(Callback, StandaloneCallback):  # type: ignore[misc]  # the same class under two names
    r"""Measure, every few epochs, which interactions a network has learned and in which phase its training is.

    The monitor takes held-out samples once, explains the network's output on all masked versions of them by sparse
    AND and OR interactions (:func:`~lightning_interactions.explain`), and logs their strength per order, the gap
    between held-out and training loss, and the phase. It only watches: weights after training are bitwise equal with
    and without it (except where a data set or sampler draws from a random generator of its own, which notices that
    samples were taken). Mistakes in its set-up are errors before the first training step; a measurement that fails
    later warns once, logs NaN and is counted, or is an error with ``on_error="raise"``.

    Epochs are counted as *completed* training epochs: 0 is the untrained network. Records are kept in
    :attr:`history`, in checkpoints, and with the interactions themselves under ``<log_dir>/interactions/``.

    Every key starts with ``interactions/``, or ``interactions/<name>/`` for a monitor with a name. ``EarlyStopping``
    and ``ModelCheckpoint`` can monitor them; between measurements they keep their last value. A failed measurement logs
    NaN, on which ``EarlyStopping`` stops unless it has ``check_finite=False``.

    =====================================  ====================================================================
    key                                    meaning and unit
    =====================================  ====================================================================
    ``positive/order_01`` …                strength of the positive salient effects of each order (output's unit)
    ``negative/order_01`` …                the same of the negative ones, as an amount
    ``normalized_positive/order_01`` …     divided by the strength of order 1 (no unit; NaN when that is 0)
    ``normalized_negative/order_01`` …     likewise
    ``cancellation/order_01`` …            how far the two signs offset each other, 0 … 1
    ``mean_order``                         centre of the strength over the orders, 1 … n
    ``high_order_share``                   share of the strength in orders above n/2, 0 … 1
    ``salient_count``                      salient interactions of a sample, on average
    ``l1``                                 sum of all absolute effects of a sample, on average (output's unit)
    ``train_loss``, ``held_out_loss``      mean loss on two fixed sets in evaluation mode (its unit, by default nats)
    ``loss_gap``                           held-out minus training loss (in the same unit)
    ``overfitting``                        1 in the overfitting phase, else 0
    ``onset_epoch``                        first epoch of the overfitting phase; NaN in the normal phase
    ``spindle_share``                      share of the strength that is spindle, 0 … 1 (Eq. 9)
    ``spindle_share_low``                  lower end of its 90 % interval, by a bootstrap over samples
    ``spindle_share_high``                 upper end
    ``identified``                         1 where that interval is at most 0.5 wide, else 0
    ``alpha``, ``beta``                    the spindle peaks near order αn/2 (no unit); its size (output's unit; Eq. 6)
    ``gamma``, ``delta``                   size of the decay and parameter noise in it (no unit; Theorem 2.3)
    ``decay_positive/order_01`` …          the decay's part of the strength (output's unit)
    ``decay_negative/order_01`` …          likewise
    ``spindle/order_01`` …                 the spindle's part, the same for both signs (output's unit)
    ``residual_positive/order_01`` …       what neither explains (output's unit)
    ``residual_negative/order_01`` …       likewise
    ``condition_1``                        numbers of the conditions for sparse interactions (Appendix B); no unit
    ``condition_2``                        likewise (output's unit)
    ``condition_3``                        likewise; no unit: :func:`~.distribution.conditions.conditions`
    ``condition_1_holds``                  their verdicts, 0 or 1
    ``condition_2_holds``                  likewise
    ``condition_3_holds``                  likewise
    ``r_squared``, ``relative_l1``         how well the two explain the strength
    ``reference_epoch``                    epoch of the network from which the decay is made
    ``threshold``                          an effect is salient above this absolute value (output's unit)
    ``noise_floor/order_01`` …             size of the effects that rounding alone makes, measured once (output's unit)
    ``noise_bound``                        largest error allowed on a masked sample (output's unit)
    ``matching_error``                     largest error made on any masked sample (output's unit)
    ``solver_gap``                         largest relative distance to the proven optimum over the samples
    ``n_samples``, ``n_dropped``           samples explained; samples left out because the output was not finite
    ``failures``                           measurements that failed so far
    ``seconds``                            time the measurement took
    =====================================  ====================================================================

    TensorBoard also gets the figures ``strength`` and, once decay and spindle are fitted, ``decomposition``; a
    histogram of the effects of each order (``effects/order_01`` …); and a table of the ``strongest`` interactions of
    some samples.

    Args:
        variables: what the input variables are, e.g. :class:`~lightning_interactions.FeatureMapPatches`.
        every_n_epochs: measure the untrained network and then after every so many epochs. Override
            :meth:`should_measure` for another schedule.
        n_samples: held-out samples to explain, each by ``2**n`` forward passes; not used where ``samples`` are given.
        samples: ``(inputs, targets)``: all of them are explained, whatever ``n_samples`` is, and the held-out loss is
            taken on the same ones, whatever ``n_loss_samples`` is; ``None`` takes samples from the validation data
            loaders.
        output: the network's scalar output; see :func:`~lightning_interactions.explain`.
        noise_ratio: see :func:`~lightning_interactions.explain`.
        solver: see :func:`~lightning_interactions.sparsify`.
        n_loss_samples: samples of each of the two sets on which the loss gap is measured. They stay in memory.
        loss: mean loss of ``(logits, targets)``; (binary) cross-entropy by default. The logits come in float32, or in
            float64 where weights or ``precision`` are that.
        mask_batch_size: masked inputs in one forward pass, a memory knob; ``"auto"`` finds what is fast and fits.
        precision: of all forward passes, those for the losses included, whatever the Trainer's; see
            :func:`~lightning_interactions.explain`.
        channels_last: see :func:`~lightning_interactions.explain`.
        compiled: likewise.
        forward: ``(module, inputs) -> logits`` for modules that are not called with their inputs alone.
        split_batch: ``batch -> (inputs, targets)`` for batches that are neither ``(inputs, targets)`` nor a mapping
            with ``labels``; ``None`` instead passes a batch over, e.g. those of a second loader without labels.
        phase_detector: decides the phase.
        reference: the network from which the decay is made: ``"onset"``, ``"final"``, ``"current"`` (see
            :class:`~lightning_interactions.distribution.reference.ReferenceFits`), interactions, or the path of a
            checkpoint or of saved interactions. When the reference changes, all records are fitted anew.
        delta_range: the δ allowed in the fit; see :func:`~lightning_interactions.disentangle`.
        seed: decides which samples are taken.
        on_error: what a failed measurement, or a result that cannot be written or shown, does once the network is as it
            was: ``"warn"`` warns once and lets the training go on, ``"raise"`` raises it, in all processes.
        name: tells one monitor from another where a Trainer has several: in keys, files and checkpoints.
        verbose: print one line for each measurement.
        allow_untested: run under a strategy other than a single device or DDP.

    Raises:
        TypeError: for an argument of a wrong type.
        ValueError: for an argument out of its range, an unknown output, solver, precision or reference, or a reference
            that is a damaged file.
        FileNotFoundError: if ``reference`` names a file that does not exist.

    Example:
        >>> from lightning_interactions import FeatureMapPatches, InteractionMonitor
        >>> monitor = InteractionMonitor(FeatureMapPatches("features.4"), every_n_epochs=10)
        >>> [epoch for epoch in range(31) if monitor.should_measure(epoch)]
        [0, 10, 20, 30]
    """

    def __init__(
        self,
        variables: Variables,
        every_n_epochs: int = 1,
        n_samples: int = 50,
        *,
        samples: Any = None,
        output: str | Output = "log_odds",
        noise_ratio: float = 0.02,
        solver: str = "auto",
        n_loss_samples: int = 500,
        loss: MeanLoss | None = None,
        mask_batch_size: MaskBatchSize = "auto",
        precision: Precision = "float32",
        channels_last: bool = False,
        compiled: bool = False,
        forward: Forward | None = None,
        split_batch: SplitBatch | None = None,
        phase_detector: PhaseDetector | None = None,
        reference: str | Path | Interactions = "onset",
        delta_range: tuple[float, float] | None = None,
        seed: int = 0,
        on_error: OnError = "warn",
        name: str | None = None,
        verbose: bool = True,
        allow_untested: bool = False,
    ) -> None:
        super().__init__()
        check_whole(minimum=1, every_n_epochs=every_n_epochs, n_samples=n_samples, n_loss_samples=n_loss_samples)
        _check_name(name)
        _check_samples(samples)
        check_variables(variables)
        self.settings = ExplainSettings(
            output, noise_ratio, solver, mask_batch_size, precision, channels_last, compiled, forward
        )
        """How the samples are explained, to explain others in the same way."""
        resolve_solver(solver, variables.n_variables)
        check_reference_argument(reference, delta_range)
        self.variables = variables
        self.every_n_epochs = every_n_epochs
        self.n_samples = n_samples
        self.samples = samples
        self.n_loss_samples = n_loss_samples
        self.loss = loss
        self.split_batch = split_batch
        self.phase_detector = PhaseDetector() if phase_detector is None else phase_detector
        self.reference = reference
        self.delta_range = delta_range
        self.seed = seed
        self.on_error = on_error
        self.verbose = verbose
        self.name = name
        self.allow_untested = allow_untested
        self.history = History()
        self.interactions: Interactions | None = None
        """The last measurement's interactions."""
        self.folder: Path | None = None
        """Where this run's files are; ``None`` before the fit and in a ``fast_dev_run``."""
        self.failures = 0
        self._stage = ""  # of the Trainer that runs
        self._samples: MeasuredSamples | None = None
        self._noise_floor: NoiseFloor | None = None
        self._reference_due = False
        self._faults = Faults(on_error)
        self._measurement = Measurement(variables, self.settings, self._faults, loss or classification_loss)
        self._first_phase = self.phase_detector.state_dict()
        self._fits = self._no_fits()
        self._publisher: Publisher | None = None
        self._earlier_settings: dict[str, str] = {}

    @property
    def state_key(self) -> str:
        """Under which checkpoints keep this monitor's state."""
        return self._generate_state_key(name=self.name)

    @property
    def held_out(self) -> Samples:
        """The samples that are explained, the same at every epoch.

        Raises:
            RuntimeError: before the training starts.
        """
        return self._measured_samples.explained

    def should_measure(self, epoch: int) -> bool:
        """Whether to measure after ``epoch`` completed epochs; 0 is the untrained network. Made to be overridden."""
        return epoch % self.every_n_epochs == 0

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:  # noqa: ARG002
        """Refuse what cannot work before any data is loaded."""
        self._stage = stage
        if stage != "fit":
            return
        strategy = type(trainer.strategy).__name__
        if strategy not in _TESTED_STRATEGIES and not self.allow_untested:
            msg = (
                f"InteractionMonitor was not tested under {strategy}, only under {' and '.join(_TESTED_STRATEGIES)}."
                f" HINT: pass `allow_untested=True` to try."
            )
            raise MisconfigurationException(msg)
        self._check_own_name(trainer)
        self._noise_floor = None
        self._earlier_settings = {}
        if not _has_trained(trainer):
            # A new training, perhaps after another with the same monitor. A resumed one loads its state after this.
            self.history, self.failures, self.interactions = History(), 0, None
            self.phase_detector.load_state_dict(self._first_phase)
            self._fits = self._no_fits()
            self._faults.forget()

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Refuse a layer that the network does not have; before this, its own hooks may still have to build it."""
        if self.variables.layer is not None:
            find_layer(pl_module, self.variables.layer)

    @warnings_shown()
    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Take the samples and measure the untrained network; what is set up wrongly fails here."""
        self._compare_settings()
        self.folder = None if trainer.fast_dev_run else self._run_folder(trainer)
        self._samples = measured_samples(
            trainer,
            self.variables,
            self.n_samples,
            self.n_loss_samples,
            given=self.samples,
            split=self.split_batch or split_batch,
            seed=self.seed,
            mask_batch_size=self.settings.mask_batch_size,
        )
        self._check_reference()
        self._reference_due = is_checkpoint(self.reference)
        has_weights = not is_uninitialised(pl_module)
        if has_weights:
            self._take_reference(trainer, pl_module)
        self._publisher = self._new_publisher(trainer)
        if has_weights:
            self._measure_or_rehearse(trainer, pl_module)
        else:
            self._faults.warn_once(
                "the network has parameters without a shape until it has seen a batch, so the untrained network is not"
                " measured, and mistakes in the set-up show late. HINT: run it on one batch before the training.",
                key="uninitialised",
            )
        self._faults.raise_together()
        for record in list(self.history)[-1:]:
            # `self.log` is not allowed here, and callbacks that monitor a key want it from the first epoch on.
            logged = scalars(record, self._prefix)
            trainer.callback_metrics.update({key: torch.tensor(logged[key], device=pl_module.device) for key in logged})
        with self._faults.survived("looking at the callbacks that follow a value"):
            for text in early_followers(trainer, scalars(failed(self.variables.n_variables), self._prefix)):
                self._faults.warn_once(text, key=text)

    @warnings_shown()
    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Measure when it is time, and log."""
        epoch = trainer.current_epoch + 1
        if self.should_measure(epoch):
            self._take_late_reference(trainer, pl_module)
            record = self._measure(trainer, pl_module, epoch=epoch)
            self._faults.raise_together()
            # Every rank has the same record; the reduction only keeps Lightning from warning, also in a group of one.
            pl_module.log_dict(
                scalars(record, self._prefix),
                on_step=False,
                on_epoch=True,
                batch_size=1,
                sync_dist=trainer.world_size > 1 or is_grouped(),
            )

    @warnings_shown()
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Fit every epoch to the last one, where that is the reference."""
        changed = self._refit(trainer, finished=True)
        if self._publisher is not None:
            self._publisher.refit(self.history, changed)
        self._faults.raise_together()

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:  # noqa: ARG002
        """Nothing runs any more: whatever state is loaded next is taken."""
        self._stage = ""

    def state_dict(self) -> dict[str, Any]:
        """The history and the phase, as plain data that a weights-only load accepts."""
        return {
            "history": list(self.history),
            "phase_detector": self.phase_detector.state_dict(),
            "failures": self.failures,
            "fits": self._fits.state_dict(),
            "noise_floor": None if self._noise_floor is None else self._noise_floor.state_dict(),
            "settings": self.settings.described(self.variables),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint; one that is only tested takes nothing from a training that this monitor watched."""
        if self._stage not in ("", "fit") and self._samples is not None:
            return
        self.history = History(state_dict["history"])
        self.phase_detector.load_state_dict(state_dict["phase_detector"])
        self.failures = state_dict["failures"]
        self._fits.load_state_dict(state_dict["fits"])
        if state_dict["noise_floor"] is not None:
            self._noise_floor = NoiseFloor.from_state(state_dict["noise_floor"])
        self._earlier_settings = state_dict.get("settings", {})  # checkpoints of an earlier version have none

    def _check_own_name(self, trainer: Any) -> None:
        """Refuse another monitor of the same name: both would write the same files and log the same keys."""
        others = [other for other in trainer.callbacks if isinstance(other, InteractionMonitor) and other is not self]
        same = next((other for other in others if other.name == self.name), None)
        if same is not None:
            msg = (
                f"Each InteractionMonitor of a Trainer must have a name of its own, got {type(self).__name__} and"
                f" {type(same).__name__} with the name {self.name!r}. HINT: pass another `name=` to one of them."
            )
            raise MisconfigurationException(msg)

    def _compare_settings(self) -> None:
        """Refuse to go on with records of another number of variables; warn of what else makes them incomparable."""
        settings = self.settings.described(self.variables)
        # Checkpoints of an earlier version know fewer of them.
        known = {key: text for key, text in settings.items() if key in self._earlier_settings}
        changed = changed_settings(self._earlier_settings, known)
        if "n_variables" in changed:
            old, new = changed["n_variables"]
            msg = (
                f"The checkpoint's records are of {old} input variables, `variables` has {new}."
                f" HINT: use the same number, or begin new records by another `name=`."
            )
            raise MisconfigurationException(msg)
        if changed:
            self._faults.warn_once(
                f"the records before and after the resume cannot be compared, as settings changed:"
                f" {changes_in_words(changed)}. HINT: begin new records by another `name=`.",
                key="settings",
            )

    def _measure_or_rehearse(self, trainer: Any, pl_module: Any) -> None:
        """Measure the untrained network where it is due; else look for mistakes in the set-up by one sample."""
        if not _has_trained(trainer) and 0 not in self.history and self.should_measure(0):
            record = self._measure(trainer, pl_module, epoch=0, configuring=True)
            for logger in trainer.loggers:
                with self._faults.survived("logging the untrained network"):
                    logger.log_metrics(scalars(record, self._prefix), step=0)
        else:
            with watching(trainer, pl_module):
                self._measurement.rehearse(pl_module, self._measured_samples)

    def _measure(self, trainer: Any, pl_module: Any, *, epoch: int, configuring: bool = False) -> dict[str, Any]:
        """Measure, and keep the record; a failure is a record of NaN, except for mistakes in the set-up."""
        started = time.perf_counter()
        previous, self.interactions = self.interactions, None
        record: dict[str, Any] = failed(self.variables.n_variables)
        losses = {"train_loss": math.nan, "held_out_loss": math.nan}
        try:
            samples = self._measured_samples
            share = share_of(range(len(samples.explained)), trainer.global_rank, trainer.world_size)
            # The ranks' batch norms may differ until the next step.
            with watching(trainer, pl_module), first_rank_buffers(pl_module):
                losses = self._measurement.losses(pl_module, samples)
                with measurement_bar(trainer, f"Interactions at epoch {epoch}", len(share), self._faults) as progress:
                    self.interactions = self._measurement.explain(
                        pl_module, samples.explained, progress=progress, warm_start=previous
                    )
                record = summarize(self.interactions) | self._noise(pl_module, self.interactions.threshold)
        except Exception as error:
            if configuring and isinstance(error, MISTAKES):
                raise
            self.failures += 1
            self.interactions = None
            self._faults.take(
                error,
                f"the measurement at epoch {epoch} failed with",
                key="measurement",
                consequence=f" NaN is logged for it; the key '{self._prefix}failures' counts further failures.",
            )
        self._faults.raise_together()
        record |= {"epoch": epoch, "global_step": trainer.global_step, "failures": self.failures} | losses
        record = trainer.strategy.broadcast(record)
        self.failures = record["failures"]
        record |= unfitted(self.variables.n_variables) | self._phase(epoch, record)
        self.history.add(record)
        changed = self._refit(trainer)
        record = self.history.update(epoch, {"seconds": time.perf_counter() - started})
        if self._publisher is not None:
            self._publisher.measurement(epoch, self.history, self.interactions, changed)
        return record

    def _noise(self, pl_module: Any, threshold: float) -> dict[str, Any]:
        """What rounding alone would look like; measured once in a run, and no reason for a measurement to fail."""
        if self._noise_floor is None:
            self._noise_floor = self._measurement.noise_floor(pl_module, self.held_out)
        self._measurement.warn_of_noise(self._noise_floor, threshold)
        return {"noise_floor": list(self._noise_floor.effect)}

    def _run_folder(self, trainer: Any) -> Path:
        """Where this run's files go: always on this machine. A collective call."""
        log_dir = run_log_dir(trainer)
        folder = monitor_folder(local_folder(log_dir), self.name or "")
        if is_remote(log_dir):
            self._faults.warn_once(
                f"files are not written to remote folders such as '{log_dir}'; they go to '{folder}'.",
                key="remote folder",
            )
        return folder

    def _new_publisher(self, trainer: Any) -> Publisher | None:
        if self.folder is None or not trainer.is_global_zero:
            return None
        publisher = Publisher(
            trainer, self.folder, self._prefix, self.name, self._faults.survived, verbose=self.verbose
        )
        publisher.begin(self.held_out, self.variables, self.history)
        return publisher

    def _no_fits(self) -> ReferenceFits:
        return ReferenceFits(known_reference(self.reference) or "onset", delta_range=self.delta_range)

    def _take_reference(self, trainer: Any, pl_module: Any) -> None:
        """Explain the samples as the network at a checkpoint sees them, where that is the reference."""
        if self._reference_due and is_checkpoint(self.reference):
            self._reference_due = False
            with watching(trainer, pl_module), weights_of(pl_module, self.reference):
                self._fits.reference = self._measurement.explain(pl_module, self.held_out)

    def _take_late_reference(self, trainer: Any, pl_module: Any) -> None:
        """Take the reference that had to wait for the network's first batch; where that fails, do without it."""
        try:
            self._take_reference(trainer, pl_module)
        except Exception as error:  # noqa: BLE001
            self._faults.take(
                error,
                "the reference could not be explained:",
                key="reference",
                consequence=f" The decay is made from '{self._fits.reference}' instead.",
            )

    def _check_reference(self) -> None:
        """Refuse interactions of another number of variables; those of a checkpoint have the same."""
        reference = self._fits.reference
        if not isinstance(reference, str) and reference.n_variables != self.variables.n_variables:
            msg = (
                f"`reference` has {reference.n_variables} input variables, `variables` has"
                f" {self.variables.n_variables}. HINT: the decay is compared order by order: use the same number."
            )
            raise ValueError(msg)

    def _phase(self, epoch: int, record: dict[str, Any]) -> dict[str, Any]:
        gap = record["held_out_loss"] - record["train_loss"]
        if epoch not in self.history:  # a resumed training may measure an epoch again, which is no new evidence
            self.phase_detector.update(epoch=epoch, gap=gap)
        phase = self.phase_detector.phase
        onset = self.phase_detector.onset_epoch
        return {
            "loss_gap": gap,
            "phase": phase,
            "phase_message": self.phase_detector.phase_message,
            "overfitting": int(phase == "overfitting"),
            "onset_epoch": math.nan if onset is None else onset,
        }

    def _refit(self, trainer: Any, *, finished: bool = False) -> list[int]:
        """Separate decay from spindle where the reference is new; the epochs whose records changed."""
        changed: dict[int, dict[str, Any]] = {}
        with self._faults.survived("separating decay from spindle"):
            if trainer.is_global_zero and len(self.history):
                record = list(self.history)[-1]
                if self.interactions is not None and not finished:
                    self._fits.add(record["epoch"], self.interactions, record["held_out_loss"])
                changed = self._fits.update(record["onset_epoch"], finished=finished)
        changed = trainer.strategy.broadcast(changed)
        for epoch, fit in changed.items():
            self.history.update(epoch, fit)
        return sorted(changed)

    @property
    def _measured_samples(self) -> MeasuredSamples:
        if self._samples is None:
            msg = "InteractionMonitor has no samples before the training starts."
            raise RuntimeError(msg)
        return self._samples

    @property
    def _prefix(self) -> str:
        return tag_prefix(self.name)


def _has_trained(trainer: Any) -> bool:
    """Whether a batch has been trained on. The ``global_step`` stays 0 with optimizers that Lightning does not step."""
    return trainer.fit_loop.epoch_loop.total_batch_idx >= 0


def _check_name(name: str | None) -> None:
    """Refuse a name that is no folder's of its own."""
    if name is not None and (name in ("", ".", "..") or "/" in name or "\\" in name):
        msg = f"`name` must be a text without slashes, and other than '.' and '..', got {name!r}."
        raise ValueError(msg)


def _check_samples(samples: Any) -> None:
    """Refuse what is not a pair, such as a data set or its loader."""
    if samples is not None and not (isinstance(samples, (tuple, list)) and len(samples) == 2):  # noqa: PLR2004
        got = f"{len(samples)} entries" if isinstance(samples, (tuple, list)) else f"a {type(samples).__name__}"
        msg = (
            f"`samples` must be (inputs, targets), got {got}."
            f" HINT: a batch is such a pair, as in `samples=next(iter(data_loader))`."
        )
        raise TypeError(msg)
