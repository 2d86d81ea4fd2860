"""Find the cheapest way to run a network on masked inputs, by comparing ways with the plain one on a few of them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lightning_interactions.masking.batches import take_rows
from lightning_interactions.masking.compiled import uncompilable
from lightning_interactions.masking.fallback import UntilMemoryRunsOut
from lightning_interactions.masking.layer_bytes import bytes_each, bytes_noted
from lightning_interactions.masking.memory import is_out_of_memory
from lightning_interactions.masking.padding import lengths_to_cut
from lightning_interactions.masking.ways import Chunk, Inputs, Local, Repeat, Resumable, Split, Way

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from lightning_interactions.masking.network import MaskedNetwork
    from lightning_interactions.masking.variables import Draw

__all__ = ["Choice", "choose_way"]

_PROBES = ((2, 3), (1, 2), (1, 1))
"""Samples and masks that are compared. Two samples, or a network that mixes them up would not show; their number must
not divide that of the masks. Less where memory is short; one masked input is the same in every way."""


@dataclass(frozen=True)
class Choice:
    """How a network is run on masked inputs.

    Attributes:
        way: the way.
        bytes_each: what the busiest layer reads and writes for one masked input.
        logits: of the first sample under some masks.
        lengths: to cut the samples to (:mod:`~.padding`); ``None`` for no cut.
        most_rows: masked inputs that may run at once; ``None`` for as many as fit into memory.
    """

    way: Way
    bytes_each: int
    logits: Tensor
    lengths: list[int] | None = None
    most_rows: int | None = None


def choose_way(
    network: MaskedNetwork,
    inputs: Any,
    draws: Sequence[Draw],
    masks: Tensor,
    *,
    compiled: Callable[[Resumable], Way] | None = None,
    allow: Collection[type[Way]] = (Split, Local),
) -> Choice:
    """Find the cheapest way that gives what the plain one gives, by comparing them on a few masked inputs.

    A shortcut around the layer, or a network that remembers how many rows it was given, does not fit a map that is
    expanded half-way. A network whose rows depend on one another must see one input at a time. Both warn.

    Args:
        network: the network.
        inputs: all samples.
        draws: one draw a sample.
        masks: all masks, bool ``(m, n)``.
        compiled: how compiled code is taken into use: :class:`~.fallback.ComparedFirst`, or :class:`~.ways.Compiled`
            without a comparison; ``None`` for none.
        allow: the faster ways that may be taken.

    Returns:
        the way, and what was learned about the network besides.
    """
    if network.model in uncompilable:
        compiled = None
    for n_samples, n_masks in _PROBES:
        # One sample twice where there are no two.
        rows = [0, min(1, len(draws) - 1)][:n_samples]
        some = masks[
            torch.linspace(0, len(masks) - 1, n_masks, dtype=torch.float64, device="cpu")
            .long()
            .unique()
            .to(masks.device)
        ]
        try:
            return _Probe(network, inputs, draws, rows, some).choice(compiled, allow)
        except Exception as error:
            if not is_out_of_memory(error) or (n_samples, n_masks) == _PROBES[-1]:
                raise
    raise AssertionError  # the last probe returns or raises


class _Probe:
    """A few masked inputs, and what the plain way gives for them."""

    def __init__(
        self, network: MaskedNetwork, inputs: Any, draws: Sequence[Draw], rows: list[int], masks: Tensor
    ) -> None:
        self.network = network
        self.inputs = inputs
        self.draws = draws
        self.rows = rows
        self.masks = masks
        self.plain_way = Inputs(network) if network.layer is None else Repeat(network, network.layer)
        # The plain way comes first: a fault of the network itself shows here, once.
        with bytes_noted(network.model) as noted:
            self.plain = self.plain_way(self._chunk())
        self.bytes_each = bytes_each(noted, len(self.plain))

    def choice(self, compiled: Callable[[Resumable], Way] | None, allow: Collection[type[Way]]) -> Choice:
        """See :func:`choose_way`."""
        take_up = compiled or _as_it_is
        way = take_up(self.plain_way) if isinstance(self.plain_way, Resumable) else self.plain_way
        choice = Choice(way, self.bytes_each, self.plain)
        if len(self.plain) == 1:
            return choice
        if self._depends_on_others():
            return self._doubted(choice)
        layer = self.network.layer
        if layer is not None and Split in allow and (split := self._split(layer)):
            choice = replace(choice, way=take_up(split))
            if Local in allow and (found := self._local(layer)):
                local, size = found
                way = UntilMemoryRunsOut(take_up(local), choice.way)
                choice = replace(choice, way=way, bytes_each=size)
        if compiled is not None:  # code would have to be compiled for every length
            return choice
        return replace(choice, lengths=lengths_to_cut(self.network, choice.way, self.inputs, self.draws, self.masks))

    def _chunk(self, n_samples: int | None = None, sample: int | None = None) -> Chunk:
        """All or the first samples, anew for every run: a network may work on its inputs in place."""
        rows = self.rows[:n_samples]
        return Chunk(take_rows(self.inputs, rows), [self.draws[row] for row in rows], self.masks, sample)

    def _depends_on_others(self) -> bool:
        """Whether a masked input alone gives something else than among others, also by chance."""
        try:
            alone = self.plain_way(self._chunk(1)._replace(masks=self.masks[1:2]))
        except Exception as error:
            if is_out_of_memory(error):
                raise
            return False  # some networks cannot take a single one (`squeeze`, …)
        return not self.network.same(alone, self.plain[1:2])

    def _doubted(self, choice: Choice) -> Choice:
        """An input alone gave something else than among others: say why, and run it alone if that helps."""
        if self.network.same(self.plain_way(self._chunk()), self.plain):
            warnings.warn(
                "The network's output on an input depends on the other inputs of the batch, also in evaluation"
                " mode. So it is run on one masked input at a time, which is slow.",
                stacklevel=2,
            )
            return replace(choice, way=self.plain_way, most_rows=1)
        warnings.warn(
            "The network's output is random, also in evaluation mode: the same inputs gave two results. What it"
            " adds by chance will look like interactions of many variables.",
            stacklevel=2,
        )
        return choice

    def _split(self, layer: nn.Module) -> Split | None:
        """What lies before the layer once a sample, if that gives the same; else a warning."""
        split = Split(self.network, layer)
        try:
            same = self.network.same(split(self._chunk()), self.plain)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            same = False  # rows that do not fit one another
        if same:
            return split
        warnings.warn(
            f"Something in the network bypasses layer '{self.network.variables.layer}' or remembers the batch size;"
            f" what lies before the layer runs for every masked input, which is slower. HINT: name a layer that"
            f" everything flows through, such as a whole residual block.",
            stacklevel=2,
        )
        return None

    def _local(self, layer: nn.Module) -> tuple[Local, int] | None:
        """Tables of local values, for a sample at a time, and the bytes of a row after them; if they give the same."""
        first = self._chunk(1, sample=self.rows[0])
        try:
            local = Local.if_it_saves_work(self.network, layer, first)
            if local is None:
                return None
            # What runs before the tables runs once a sample.
            with bytes_noted(self.network.model, after=local.chain[-1]) as noted:
                logits = local(first)
        except Exception:  # noqa: BLE001  # a module that is not what it seems; there is another way
            return None
        if not self.network.same(logits, self.plain[: len(self.masks)]):
            return None
        return local, bytes_each(noted, len(self.masks))


def _as_it_is(way: Resumable) -> Way:
    return way
