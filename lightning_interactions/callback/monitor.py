"""The callback that watches what a network combines while it trains."""

from __future__ import annotations

import math
import time
import warnings
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_warn
from pytorch_lightning import Callback as StandaloneCallback

from lightning_interactions.callback.history import History
from lightning_interactions.callback.loggers import log_pictures
from lightning_interactions.callback.loss_gap import Loss, classification_loss, mean_loss
from lightning_interactions.callback.progress import measurement_bar
from lightning_interactions.callback.record import PREFIX, failed, scalars, summarize
from lightning_interactions.callback.samples import (
    Samples,
    SplitBatch,
    fixed_random_state,
    flatten_loaders,
    split_batch,
    take_samples,
)
from lightning_interactions.distribution.phases import PhaseDetector
from lightning_interactions.explain import check_noise_ratio, explain
from lightning_interactions.extraction.solve import resolve_solver
from lightning_interactions.masking.batches import take_rows, to_device
from lightning_interactions.masking.forward import Forward, call_network
from lightning_interactions.masking.layers import find_layer
from lightning_interactions.masking.outputs import Output, resolve_output
from lightning_interactions.masking.variables import Variables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightning_interactions.interactions import Interactions

__all__ = ["InteractionMonitor"]

_TESTED_STRATEGIES = ("SingleDeviceStrategy", "DDPStrategy")


