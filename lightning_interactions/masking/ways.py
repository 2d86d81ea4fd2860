"""The ways to run a network on masked inputs: all give the same logits but for rounding, where they fit the network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from lightning_interactions.masking.batches import repeat_rows, take_rows
from lightning_interactions.masking.compiled import run_compiled
from lightning_interactions.masking.layers import output_of, run_with_output
from lightning_interactions.masking.local import LocalMaps, chain_after, local_maps
from lightning_interactions.masking.outputs import logits_of
from lightning_interactions.masking.patches import GridPatches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lightning_interactions.masking.network import MaskedNetwork
    from lightning_interactions.masking.variables import Draw

__all__ = ["Chunk", "Compiled", "Inputs", "Local", "Repeat", "Resumable", "Split", "Start", "Way"]

_CUDA_SAVED = 1e12
"""Multiply-adds that tables must save on each sample on a GPU: making them takes some hundred small kernels, about as
long as a GPU takes for this many. Estimated, not measured."""


class Chunk(NamedTuple):
    """Samples that run at once, each under the same masks.

    Attributes:
        inputs: ``b`` samples.
        draws: one draw a sample.
        masks: bool ``(m, n)``.
        sample: the number of the sample, if it is one; what is known of it is kept until another one comes.
    """

    inputs: Any
    draws: Sequence[Draw]
    masks: Tensor
    sample: int | None = None

    @property
    def n_rows(self) -> int:
        """Masked inputs, ``b · m``."""
        return len(self.draws) * len(self.masks)


class Start(NamedTuple):
    """Where a network starts with what is masked.

    Attributes:
        inputs: to call the network with.
        layer: from whose output on masks matter; ``None`` for the inputs.
        output: what stands in for that, ``b · m`` rows.
    """

    inputs: Any
    layer: nn.Module | None = None
    output: Any = None


class Way(ABC):
    """A way to run a network on masked inputs."""

    def __call__(self, chunk: Chunk) -> Tensor:
        """Logits ``(b · m, K)``: all masks of the first sample, then all of the second and so on.

        Raises:
            ValueError: if the network returns another number of rows.
        """
        logits = logits_of(self._run(chunk))
        if logits.shape[:1] != (chunk.n_rows,):
            msg = (
                f"The network must return one row for each of the {chunk.n_rows} masked inputs, got shape"
                f" {tuple(logits.shape)}."
            )
            raise ValueError(msg)
        return logits

    @abstractmethod
    def _run(self, chunk: Chunk) -> Any:
        """What the network returns."""

    def forget(self) -> None:  # noqa: B027  # most ways keep nothing
        """Give up what is kept of a sample."""


class Repeat(Way):
    """The whole network runs on every masked input: samples are repeated, and their maps are masked at the layer."""

    def __init__(self, network: MaskedNetwork, layer: nn.Module) -> None:
        self.network = network
        self.layer = layer

    def _run(self, chunk: Chunk) -> Any:
        n_masks, mask = len(chunk.masks), self.network.variables.mask
        repeated = repeat_rows(chunk.inputs, n_masks)
        return run_with_output(
            self.layer,
            lambda output: mask(take_rows(output, slice(None, None, n_masks)), chunk.draws, chunk.masks),
            lambda: self.network(repeated),
        )


class Resumable(Way):
    """A way in which what comes before the mask does not run for every mask: the rest can be run by compiled code."""

    def __init__(self, network: MaskedNetwork) -> None:
        self.network = network

    @abstractmethod
    def start(self, chunk: Chunk) -> Start:
        """What is masked, once what comes before it is known."""


class Inputs(Resumable):
    """The masked inputs themselves run through the network; there is no layer."""

    def start(self, chunk: Chunk) -> Start:
        """See :meth:`Resumable.start`."""
        return Start(self.network.variables.mask(chunk.inputs, chunk.draws, chunk.masks))

    def _run(self, chunk: Chunk) -> Any:
        return self.network(self.start(chunk).inputs)


class Split(Resumable):
    """What lies before the layer runs once a sample; its map is expanded to all masks."""

    def __init__(self, network: MaskedNetwork, layer: nn.Module) -> None:
        super().__init__(network)
        self.layer = layer
        self._features = _Kept()

    def start(self, chunk: Chunk) -> Start:
        """See :meth:`Resumable.start`."""
        features = self._features.of(chunk.sample)
        if features is None:
            features = output_of(self.layer, lambda: self.network(chunk.inputs))
            self._features.keep(chunk.sample, features)
        return Start(chunk.inputs, self.layer, self._masked(features, chunk))

    def forget(self) -> None:
        """See :meth:`Way.forget`."""
        self._features.forget()

    def _run(self, chunk: Chunk) -> Any:
        return run_with_output(
            self.layer, lambda output: self._masked(output, chunk), lambda: self.network(chunk.inputs)
        )

    def _masked(self, features: Any, chunk: Chunk) -> Any:
        return self.network.variables.mask(features, chunk.draws, chunk.masks)


class Local(Resumable):
    """As :class:`Split`, but some layers later, up to where each local value is computed once (:mod:`~.local`).

    Args:
        network: the network.
        layer: whose output is masked.
        chain: the modules after it that tables of local values replace.
    """

    def __init__(self, network: MaskedNetwork, layer: nn.Module, chain: Sequence[nn.Module]) -> None:
        super().__init__(network)
        self.layer = layer
        self.chain = chain
        self._tables = _Kept()

    @classmethod
    def if_it_saves_work(cls, network: MaskedNetwork, layer: nn.Module, first: Chunk) -> Local | None:
        """With as long a chain as saves work; ``None`` where none does.

        Args:
            network: the network.
            layer: whose output is masked.
            first: one sample, whose tables are made and kept.
        """
        chain = chain_after(network.model, layer)
        if not chain or not isinstance(network.variables, GridPatches):
            return None
        features = output_of(layer, lambda: network(first.inputs))
        tables, length = local_maps(network.variables, first.draws[0], features, chain)
        if length == 0 or tables.saved < (_CUDA_SAVED if tables.table.is_cuda else 0):
            return None
        way = cls(network, layer, chain[:length])
        way.keep(first.sample, tables)
        return way

    def start(self, chunk: Chunk) -> Start:
        """See :meth:`Resumable.start`."""
        tables = self._tables.of(chunk.sample)
        if tables is None:
            tables = self._made(output_of(self.layer, lambda: self.network(chunk.inputs)), chunk.draws)
            self._tables.keep(chunk.sample, tables)
        return Start(chunk.inputs, self.chain[-1], _joined(tables, chunk.masks))

    def keep(self, sample: int | None, tables: LocalMaps) -> None:
        """Make no others for this sample, until another one comes."""
        self._tables.keep(sample, [tables])

    def forget(self) -> None:
        """See :meth:`Way.forget`."""
        self._tables.forget()

    def _run(self, chunk: Chunk) -> Any:
        """The samples themselves run through the network; masked maps take their place at the end of the chain."""
        tables = self._tables.of(chunk.sample)

        def make(output: Any) -> Any:
            nonlocal tables
            if tables is None:
                tables = self._made(output, chunk.draws)
            return output

        def run() -> Any:
            return run_with_output(self.layer, make, lambda: self.network(chunk.inputs))

        result = run_with_output(self.chain[-1], lambda _output: _joined(tables, chunk.masks), run)
        self._tables.keep(chunk.sample, tables)
        return result

    def _made(self, features: Any, draws: Sequence[Draw]) -> list[LocalMaps]:
        """The tables of every sample, from what the layer puts out for it."""
        self.forget()  # before others take memory
        return [
            local_maps(self.network.variables, draw, features[row : row + 1], self.chain, len(self.chain))[0]
            for row, draw in enumerate(draws)
        ]


class Compiled(Way):
    """As another way, but what starts with the mask runs by compiled code."""

    def __init__(self, way: Resumable) -> None:
        self.way = way

    def forget(self) -> None:
        """See :meth:`Way.forget`."""
        self.way.forget()

    def _run(self, chunk: Chunk) -> Any:
        network, start = self.way.network, self.way.start(chunk)
        return run_compiled(network.model, network.forward, start.inputs, start.layer, start.output)


class _Kept:
    """What is known of one sample, until another one comes."""

    def __init__(self) -> None:
        self._sample: int | None = None
        self._value: Any = None

    def of(self, sample: int | None) -> Any:
        """``None`` for another sample, and for several at once."""
        return None if sample is None or sample != self._sample else self._value

    def keep(self, sample: int | None, value: Any) -> None:
        """Nothing of several at once."""
        self._sample, self._value = sample, None if sample is None else value

    def forget(self) -> None:
        self.keep(None, None)


def _joined(tables: Sequence[LocalMaps], masks: Tensor) -> Tensor:
    """The maps of every sample under all masks."""
    return torch.cat([maps.maps(masks) for maps in tables])
