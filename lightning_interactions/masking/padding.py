"""Padding that makes sentences of different length one batch: it is left out where it makes no difference."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from lightning_interactions.masking.batches import take_rows
from lightning_interactions.masking.memory import is_out_of_memory
from lightning_interactions.masking.ways import Chunk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from lightning_interactions.masking.network import MaskedNetwork
    from lightning_interactions.masking.variables import Draw, Variables
    from lightning_interactions.masking.ways import Way

__all__ = ["lengths_to_cut", "rows_cut"]


def lengths_to_cut(
    network: MaskedNetwork, way: Way, inputs: Any, draws: Sequence[Draw], masks: Tensor
) -> list[int] | None:
    """The lengths of the samples, if the output on the one with the most padding does not depend on it; else a warning.

    Args:
        network: the network.
        way: how it is run.
        inputs: all samples.
        draws: one draw a sample.
        masks: some masks, bool ``(m, n)``.

    Returns:
        one length a sample, for :func:`rows_cut`; ``None`` where there is no padding, or where it matters.
    """
    lengths = network.variables.lengths(inputs)
    if lengths is None:
        return None
    shortest = min(range(len(lengths)), key=lengths.__getitem__)
    padded = Chunk(take_rows(inputs, [shortest]), draws[shortest : shortest + 1], masks)
    plain = way(padded)
    try:
        same = network.same(way(padded._replace(inputs=network.variables.cut(padded.inputs, lengths[shortest]))), plain)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        same = False  # something else is as long as the padded samples
    if same:
        return lengths
    warnings.warn(
        "The network's output depends on the padding of its inputs, so they are run with it, which is slower. A"
        " sample may get other interactions in another batch. HINT: does the network use the attention mask?",
        stacklevel=2,
    )
    return None


def rows_cut(variables: Variables, inputs: Any, rows: slice, lengths: Sequence[int] | None) -> Any:
    """Some of the samples, without the padding that none of them needs.

    Args:
        variables: what the input variables are.
        inputs: all samples.
        rows: which of them.
        lengths: what :func:`lengths_to_cut` returned.
    """
    chosen = take_rows(inputs, rows)
    return chosen if lengths is None else variables.cut(chosen, max(lengths[rows]))
