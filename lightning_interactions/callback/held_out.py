"""Which samples of a training are measured: those that are explained, and those on which the losses are taken."""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities import rank_zero_warn

from lightning_interactions.callback.samples import (
    Prepare,
    Samples,
    SplitBatch,
    fixed_random_state,
    flatten_loaders,
    loss_seed,
    prepared,
    split_batch,
    take_samples,
)
from lightning_interactions.callback.watching import validating
from lightning_interactions.masking.batches import batch_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightning_interactions.masking.memory import MaskBatchSize
    from lightning_interactions.masking.variables import Variables

__all__ = ["MeasuredSamples", "explained_samples", "given_samples", "measured_samples"]

_LARGEST_PIECE = 64  # of samples that a user has given, in the forward pass for the loss


@dataclass(frozen=True)
class MeasuredSamples:
    """All samples that a monitor measures; they stay the same for a whole training.

    Attributes:
        explained: held-out samples whose interactions are extracted.
        train_batches: training samples for the loss, batch by batch.
        held_out_batches: held-out samples for the loss, likewise.
    """

    explained: Samples
    train_batches: list[Samples]
    held_out_batches: list[Samples]


def measured_samples(
    trainer: Any,
    variables: Variables,
    n_samples: int,
    n_loss_samples: int,
    *,
    given: tuple[Any, Any] | None,
    split: SplitBatch,
    seed: int,
    mask_batch_size: MaskBatchSize = "auto",
) -> MeasuredSamples:
    """Take the samples of a training that begins.

    Args:
        trainer: the Trainer, in its ``fit``.
        variables: what the input variables are.
        n_samples: held-out samples to explain.
        n_loss_samples: samples of each of the two sets for the losses.
        given: ``(inputs, targets)``: all of them are explained, whatever ``n_samples`` is, and the held-out loss is
            taken on the same ones; ``None`` takes samples from the validation data loaders.
        split: parts a batch into inputs and targets.
        seed: decides which samples are taken.
        mask_batch_size: masked inputs in one forward pass; of the given samples there are no more in one, either.

    Returns:
        the samples, on the CPU.

    Raises:
        MisconfigurationException: if there are no held-out samples, none has enough variables, or ``split`` passes all
            batches over.
        TypeError: if ``split`` does not know such batches.
        ValueError: likewise, or if ``given`` are not as many inputs as targets.
    """
    prepare: Prepare = partial(prepared, trainer, split=split, seed=seed)

    def loss_batches(loaders: Mapping[int, Any], prepare: Prepare, n_batches: float = math.inf) -> list[Samples]:
        batches, passed_over = take_samples(
            loaders, n_loss_samples, seed=loss_seed(seed), prepare=prepare, n_batches=n_batches
        )
        _check_not_all_passed_over(batches, passed_over)
        return batches

    def loaders_in(part: Any, prepare: Prepare) -> dict[int, Any]:
        # Only a user's function passes batches over, and no others are read to find out.
        loaders = dict(enumerate(flatten_loaders(part)))
        return loaders if split is split_batch else _with_samples(loaders, prepare, seed)

    def prepare_for_training(batch: Any, _: int) -> Samples | None:
        return prepare(batch, 0)  # what hooks are told in a training, whatever it is given

    train_loaders = loaders_in(trainer.train_dataloader, prepare_for_training)
    train_batches = loss_batches(train_loaders, prepare_for_training, trainer.num_training_batches)
    if given is not None:
        explained = given_samples(trainer, *given)
        size = min(_LARGEST_PIECE, mask_batch_size) if isinstance(mask_batch_size, int) else _LARGEST_PIECE
        return MeasuredSamples(explained, train_batches, explained.pieces(size))
    loaders = loaders_in(_validation_loaders(trainer, seed), prepare)
    explained = explained_samples(loaders, variables, n_samples, seed=seed, prepare=prepare)
    return MeasuredSamples(explained, train_batches, loss_batches(loaders, prepare))


def given_samples(trainer: Any, inputs: Any, targets: Any) -> Samples:
    """Samples that a user has given, in the Trainer's precision.

    Raises:
        ValueError: if there are not as many inputs as targets.
    """
    targets = torch.as_tensor(targets)
    if len(targets) != batch_size(inputs):
        msg = (
            f"`samples` must be (inputs, targets) of as many samples, got {batch_size(inputs)} inputs and"
            f" {len(targets)} targets."
        )
        raise ValueError(msg)
    return Samples(trainer.precision_plugin.convert_input(inputs), targets)


