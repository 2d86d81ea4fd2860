"""Network outputs on all ``2**n`` masked versions of every sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lightning_interactions.lattice import subset_masks
from lightning_interactions.masking.batches import batch_size, leaves, repeat_rows, take_rows, to_device
from lightning_interactions.masking.layers import find_layer, run_with_output
from lightning_interactions.masking.observe import observing
from lightning_interactions.masking.outputs import Output, log_odds, logits_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lightning_interactions.masking.variables import Draw, Variables

__all__ = ["Forward", "call_network", "device_of", "values"]

Forward = Callable[[nn.Module, Any], Any]
"""``(model, inputs) -> logits`` or an object that holds them, for networks that take their inputs in their own way."""

_MOST_MASKED_INPUTS = 1024
"""The paper's ``2**10``: all masks of a sample in one forward pass, so that what lies before the layer runs once."""

_MEMORY_BUDGET = 256 * 2**20
"""Bytes of masked maps alive at once unless the caller says otherwise; the layers after it need a few times that."""


def values(
    model: nn.Module,
    inputs: Any,
    targets: Tensor,
    variables: Variables,
    draws: Sequence[Draw],
    *,
    output: Output = log_odds,
    forward: Forward | None = None,
    mask_batch_size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    r"""Network outputs :math:`v(x_T)` for all subsets :math:`T` of the drawn variables.

    What lies before the masked layer runs once for each forward pass and sample: the map is expanded to all its masked
    versions at the layer's output. Where a shortcut bypasses the layer, it runs once for each masked input instead. The
    network is left as it was found (:func:`~.observe.observing`).

    Args:
        model: the network.
        inputs: ``b`` samples: a tensor, or a mapping or sequence of tensors.
        targets: what ``output`` needs beside the logits; true classes ``(b,)`` for the built-in ones.
        variables: what the input variables are.
        draws: one draw a sample.
        output: scalar output ``(logits, targets) -> (B,)``.
        forward: how to call the network; by default :func:`call_network`.
        mask_batch_size: masked inputs in one forward pass. A memory knob: the values do not depend on it beyond
            rounding. By default up to 1,024, fewer where the maps are large.
        progress: called as ``progress(samples_done, samples)``.

    Returns:
        float64 tensor ``(b, 2**n)`` on the CPU, in the unit of ``output`` (nats for log-odds). Not finite where the
        network's output is not.

    Raises:
        ValueError: for an unknown layer, or a layer or input the variables cannot be found in.

    Example:
        >>> import torch
        >>> from lightning_interactions import Columns
        >>> model, rows, classes = torch.nn.Linear(3, 2), torch.rand(4, 3), torch.zeros(4, dtype=torch.int64)
        >>> columns = Columns(n_variables=3, baseline=0.0)
        >>> values(model, rows, classes, columns, columns.draw(rows)).shape
        torch.Size([4, 8])
    """
    n_samples, n_subsets = batch_size(inputs), 1 << variables.n_variables
    device = device_of(model)
    inputs, targets = to_device(inputs, device), targets.to(device)
    masks = subset_masks(variables.n_variables, device)
    network = _MaskedNetwork(model, variables, forward or call_network)
    result = torch.empty(n_samples, n_subsets, dtype=torch.float64, device=device)
    with observing(model):
        if mask_batch_size is None:
            mask_batch_size = _default_mask_batch_size(network.masked_bytes(take_rows(inputs, slice(0, 1))))
        for rows, subsets in _chunks(n_samples, n_subsets, mask_batch_size):
            logits = network(take_rows(inputs, rows), draws[rows], masks[subsets])
            repeated = targets[rows].repeat_interleave(subsets.stop - subsets.start, dim=0)
            scalar = output(logits.double(), repeated)
            if scalar.numel() != len(repeated):
                msg = (
                    f"`output` must return one number for each of the {len(repeated)} masked inputs, got shape"
                    f" {tuple(scalar.shape)}."
                )
                raise ValueError(msg)
            result[rows, subsets] = scalar.reshape(rows.stop - rows.start, -1)
            if progress is not None and subsets.stop == n_subsets:
                progress(rows.stop, n_samples)
    return result.cpu()


def call_network(model: nn.Module, inputs: Any) -> Any:
    """``model(**inputs)`` for a mapping, ``model(*inputs)`` for a sequence, else ``model(inputs)``."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    if isinstance(inputs, (list, tuple)):
        return model(*inputs)
    return model(inputs)


def device_of(model: nn.Module) -> torch.device:
    """Where the network's first parameter or buffer is; the CPU when it has none."""
    return next((tensor.device for tensor in (*model.parameters(), *model.buffers())), torch.device("cpu"))


class _MaskedNetwork:
    """A network whose variables are masked where ``variables`` says: at its inputs or at a layer's output."""

    def __init__(self, model: nn.Module, variables: Variables, forward: Forward) -> None:
        self.model = model
        self.variables = variables
        self.forward = forward
        self.layer = None if variables.layer is None else find_layer(model, variables.layer)
        self.is_bypassed = False

    def __call__(self, inputs: Any, draws: Sequence[Draw], masks: Tensor) -> Tensor:
        """Logits ``(b · m, K)`` of ``b`` samples under ``m`` masks."""
        expected = len(draws) * len(masks)
        if self.layer is None:
            logits = logits_of(self.forward(self.model, self.variables.mask(inputs, draws, masks)))
        else:
            logits = self._masked_at_layer(self.layer, inputs, draws, masks)
        if logits.shape[:1] != (expected,):
            msg = (
                f"The network must return one row for each of the {expected} masked inputs, got shape"
                f" {tuple(logits.shape)}."
            )
            raise ValueError(msg)
        return logits

    def _masked_at_layer(self, layer: nn.Module, inputs: Any, draws: Sequence[Draw], masks: Tensor) -> Tensor:
        n_masks = len(masks)

        def mask(output: Any) -> Any:
            return self.variables.mask(output, draws, masks)

        def mask_repeated(output: Any) -> Any:
            return mask(take_rows(output, slice(None, None, n_masks)))

        if not self.is_bypassed:
            try:
                logits = logits_of(run_with_output(layer, mask, lambda: self.forward(self.model, inputs)))
            except torch.OutOfMemoryError:
                raise
            except RuntimeError:  # shapes that do not fit, or a fault of the network, which the second way meets again
                pass
            else:
                if logits.shape[:1] == (len(draws) * n_masks,):
                    return logits
        # Something bypasses the layer (a shortcut, a remembered batch size), and its b rows do not fit the b · m masked
        # ones. So let every row of the whole network stand for one masked input.
        inputs = repeat_rows(inputs, n_masks)
        logits = logits_of(run_with_output(layer, mask_repeated, lambda: self.forward(self.model, inputs)))
        self.is_bypassed = True
        return logits

    def masked_bytes(self, inputs: Any) -> int:
        """The size of what is masked, for the one sample in ``inputs``."""
        if self.layer is None:
            return _bytes(inputs)
        size = 0

        def measure(output: Any) -> Any:
            nonlocal size
            size = _bytes(output)
            return output

        run_with_output(self.layer, measure, lambda: self.forward(self.model, inputs))
        return size


def _default_mask_batch_size(bytes_each: int) -> int:
    return max(1, min(_MOST_MASKED_INPUTS, _MEMORY_BUDGET // max(1, bytes_each)))


def _chunks(n_samples: int, n_subsets: int, mask_batch_size: int) -> Iterator[tuple[slice, slice]]:
    """Blocks of at most ``mask_batch_size`` masked inputs: whole samples where they fit, else parts of one sample."""
    if mask_batch_size < 1:
        msg = f"`mask_batch_size` must be at least 1, got {mask_batch_size}."
        raise ValueError(msg)
    samples = max(1, mask_batch_size // n_subsets)
    subsets = min(mask_batch_size, n_subsets)
    for row in range(0, n_samples, samples):
        for subset in range(0, n_subsets, subsets):
            yield slice(row, min(row + samples, n_samples)), slice(subset, min(subset + subsets, n_subsets))


def _bytes(inputs: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in leaves(inputs))
