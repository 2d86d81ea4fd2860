"""Gaussian noise on a network's parameters, one way to inject what does not generalise into it (Section 2.2.2)."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["weight_noise"]


@contextmanager
def weight_noise(model: nn.Module, sigma: float, *, relative: bool = False, seed: int = 0) -> Iterator[nn.Module]:
    r"""Add Gaussian noise :math:`\epsilon \sim N(0, \sigma^2)` to all parameters for the block (Section 2.2.2).

    The noise is :math:`\sigma` times a draw that depends on nothing but the seed and the shapes of the parameters: two
    values of :math:`\sigma` disturb the network in the same direction, on every device, and no other random generator
    is touched. Every parameter is bitwise what it was when the block ends, also when it raises. Frozen parameters get
    noise, shared ones once; buffers, parameters that are no floating-point numbers and parameters without values (on
    the meta device) are left alone.

    Args:
        model: the network.
        sigma: :math:`\sigma \ge 0`: the standard deviation in the unit of the parameters, or with ``relative`` as a
            share of the root mean square of each parameter tensor. A tensor of zeros then gets no noise.
        relative: what ``sigma`` is relative to.
        seed: of the noise.

    Yields:
        the network.

    Raises:
        ValueError: if ``sigma`` is negative or not finite, or if the network has parameters without a shape yet.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> before = model.weight.detach().clone()
        >>> with weight_noise(model, sigma=0.5):
        ...     torch.equal(model.weight, before)
        False
        >>> torch.equal(model.weight, before)
        True
    """
    if not 0 <= sigma < math.inf:
        msg = f"`sigma` must be a finite number ≥ 0, got {sigma!r}."
        raise ValueError(msg)
    # Writing to `.data` leaves a graph that was recorded before the block usable after it.
    noisy = [parameter.data for parameter in _distinct_parameters(model)]
    kept = [tensor.clone() for tensor in noisy]
    generator = torch.Generator("cpu").manual_seed(seed)
    try:
        for tensor in noisy:
            _add_noise(tensor, sigma, relative, generator)
        yield model
    finally:
        for tensor, original in zip(noisy, kept, strict=True):
            tensor.copy_(original)


def _distinct_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Parameters that can carry noise, those that share their memory once."""
    found: dict[Any, nn.Parameter] = {}
    for name, parameter in model.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            msg = f"Parameter '{name}' has no shape yet. HINT: run the network on one batch first."
            raise ValueError(msg)  # noqa: TRY004  # what is wrong is the network's state
        if parameter.is_floating_point() and not parameter.is_meta and parameter.numel():
            found.setdefault((parameter.device, parameter.data_ptr(), parameter.numel()), parameter)
    return list(found.values())


def _add_noise(tensor: Tensor, sigma: float, relative: bool, generator: torch.Generator) -> None:
    # Drawn on the CPU and in one type, so that the noise is the same wherever and in whatever type the network runs.
    noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float32, device="cpu")
    wide = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    values = tensor.to(wide)
    scale = sigma * values.square().mean().sqrt() if relative else sigma
    tensor.copy_(values + scale * noise.to(values))
