"""Take samples from the user's data loaders once, without disturbing the training that uses them."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler, IterableDataset, SequentialSampler

from lightning_interactions.callback.watching import validating
from lightning_interactions.masking.batches import batch_size, join_rows, split_rows, take_rows, to_device
from lightning_interactions.masking.observe import random_state_kept

__all__ = [
    "Accept",
    "Prepare",
    "Samples",
    "SplitBatch",
    "fixed_random_state",
    "flatten_loaders",
    "loss_seed",
    "prepared",
    "split_batch",
    "take_samples",
]

SplitBatch = Callable[[Any], tuple[Any, Tensor] | None]
"""``batch -> (inputs, targets)``, or ``None`` for a batch to pass over, e.g. one without labels."""

Accept = Callable[[Any], list[bool]]
"""Says of each sample of a batch of inputs whether it is wanted."""

Prepare = Callable[[Any, int], "Samples | None"]
"""A loader's batch as the network takes it, by the loader's number; ``None`` for one to pass over."""

_TARGET_KEYS = ("labels", "label", "targets", "target", "y")


@dataclass(frozen=True)
class Samples:
    """Some samples.

    Attributes:
        inputs: as the network takes them: a tensor, or a mapping or sequence of tensors.
        targets: true classes ``(samples,)``.

    Example:
        >>> len(Samples({"x": torch.zeros(3, 2)}, torch.tensor([0, 1, 1])))
        3
    """

    inputs: Any
    targets: Tensor

    def __len__(self) -> int:
        return batch_size(self.inputs)

    @classmethod
    def joined(cls, parts: Sequence[Samples], join: Callable[[Sequence[Any]], Any] = join_rows) -> Samples:
        """Several sets of samples as one.

        Args:
            parts: the sets.
            join: makes one batch of inputs of several; by default they must have the same structure and shape.

        Raises:
            ValueError: if they do not fit together.

        Example:
            >>> some = Samples(torch.zeros(2, 3), torch.tensor([0, 1]))
            >>> Samples.joined([some, some]).targets.tolist()
            [0, 1, 0, 1]
        """
        return cls(join([part.inputs for part in parts]), join_rows([part.targets for part in parts]))

    def take(self, rows: list[int]) -> Samples:
        """Some of the samples, or the same object where these are all.

        Example:
            >>> Samples(torch.zeros(3, 2), torch.tensor([0, 1, 2])).take([0, 2]).targets.tolist()
            [0, 2]
        """
        if len(rows) == len(self):
            return self
        return Samples(take_rows(self.inputs, rows), take_rows(self.targets, rows))

    def pieces(self, size: int) -> list[Samples]:
        """The samples in sets of at most ``size``, which share their memory.

        Example:
            >>> [len(piece) for piece in Samples(torch.zeros(5, 2), torch.zeros(5)).pieces(2)]
            [2, 2, 1]
        """
        pieces = zip(split_rows(self.inputs, size), split_rows(self.targets, size), strict=True)
        return [Samples(inputs, targets) for inputs, targets in pieces]


def split_batch(batch: Any) -> tuple[Any, Tensor]:
    """Inputs and targets of a usual batch.

    A tuple or list holds inputs first and targets second. In a mapping the targets are called ``labels``, ``label``,
    ``targets``, ``target`` or ``y``; the other tensors are the inputs, on their own if there is one and it is not
    ``input_ids``.

    Args:
        batch: what a data loader gives.

    Returns:
        the inputs, as the network takes them, and the targets ``(samples,)``.

    Raises:
        TypeError: if the batch is neither.
        ValueError: if it has no targets or no inputs.

    Example:
        >>> import torch
        >>> split_batch({"image": torch.zeros(2, 3), "label": torch.tensor([0, 1])})[1].tolist()
        [0, 1]
    """
    if isinstance(batch, Mapping):
        return _split_mapping(batch)
    if not isinstance(batch, (tuple, list)):
        msg = (
            f"A batch must be a tuple or list (inputs, targets, …) or a mapping, got a {type(batch).__name__}."
            f" HINT: pass `split_batch=lambda batch: (inputs, targets)`."
        )
        raise TypeError(msg)
    if len(batch) < 2 or not isinstance(batch[1], Tensor):  # noqa: PLR2004
        msg = (
            f"A batch must hold inputs and then a tensor of targets, got {[type(part).__name__ for part in batch]}."
            f" HINT: pass `split_batch=lambda batch: (inputs, targets)`; for a batch without labels it may return None."
        )
        raise ValueError(msg)
    return batch[0], batch[1]


def flatten_loaders(loaders: Any) -> list[Any]:
    """The data loaders in whatever a training was given: none, one, or a sequence or mapping of them.

    Example:
        >>> flatten_loaders({"one": "a loader", "more": ["another", "a third"]})
        ['a loader', 'another', 'a third']
    """
    if loaders is None:
        return []
    if isinstance(loaders, Mapping):
        return [loader for part in loaders.values() for loader in flatten_loaders(part)]
    if isinstance(loaders, (list, tuple)):
        return [loader for part in loaders for loader in flatten_loaders(part)]
    return [loaders]


def take_samples(
    loaders: Mapping[int, Any],
    count: int,
    *,
    seed: int,
    prepare: Prepare,
    accept: Accept | None = None,
    together: bool = False,
    n_batches: float = math.inf,
) -> tuple[list[Samples], int]:
    """Take the same ``count`` samples from data loaders each time, in batches that their own collation made.

    Samples of indexable data sets are drawn at random (many data sets are sorted by class) from those that the loader's
    sampler visits; if a loader is not indexable, the first samples of all are taken. Workers are not started for
    indexable ones; no random state, global or the loader's own, is moved. Random augmentation gives the same result
    each time.

    Args:
        loaders: the loaders, each by the number that ``prepare`` is told; samples are drawn from all of them together.
        count: how many samples.
        seed: decides which samples are drawn.
        prepare: makes samples of a collated batch, or passes it over. What is cut off a batch that is too large is cut
            off the samples, for a loader's batches may be of any kind.
        accept: says of the inputs of each sample whether it is wanted; all by default.
        together: collate the samples of each indexable data set into one batch instead of batches of the loader's
            size.
        n_batches: how many batches of each loader are used in an epoch. A loader that begins every epoch with the same
            ones never gives the others, and no sample is taken from those.

    Returns:
        the samples, ``count`` in all or as many as there are, and how many were refused: each sample that was not
        accepted, and each batch that was passed over.

    Example:
        >>> loader = DataLoader(range(10), batch_size=2)
        >>> prepare, accept = lambda batch, _: Samples(batch, batch), lambda inputs: (inputs % 2 > 0).tolist()
        >>> samples, refused = take_samples({0: loader}, 4, seed=0, prepare=prepare, accept=accept)
        >>> [len(some) for some in samples], all(x % 2 for some in samples for x in some.inputs)
        ([2, 2], True)
    """
    with fixed_random_state(seed), ExitStack() as stack:
        for loader in loaders.values():
            stack.enter_context(_generators_fixed(loader, seed))
        if not all(_is_indexable(loader) for loader in loaders.values()):
            return _take_first(loaders, count, prepare, accept, n_batches)
        visited = [(number, index) for number, loader in loaders.items() for index in _visited(loader, n_batches)]
        chosen, refused = _choose(loaders, visited, count, seed, prepare, accept)
        taken: list[Samples | None] = []
        for number, loader in loaders.items():
            # Each loader has its own collation, and its batches may have a form of their own.
            indices = [index for owner, index in chosen if owner == number]
            size = len(indices) if together else loader.batch_size
            size = max(1, size or len(indices))
            pieces = [indices[start : start + size] for start in range(0, len(indices), size)]
            taken += [prepare(_collate(loader, piece), number) for piece in pieces]
        samples = [some for some in taken if some is not None]
        return samples, refused + len(taken) - len(samples)


def loss_seed(seed: int) -> int:
    """The seed by which the sets for the losses are drawn, from the monitor's.

    Those who reset labels at random, or choose what to train on, often do so by a permutation from a small seed. Drawn
    from the same seed, the training samples for the loss would be the very ones that were changed.

    Example:
        >>> loss_seed(0) == loss_seed(0), loss_seed(0) == loss_seed(1)
        (True, False)
    """
    return int.from_bytes(hashlib.sha256(f"loss {seed}".encode()).digest()[:4], "little")


@contextmanager
def fixed_random_state(seed: int) -> Iterator[None]:
    """Draw the same random numbers in this block each time, and leave every random state as it was.

    Example:
        >>> drawn = []
        >>> for _ in range(2):
        ...     with fixed_random_state(0):
        ...         drawn.append(random.random())
        >>> drawn[0] == drawn[1]
        True
    """
    with random_state_kept():
        torch.default_generator.manual_seed(seed)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002  # the legacy global state is what user code draws from
        random.seed(seed)
        yield


def prepared(trainer: Any, batch: Any, dataloader_idx: int, *, split: SplitBatch, seed: int) -> Samples | None:
    """A loader's batch as the network takes it: through the user's transfer hooks and the Trainer's precision.

    Args:
        trainer: the Trainer, with its module.
        batch: as the loader's collation made it.
        dataloader_idx: which of several loaders of its stage made it; the hooks are told.
        split: parts it into inputs and targets.
        seed: of the random numbers that hooks draw.

    Returns:
        the samples, on the CPU; ``None`` where ``split`` passes the batch over.

    Raises:
        TypeError: if ``split`` does not know such batches.
        ValueError: likewise.
    """
    with fixed_random_state(seed), validating(trainer):
        # The three steps that Lightning's loops take.
        batch = trainer.precision_plugin.convert_input(batch)
        batch = trainer.lightning_module._on_before_batch_transfer(batch, dataloader_idx)  # noqa: SLF001
        batch = trainer.strategy.batch_to_device(batch, dataloader_idx=dataloader_idx)
    parts = split(batch)
    if parts is None:
        return None
    inputs, targets = parts
    return Samples(to_device(inputs, "cpu"), torch.as_tensor(targets).detach().cpu())


def _split_mapping(batch: Mapping[str, Any]) -> tuple[Any, Tensor]:
    key = next((key for key in _TARGET_KEYS if isinstance(batch.get(key), Tensor)), None)
    inputs = {name: value for name, value in batch.items() if name != key and isinstance(value, Tensor)}
    if key is None or not inputs:
        msg = (
            f"A mapping batch must hold input tensors, and a tensor of targets under one of {list(_TARGET_KEYS)}, got"
            f" { ({str(name): type(value).__name__ for name, value in batch.items()}) }."
            f" HINT: pass `split_batch=lambda batch: (inputs, targets)`, or let the loader make tensors of lists."
        )
        raise ValueError(msg)
    if len(inputs) == 1 and "input_ids" not in inputs:
        return next(iter(inputs.values())), batch[key]
    return inputs, batch[key]


def _choose(
    loaders: Mapping[int, DataLoader],
    visited: Sequence[tuple[int, int]],
    count: int,
    seed: int,
    prepare: Prepare,
    accept: Accept | None,
) -> tuple[list[tuple[int, int]], int]:
    """Accepted samples as (number of the loader, index), in a random order, and how many were refused on the way."""
    chosen: list[tuple[int, int]] = []
    refused = 0
    for position in torch.randperm(len(visited), generator=torch.Generator().manual_seed(seed), device="cpu").tolist():
        if len(chosen) == count:
            break
        number, index = visited[position]
        if accept is None or _wanted(prepare(_collate(loaders[number], [index]), number), accept) == [0]:
            chosen.append((number, index))
        else:
            refused += 1
    return chosen, refused


def _collate(loader: DataLoader, indices: list[int]) -> Any:
    return loader.collate_fn([loader.dataset[index] for index in indices])


def _take_first(
    loaders: Mapping[int, Any], count: int, prepare: Prepare, accept: Accept | None, n_batches: float
) -> tuple[list[Samples], int]:
    """Samples from the start of the loaders: the accepted ones of each batch."""
    taken: list[Samples] = []
    refused = 0
    for number, loader in loaders.items():
        for batch in islice(_afresh(loader), _whole(n_batches)):
            if count <= 0:
                return taken, refused
            samples = prepare(batch, number)
            wanted = _wanted(samples, accept)
            refused += 1 if samples is None else len(samples) - len(wanted)
            rows = wanted[:count]
            count -= len(rows)
            if samples is None and accept is None:
                count -= 1  # else a stream without end, all of which is passed over, would be read for ever
            if samples is not None and rows:
                taken.append(samples.take(rows))
    return taken, refused


def _wanted(samples: Samples | None, accept: Accept | None) -> list[int]:
    """The rows that are accepted; none of a batch that is passed over."""
    if samples is None:
        return []
    return [row for row, good in enumerate(accept(samples.inputs)) if good] if accept else list(range(len(samples)))


def _afresh(loader: Any) -> Any:
    """A loader to iterate over beside the training: one with persistent workers has a single iterator, half read."""
    if isinstance(loader, DataLoader):
        loader = copy(loader)
        loader._iterator = None  # noqa: SLF001
    return loader


def _is_indexable(loader: Any) -> bool:
    return (
        isinstance(loader, DataLoader)
        and not isinstance(loader.dataset, IterableDataset)
        and hasattr(loader.batch_sampler, "__len__")
    )


def _visited(loader: Any, n_batches: float) -> list[int]:
    """The indices of the data set that the loader's sampler visits, in ascending order.

    A sampler that goes through the data set in order visits in each epoch the same first samples; one that draws them
    visits all of them at some time.
    """
    sampler = loader.sampler
    if isinstance(sampler, DistributedSampler):
        # Every rank must take the same samples, so the share of one rank is not enough.
        whole: Any = sampler.dataset
        if whole is not loader.dataset:
            return sorted({whole[i] for i in range(len(whole))})
        in_order = not sampler.shuffle and loader.batch_size is not None
        n_samples = n_batches * loader.batch_size * sampler.num_replicas if in_order else math.inf
        return list(range(int(min(len(whole), n_samples))))
    # A loader that was given a batch sampler has a sampler, too, which it does not use; and one of a class of its own
    # may have any order.
    batch_sampler = loader.batch_sampler
    in_order = type(batch_sampler) is BatchSampler and isinstance(batch_sampler.sampler, SequentialSampler)
    batches = islice(batch_sampler, _whole(min(len(batch_sampler), n_batches if in_order else math.inf)))
    return sorted({index for batch in batches for index in batch})


def _whole(n_batches: float) -> int | None:
    """A number of batches, which Lightning gives as infinity where it is unknown, for ``islice``."""
    return None if math.isinf(n_batches) else int(n_batches)


@contextmanager
def _generators_fixed(loader: Any, seed: int) -> Iterator[None]:
    """Seed the loader's and its samplers' own random generators for the block, then restore them."""
    generators = [getattr(owner, "generator", None) for owner in (loader, *_samplers(loader))]
    states = [(generator, generator.get_state()) for generator in generators if isinstance(generator, torch.Generator)]
    for generator, _ in states:
        generator.manual_seed(seed)
    try:
        yield
    finally:
        for generator, state in states:
            generator.set_state(state)


def _samplers(owner: Any) -> Iterator[Any]:
    """A loader's samplers, also those inside others; Lightning wraps a sampler in a ``DistributedSampler``."""
    for name in ("sampler", "batch_sampler", "_sampler"):
        if (inner := getattr(owner, name, None)) is not None:
            yield from (inner, *_samplers(inner))
    if isinstance(owner, DistributedSampler):
        yield from _samplers(owner.dataset)
