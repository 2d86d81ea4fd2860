"""A network, how it is called, and where its variables are masked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lightning_interactions.masking.devices import in_float64
from lightning_interactions.masking.layers import find_layer
from lightning_interactions.masking.precision import coarsest_rounding

if TYPE_CHECKING:
    from lightning_interactions.masking.variables import Variables

__all__ = ["Forward", "MaskedNetwork", "call_network"]

Forward = Callable[[nn.Module, Any], Any]
"""``(model, inputs) -> logits`` or an object that holds them, for networks that take their inputs in their own way."""


class MaskedNetwork:
    """A network whose variables are masked where ``variables`` says: at its inputs or at a layer's output.

    Args:
        model: the network.
        variables: what the input variables are.
        forward: how to call the network.
        rounding: relative rounding error of a forward pass; by default that of the weights' and logits' types.

    Attributes:
        layer: whose output is masked; ``None`` for the inputs.

    Raises:
        ValueError: for an unknown layer.
    """

    def __init__(self, model: nn.Module, variables: Variables, forward: Forward, rounding: float = 0.0) -> None:
        self.model = model
        self.variables = variables
        self.forward = forward
        self.rounding = rounding
        self.layer = None if variables.layer is None else find_layer(model, variables.layer)

    def __call__(self, inputs: Any) -> Any:
        """What the network returns for its inputs as they are."""
        return self.forward(self.model, inputs)

    def same(self, logits: Tensor, plain: Tensor) -> bool:
        """Equal but for rounding, which a wrong row exceeds by orders of magnitude."""
        if logits.shape != plain.shape:
            return False
        rounding = max(self.rounding, coarsest_rounding(logits, *self.model.parameters()))
        finite = plain[plain.isfinite()]
        scale = finite.abs().max().item() if len(finite) else 0.0
        # A power between 1 (one rounding) and 0 (anything goes), for which no multiple of a rounding can stand: the
        # hundreds of roundings that float32 needs, since batches of other sizes are summed in another order, would be
        # more than the logits themselves in bfloat16. So 600 roundings are allowed in float32 (7e-5 of the largest
        # logit), 7 in bfloat16 (5 %), and 2 million in float64 (4e-10), where nothing that is wrong is as small.
        tolerance = rounding**0.6 * scale
        return torch.allclose(in_float64(logits), in_float64(plain), rtol=0.0, atol=tolerance, equal_nan=True)


def call_network(model: nn.Module, inputs: Any) -> Any:
    """``model(**inputs)`` for a mapping, ``model(*inputs)`` for a sequence, else ``model(inputs)``.

    Args:
        model: the network.
        inputs: a batch: a tensor, or a mapping or sequence of tensors.

    Returns:
        what the network returns.

    Example:
        >>> call_network(nn.ReLU(), {"input": torch.tensor([-1.0, 2.0])})
        tensor([0., 2.])
    """
    if isinstance(inputs, Mapping):
        return model(**inputs)
    if isinstance(inputs, (list, tuple)):
        return model(*inputs)
    return model(inputs)