class InteractionMonitor(Callback, StandaloneCallback):  # type: ignore[misc]  # the same class under two names
    r"""Measure, every few epochs, which interactions a network has learned and in which phase its training is.

    The monitor takes held-out samples once, explains the network's output on all masked versions of them by sparse
    AND and OR interactions (:func:`~lightning_interactions.explain`), and logs their strength per order, the gap
    between held-out and training loss, and the phase. It only watches: weights after training are bitwise equal with
    and without it. Mistakes in its set-up are errors before the first training step; a measurement that fails later
    warns once, logs NaN and is counted.

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
    ``train_loss``, ``held_out_loss``      mean loss on two fixed sets of samples in evaluation mode
    ``loss_gap``                           held-out minus training loss
    ``overfitting``                        1 in the overfitting phase, else 0
    ``onset_epoch``                        first epoch of the overfitting phase; NaN in the normal phase
    ``threshold``                          an effect is salient above this absolute value (output's unit)
    ``noise_bound``                        largest error allowed on a masked sample (output's unit)
    ``matching_error``                     largest error made on any masked sample (output's unit)
    ``solver_gap``                         largest relative distance to the proven optimum over the samples
    ``n_samples``, ``n_dropped``           samples explained; samples left out because the output was not finite
    ``failures``                           measurements that failed so far
    ``seconds``                            time the measurement took
    =====================================  ====================================================================

    TensorBoard also gets the figure ``strength``, a histogram of the effects of each order (``effects/order_01`` …)
    and a table of the ``strongest`` interactions of some samples.

    Args:
        variables: what the input variables are, e.g. :class:`~lightning_interactions.FeatureMapPatches`.
        every_n_epochs: measure the untrained network and then after every so many epochs. Override
            :meth:`should_measure` for another schedule.
        n_samples: held-out samples to explain, each by ``2**n`` forward passes.
        samples: ``(inputs, targets)`` to explain and to take the held-out loss on; ``None`` takes samples from the
            validation data loaders.
        output: the network's scalar output; see :func:`~lightning_interactions.explain`.
        noise_ratio: see :func:`~lightning_interactions.explain`.
        solver: see :func:`~lightning_interactions.sparsify`.
        n_loss_samples: samples of each of the two sets on which the loss gap is measured. They stay in memory.
        loss: mean loss of ``(logits, targets)``; (binary) cross-entropy by default.
        mask_batch_size: masked inputs in one forward pass, a memory knob; chosen by size when ``None``.
        forward: ``(module, inputs) -> logits`` for modules that are not called with their inputs alone.
        split_batch: ``batch -> (inputs, targets)`` for batches that are neither ``(inputs, targets)`` nor a mapping
            with ``labels``.
        phase_detector: decides the phase.
        seed: decides which samples are taken.
        name: tells one monitor from another where a Trainer has several: in keys, files and checkpoints.
        allow_untested: run under a strategy other than a single device or DDP.

    Raises:
        ValueError: for an argument out of its range.

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
        loss: Loss | None = None,
        mask_batch_size: int | None = None,
        forward: Forward | None = None,
        split_batch: SplitBatch | None = None,
        phase_detector: PhaseDetector | None = None,
        seed: int = 0,
        name: str | None = None,
        allow_untested: bool = False,
    ) -> None:
        super().__init__()
        for argument, value in (
            ("every_n_epochs", every_n_epochs),
            ("n_samples", n_samples),
            ("n_loss_samples", n_loss_samples),
            ("mask_batch_size", 1 if mask_batch_size is None else mask_batch_size),
        ):
            if not isinstance(value, Integral) or value < 1:
                msg = f"`{argument}` must be a whole number, at least 1, got {value!r}."
                raise ValueError(msg)
        if name is not None and (not name or "/" in name):
            msg = f"`name` must be a text without '/', got {name!r}."
            raise ValueError(msg)
        if not isinstance(variables, Variables):
            msg = (
                f"`variables` must be a Variables such as FeatureMapPatches(…), got a {type(variables).__name__}."
                f" HINT: subclass lightning_interactions.Variables for a kind of your own."
            )
            raise TypeError(msg)
        check_noise_ratio(noise_ratio)
        resolve_output(output)
        resolve_solver(solver, variables.n_variables)
        self.variables = variables
        self.every_n_epochs = every_n_epochs
        self.n_samples = n_samples
        self.samples = samples
        self.output = output
        self.noise_ratio = noise_ratio
        self.solver = solver
        self.n_loss_samples = n_loss_samples
        self.loss = loss
        self.mask_batch_size = mask_batch_size
        self.forward = forward
        self.split_batch = split_batch
        self.phase_detector = PhaseDetector() if phase_detector is None else phase_detector
        self.seed = seed
        self.name = name
        self.allow_untested = allow_untested
        self.history = History()
        self.interactions: Interactions | None = None
        """The last measurement's interactions."""
        self.folder: Path | None = None
        """Where this run's files are; ``None`` before the fit and in a ``fast_dev_run``."""
        self.failures = 0
        self._held_out: Samples | None = None
        self._train_batches: list[Samples] = []
        self._held_out_batches: list[Samples] = []
        self._warned: set[str] = set()
        self._first_phase = self.phase_detector.state_dict()

    @property
    def state_key(self) -> str:
        """Under which checkpoints keep this monitor's state."""
        return self._generate_state_key(name=self.name)

    def should_measure(self, epoch: int) -> bool:
        """Whether to measure after ``epoch`` completed epochs; 0 is the untrained network. Made to be overridden."""
        return epoch % self.every_n_epochs == 0

    # -- Lightning's hooks ---------------------------------------------------------------------------------------------

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Refuse what cannot work before any data is loaded."""
        if stage != "fit":
            return
        strategy = type(trainer.strategy).__name__
        if strategy not in _TESTED_STRATEGIES and not self.allow_untested:
            msg = (
                f"InteractionMonitor was not tested under {strategy}, only under {' and '.join(_TESTED_STRATEGIES)}."
                f" HINT: pass `allow_untested=True` to try."
            )
            raise MisconfigurationException(msg)
        if self.variables.layer is not None:
            find_layer(pl_module, self.variables.layer)
        if trainer.global_step == 0:
            # A new training, perhaps after another with the same monitor. A resumed one loads its state after this.
            self.history, self.failures = History(), 0
            self.phase_detector.load_state_dict(self._first_phase)
            self._warned.clear()

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Take the samples and measure the untrained network; what is set up wrongly fails here."""
        log_dir = trainer.log_dir  # a collective call: never inside a rank guard
        folder = Path(log_dir or trainer.default_root_dir, "interactions", self.name or "")
        self.folder = None if trainer.fast_dev_run else folder
        self._take_samples(trainer)
        if trainer.global_step == 0 and 0 not in self.history and self.should_measure(0):
            record = self._measure(trainer, pl_module, epoch=0, configuring=True)
            for logger in trainer.loggers:
                with self._survived("logging the untrained network"):
                    logger.log_metrics(scalars(record, self._prefix), step=0)
        else:
            self._rehearse(pl_module)
        for record in list(self.history)[-1:]:
            # `self.log` is not allowed here, and callbacks that monitor a key want it from the first epoch on.
            logged = scalars(record, self._prefix)
            trainer.callback_metrics.update({key: torch.tensor(logged[key], device=pl_module.device) for key in logged})

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Measure when it is time, and log."""
        epoch = trainer.current_epoch + 1
        if self.should_measure(epoch):
            record = self._measure(trainer, pl_module, epoch=epoch)
            # Every rank has the same record; the reduction only keeps Lightning from warning.
            pl_module.log_dict(
                scalars(record, self._prefix),
                on_step=False,
                on_epoch=True,
                batch_size=1,
                sync_dist=trainer.world_size > 1,
            )

    def state_dict(self) -> dict[str, Any]:
        """The history and the phase, as plain data that a weights-only load accepts."""
        return {
            "history": list(self.history),
            "phase_detector": self.phase_detector.state_dict(),
            "failures": self.failures,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.history = History(state_dict["history"])
        self.phase_detector.load_state_dict(state_dict["phase_detector"])
        self.failures = state_dict["failures"]

    # -- samples -------------------------------------------------------------------------------------------------------

    def _take_samples(self, trainer: Any) -> None:
        self._train_batches = self._loss_batches(trainer, flatten_loaders(trainer.train_dataloader))
        if self.samples is not None:
            inputs, targets = self.samples
            self._held_out = Samples(trainer.precision_plugin.convert_input(inputs), torch.as_tensor(targets))
            self._held_out_batches = [self._held_out]
            return
        loaders = self._validation_loaders(trainer)
        self._held_out = self._explained_samples(trainer, loaders)
        self._held_out_batches = self._loss_batches(trainer, loaders)

    def _validation_loaders(self, trainer: Any) -> list[Any]:
        if trainer.val_dataloaders is None and trainer.enable_validation:
            # Lightning sets them up late when the first epoch has no validation.
            with _validating(trainer):
                trainer.fit_loop.epoch_loop.val_loop.setup_data()
        loaders = flatten_loaders(trainer.val_dataloaders)
        if not loaders:
            msg = (
                "InteractionMonitor needs held-out samples, but the training has no validation data."
                " HINT: give the Trainer a validation data loader, or the monitor `samples=(inputs, targets)`."
            )
            raise MisconfigurationException(msg)
        return loaders

    def _explained_samples(self, trainer: Any, loaders: list[Any]) -> Samples:
        def has_variables(batch: Any) -> list[bool]:
            return [draw is not None for draw in self.variables.draw(self._prepare(trainer, batch).inputs)]

        batches, skipped = take_samples(loaders, self.n_samples, seed=self.seed, accept=has_variables, together=True)
        if not batches:
            msg = (
                f"None of the {skipped} held-out samples has {self.variables.n_variables} input variables."
                f" HINT: use a smaller `n_variables`."
            )
            raise MisconfigurationException(msg)
        samples = Samples.joined([self._prepare(trainer, batch) for batch in batches])
        if len(samples) < self.n_samples:
            rank_zero_warn(
                f"InteractionMonitor was asked for n_samples={self.n_samples} but found {len(samples)} held-out samples"
                f" with {self.variables.n_variables} input variables; it uses these."
            )
        return samples

    def _loss_batches(self, trainer: Any, loaders: list[Any]) -> list[Samples]:
        batches, _ = take_samples(loaders, self.n_loss_samples, seed=self.seed)
        return [self._prepare(trainer, batch) for batch in batches]

    def _prepare(self, trainer: Any, batch: Any) -> Samples:
        """A loader's batch as the network takes it: through the user's transfer hooks and the Trainer's precision."""
        with fixed_random_state(self.seed), _validating(trainer):
            # The three steps that Lightning's loops take.
            batch = trainer.precision_plugin.convert_input(batch)
            batch = trainer.lightning_module._on_before_batch_transfer(batch)  # noqa: SLF001
            batch = trainer.strategy.batch_to_device(batch)
        inputs, targets = (self.split_batch or split_batch)(batch)
        return Samples(to_device(inputs, "cpu"), torch.as_tensor(targets).detach().cpu())

    # -- measuring -----------------------------------------------------------------------------------------------------

    def _rehearse(self, pl_module: Any) -> None:
        """Measure the losses and explain one sample: a mistake in the set-up shows now, not after the first epochs."""
        held_out = self._usable_samples()
        draws = self.variables.draw(held_out.inputs)
        rows = [row for row, draw in enumerate(draws) if draw is not None][:1] or slice(None)
        try:
            self._losses(pl_module)
            self._explain(pl_module, Samples(take_rows(held_out.inputs, rows), held_out.targets[rows]), solver="none")
        except (ValueError, TypeError):
            raise
        except Exception as error:  # noqa: BLE001  # the network's own trouble; the measurement will tell
            self._warn_once(f"a rehearsal on one sample failed with {_text(error)}.", "rehearsal")

    def _measure(self, trainer: Any, pl_module: Any, *, epoch: int, configuring: bool = False) -> dict[str, Any]:
        """Measure, and keep the record; a failure is a record of NaN, except for mistakes in the set-up."""
        started = time.perf_counter()
        self.interactions = None
        record: dict[str, Any] = failed(self.variables.n_variables)
        losses = {"train_loss": math.nan, "held_out_loss": math.nan}
        try:
            losses = self._losses(pl_module)
            samples = self._usable_samples()
            with measurement_bar(trainer, f"Interactions at epoch {epoch}", len(samples)) as progress:
                self.interactions = self._explain(pl_module, samples, progress=progress)
            record = summarize(self.interactions)
        except Exception as error:
            if configuring and isinstance(error, (ValueError, TypeError)):
                raise
            self.failures += 1
            self._warn_once(
                f"the measurement at epoch {epoch} failed with {_text(error)}. NaN is logged for it;"
                f" the key '{self._prefix}failures' counts further failures.",
                key="measurement",
            )
        record |= {"epoch": epoch, "global_step": trainer.global_step, "failures": self.failures} | losses
        # The ranks' batch norms may differ until the next step, and with them what the ranks have measured.
        record = trainer.strategy.broadcast(record)
        self.failures = record["failures"]
        record |= self._phase(epoch, record) | {"seconds": time.perf_counter() - started}
        self._keep(trainer, record)
        return record

    def _explain(self, pl_module: Any, samples: Samples, **options: Any) -> Interactions:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            interactions = explain(
                pl_module,
                samples.inputs,
                samples.targets,
                self.variables,
                output=self.output,
                noise_ratio=self.noise_ratio,
                mask_batch_size=self.mask_batch_size,
                forward=self.forward,
                **{"solver": self.solver} | options,
            )
        for warning in caught:
            self._warn_once(str(warning.message), key=f"{warning.filename}:{warning.lineno}")
        return interactions

    def _usable_samples(self) -> Samples:
        if self._held_out is None:
            msg = "InteractionMonitor has no samples before the training starts."
            raise RuntimeError(msg)
        return self._held_out

    def _losses(self, pl_module: Any) -> dict[str, float]:
        def measure(batches: list[Samples]) -> float:
            return mean_loss(pl_module, batches, self.loss or classification_loss, self.forward or call_network)

        return {"train_loss": measure(self._train_batches), "held_out_loss": measure(self._held_out_batches)}

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

    def _keep(self, trainer: Any, record: dict[str, Any]) -> None:
        """Into the history, into files, into loggers that show pictures; none of these may stop the training."""
        self.history.add(record)
        if self.folder is None or not trainer.is_global_zero:
            return
        with self._survived("writing the results"):
            self.history.save(self.folder / "history.json")
            if self.interactions is not None:
                self.interactions.save(self.folder / f"epoch={record['epoch']:04d}.npz")
        if self.interactions is None:
            return
        # Where Lightning puts what is logged at the end of an epoch.
        step = max(0, trainer.fit_loop.epoch_loop._batches_that_stepped - 1)  # noqa: SLF001
        for logger in trainer.loggers:
            with self._survived("drawing for the loggers"):
                log_pictures(logger, self.interactions, record, step, self._prefix)

    @property
    def _prefix(self) -> str:
        return PREFIX if self.name is None else f"{PREFIX}{self.name}/"

    @contextmanager
    def _survived(self, doing: str) -> Iterator[None]:
        """Turn any error into a warning: a full disk must not cost the training."""
        try:
            yield
        except Exception as error:  # noqa: BLE001
            self._warn_once(f"{doing} failed with {_text(error)}.", key=doing)

    def _warn_once(self, message: str, key: str) -> None:
        if key not in self._warned:
            self._warned.add(key)
            rank_zero_warn(f"InteractionMonitor: {message}")


@contextmanager
def _validating(trainer: Any) -> Iterator[None]:
    """Let the Trainer say that it validates, so that the user's transfer hooks do not augment."""
    stage = trainer.state.stage
    trainer.state.stage = type(stage).VALIDATING
    try:
        yield
    finally:
        trainer.state.stage = stage


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(".")