def explained_samples(
    loaders: Mapping[int, Any], variables: Variables, n_samples: int, *, seed: int, prepare: Prepare
) -> Samples:
    """Draw the samples to be explained from data loaders; the same ones each time.

    Args:
        loaders: the validation data loaders by their numbers, see :func:`~.samples.flatten_loaders`.
        variables: what the input variables are; samples with too few of them are passed over.
        n_samples: how many.
        seed: decides which.
        prepare: what the network takes of a loader's batch, which comes with the loader's number.

    Returns:
        ``n_samples`` samples, or with a warning as many as there are.

    Raises:
        MisconfigurationException: if there are no samples, or none has enough variables.
        ValueError: if samples of several batches cannot stand in one.

    Example:
        >>> import torch
        >>> from torch.utils.data import DataLoader, TensorDataset
        >>> from lightning_interactions import Columns
        >>> loader = DataLoader(TensorDataset(torch.rand(9, 3), torch.zeros(9)), batch_size=4)
        >>> len(explained_samples({0: loader}, Columns(3), 5, seed=0, prepare=lambda batch, _: Samples(*batch)))
        5
    """

    def has_variables(inputs: Any) -> list[bool]:
        return [draw is not None for draw in variables.draw(inputs)]

    batches, skipped = take_samples(loaders, n_samples, seed=seed, prepare=prepare, accept=has_variables, together=True)
    if not batches and not skipped:
        msg = (
            "InteractionMonitor needs held-out samples, but the validation data loaders have none."
            " HINT: look at the validation data, or give the monitor `samples=(inputs, targets)`."
        )
        raise MisconfigurationException(msg)
    if not batches:
        msg = (
            f"None of the {skipped} held-out samples has {variables.n_variables} input variables."
            f" HINT: use a smaller `n_variables`."
        )
        raise MisconfigurationException(msg)
    samples = Samples.joined(batches, variables.join)
    if len(samples) < n_samples:
        rank_zero_warn(
            f"InteractionMonitor was asked for n_samples={n_samples} but found {len(samples)} held-out samples"
            f" with {variables.n_variables} input variables; it uses these."
        )
    return samples


def _with_samples(loaders: dict[int, Any], prepare: Prepare, seed: int) -> dict[int, Any]:
    """The loaders whose batches are not passed over, such as those without labels; told by one sample of each."""
    if len(loaders) == 1:
        return loaders
    return {
        number: loader
        for number, loader in loaders.items()
        if take_samples({number: loader}, 1, seed=seed, prepare=prepare)[0]
    }


def _check_not_all_passed_over(samples: list[Samples], passed_over: int) -> None:
    """Refuse a ``split_batch`` that leaves nothing.

    Raises:
        MisconfigurationException: if it does.
    """
    if passed_over and not samples:
        msg = (
            f"`split_batch` must pass some batches over and not all, got None for each of {passed_over}."
            f" HINT: it returns (inputs, targets) of a batch with labels."
        )
        raise MisconfigurationException(msg)


def _validation_loaders(trainer: Any, seed: int) -> Any:
    """The validation data loaders, in whatever the training was given."""
    val_loop = trainer.fit_loop.epoch_loop.val_loop
    if val_loop._combined_loader is None and trainer.enable_validation:  # noqa: SLF001
        # Lightning sets them up late when the first epoch has no validation, and will do so as if this had not been:
        # `val_dataloader()` may draw random numbers. A copy of the loop keeps what is set up here.
        val_loop = copy(val_loop)
        with validating(trainer), fixed_random_state(seed):
            val_loop.setup_data()
    combined = val_loop._combined_loader  # noqa: SLF001
    if combined is None or not combined.flattened:
        msg = (
            "InteractionMonitor needs held-out samples, but the training does not validate."
            " HINT: give the Trainer a validation data loader and the module a `validation_step`, or the monitor"
            " `samples=(inputs, targets)`."
        )
        raise MisconfigurationException(msg)
    return combined.iterables
