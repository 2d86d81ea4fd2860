"""Network outputs on all ``2**n`` masked versions of every sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lightning_interactions.lattice import subset_masks
from lightning_interactions.masking.batches import batch_size, to_device
from lightning_interactions.masking.choose import choose_way
from lightning_interactions.masking.devices import device_of, has_float64, in_float64
from lightning_interactions.masking.fallback import ComparedFirst
from lightning_interactions.masking.memory import (
    MaskBatchSize,
    auto_mask_batch_size,
    check_mask_batch_size,
    give_cache_back,
    in_chunks,
)
from lightning_interactions.masking.network import MaskedNetwork, call_network
from lightning_interactions.masking.observe import observing
from lightning_interactions.masking.outputs import OUTPUTS, Output, check_targets, log_odds
from lightning_interactions.masking.padding import rows_cut
from lightning_interactions.masking.precision import Precision, check_precision, inputs_at, weights_at
from lightning_interactions.masking.ways import Chunk
from lightning_interactions.masking.wrapped import unwrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lightning_interactions.masking.choose import Choice
    from lightning_interactions.masking.network import Forward
    from lightning_interactions.masking.variables import Draw, Variables

__all__ = ["values"]

_BF16_ROUNDING = torch.finfo(torch.bfloat16).eps


def values(
    model: nn.Module,
    inputs: Any,
    targets: Tensor,
    variables: Variables,
    draws: Sequence[Draw],
    *,
    output: Output = log_odds,
    forward: Forward | None = None,
    mask_batch_size: MaskBatchSize = "auto",
    precision: Precision = "float32",
    channels_last: bool = False,
    compiled: bool = False,
    progress: Callable[[int, int], None] | None = None,
    choose: Callable[..., Choice] = choose_way,
) -> Tensor:
    r"""Network outputs :math:`v(x_T)` for all subsets :math:`T` of the drawn variables.

    What lies before the masked layer runs once for each forward pass and sample: the map is expanded to all its masked
    versions at the layer's output. Whether the network allows that is tried out first, on a few masked inputs; where it
    does not, all of it runs for each masked input, with a warning (:func:`~.choose.choose_way`). Padding that no sample
    of a pass needs is left out, where it makes no difference. The network is left as it was found
    (:func:`~.observe.observing`).

    Args:
        model: the network.
        inputs: ``b`` samples: a tensor, or a mapping or sequence of tensors.
        targets: what ``output`` needs beside the logits; true classes ``(b,)`` for the built-in ones.
        variables: what the input variables are.
        draws: one draw a sample.
        output: scalar output ``(logits, targets) -> (B,)``.
        forward: how to call the network; by default :func:`~.network.call_network`.
        mask_batch_size: masked inputs in one forward pass, or ``"auto"``. A memory knob: the values do not depend on it
            beyond rounding. Where memory runs out it is halved, and nothing is lost.
        precision: see :data:`~.precision.Precision`.
        channels_last: keep images with their channels last.
        compiled: run what lies after the mask by ``torch.compile``; the network as it is where that fails, with a
            warning.
        progress: called as ``progress(samples_done, samples)``.
        choose: what decides how the network is run, for benchmarks that leave some ways out; called as
            :func:`~.choose.choose_way` is.

    Returns:
        float64 tensor ``(b, 2**n)`` on the CPU, in the unit of ``output`` (nats for log-odds). Not finite where the
        network's output is not.

    Raises:
        ValueError: for an unknown layer or precision, targets that do not fit, or a layer or input the variables cannot
            be found in.

    Example:
        >>> import torch
        >>> from lightning_interactions import Columns
        >>> model, rows, classes = torch.nn.Linear(3, 2), torch.rand(4, 3), torch.zeros(4, dtype=torch.int64)
        >>> columns = Columns(n_variables=3, baseline=0.0)
        >>> values(model, rows, classes, columns, columns.draw(rows)).shape
        torch.Size([4, 8])
    """
    chunk, precision = check_mask_batch_size(mask_batch_size), check_precision(precision)
    n_samples, n_subsets = batch_size(inputs), 1 << variables.n_variables
    model = unwrapped(model)
    device = device_of(model)
    exact = device if has_float64(device) else torch.device("cpu")
    targets = to_device(targets, exact)
    masks = subset_masks(variables.n_variables, device)
    rounding = _BF16_ROUNDING if precision == "bf16" else 0.0
    network = MaskedNetwork(model, variables, forward or call_network, rounding)
    result = torch.empty(n_samples, n_subsets, dtype=torch.float64, device=exact)

    def run(rows: slice, subsets: slice) -> None:
        only = rows.start if rows.stop - rows.start == 1 else None
        some = rows_cut(variables, inputs, rows, choice.lengths)
        logits = choice.way(Chunk(some, draws[rows], masks[subsets], sample=only))
        repeated = targets[rows].repeat_interleave(subsets.stop - subsets.start, dim=0)
        scalar = output(in_float64(logits), repeated)
        if scalar.numel() != len(repeated):
            msg = (
                f"`output` must return one number for each of the {len(repeated)} masked inputs, got shape"
                f" {tuple(scalar.shape)}."
            )
            raise ValueError(msg)
        result[rows, subsets] = scalar.reshape(rows.stop - rows.start, -1)
        if progress is not None and subsets.stop == n_subsets:
            progress(rows.stop, n_samples)

    with observing(model), weights_at(model, precision, channels_last=channels_last):
        inputs = inputs_at(to_device(inputs, device), precision, channels_last=channels_last)
        choice = choose(network, inputs, draws, masks, compiled=ComparedFirst if compiled else None)
        if output in OUTPUTS.values():
            check_targets(choice.logits, targets)
        chunk = choice.most_rows or chunk or auto_mask_batch_size(device, choice.bytes_each)
        in_chunks(n_samples, n_subsets, chunk, run)
        choice.way.forget()
    give_cache_back(device)
    return result.cpu()
