"""The precision in which a network is watched, whatever it is trained in."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lightning_interactions.masking.devices import device_types, tensors_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Precision", "check_precision", "coarsest_rounding", "inputs_at", "new_tensors_as_weights", "weights_at"]

Precision = Literal["float32", "float64", "bf16"]
"""``"float32"``: at least that; weights kept in less are widened, TF32 is off. ``"float64"``: everything in float64.
``"bf16"``: under autocast to bfloat16, for those who know what the noise floor says about it."""

_DEFAULTS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""What new tensors can be by default."""


def check_precision(precision: str) -> Precision:
    """The precision of a name.

    Raises:
        ValueError: if there is none of that name.

    Example:
        >>> check_precision("float64")
        'float64'
    """
    for known in get_args(Precision):
        if precision == known:
            return known
    msg = f"`precision` must be one of {list(get_args(Precision))}, got {precision!r}."
    raise ValueError(msg)


@contextmanager
def weights_at(model: nn.Module, precision: Precision | None, *, channels_last: bool = False) -> Iterator[None]:
    """Run forward passes in a precision; afterwards the network has its very own tensors back.

    Weights that are wide enough already stay where they are. Others are replaced by wider copies, which take memory as
    long as the block runs. Tensors that the network makes itself have the type of its weights.

    Args:
        model: the network.
        precision: see :data:`Precision`; ``None`` leaves the weights as they are.
        channels_last: keep images with their channels last, the layout that GPUs multiply fastest.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1).bfloat16()
        >>> with weights_at(model, "float64"):
        ...     print(model.weight.dtype)
        torch.float64
        >>> model.weight.dtype
        torch.bfloat16
    """
    kept: list[tuple[nn.Module, str, Any]] = []
    made: dict[int, Any] = {}  # tied weights stay tied
    try:
        for module in model.modules():
            for name, tensor in (*_own(module, "_parameters"), *_own(module, "_buffers")):
                converted = made.get(id(tensor))
                if converted is None:
                    converted = made[id(tensor)] = _converted(tensor, precision, channels_last=channels_last)
                if converted is not tensor:
                    kept.append((module, name, tensor))
                    setattr(module, name, converted)
        with ExitStack() as stack:
            stack.enter_context(
                new_tensors_as_weights(model, torch.float64 if precision == "float64" else torch.float32)
            )
            if precision == "bf16":
                for device in device_types(model) or {"cpu"}:
                    stack.enter_context(torch.autocast(device, dtype=torch.bfloat16))
            yield
    finally:
        for module, name, tensor in kept:
            setattr(module, name, tensor)


@contextmanager
def new_tensors_as_weights(model: nn.Module, without: torch.dtype = torch.float32) -> Iterator[None]:
    """Give tensors that a network makes in its forward the type of its weights, whatever the user's default is.

    So does a Trainer whose precision is true float64, bfloat16 or float16. The default is as it was when the block
    ends, also when the network sets it.

    Args:
        model: the network; its first parameter or buffer of a type that can be the default says which.
        without: the type where there is none.

    Example:
        >>> import torch
        >>> with new_tensors_as_weights(torch.nn.Linear(2, 1).double()):
        ...     torch.zeros(1).dtype
        torch.float64
    """
    before = torch.get_default_dtype()
    types = (tensor.dtype for tensor in tensors_of(model))
    try:
        torch.set_default_dtype(next((dtype for dtype in types if dtype in _DEFAULTS), without))
        yield
    finally:
        torch.set_default_dtype(before)


def inputs_at(inputs: Any, precision: Precision | None, *, channels_last: bool = False) -> Any:
    """A structure of inputs in the types that :func:`weights_at` gives the weights; whole numbers stay what they are.

    Example:
        >>> import torch
        >>> inputs_at({"x": torch.zeros(1), "id": torch.tensor([3])}, "float64")
        {'x': tensor([0.], dtype=torch.float64), 'id': tensor([3])}
    """
    return apply_to_collection(
        inputs, Tensor, lambda tensor: _converted(tensor, precision, channels_last=channels_last)
    )


def coarsest_rounding(*tensors: Tensor) -> float:
    """The largest relative rounding error of the floating-point types in use; that of float64 where there is none.

    Example:
        >>> import torch
        >>> coarsest_rounding(torch.zeros(1), torch.zeros(1, dtype=torch.bfloat16))
        0.0078125
    """
    types = {tensor.dtype for tensor in tensors if tensor.is_floating_point()} | {torch.float64}
    return max(torch.finfo(dtype).eps for dtype in types)


def _own(module: nn.Module, store: str) -> list[tuple[str, Tensor]]:
    """A module's parameters or buffers, but for those without a shape: a part that has never run."""
    tensors = getattr(module, store).items()
    return [(name, tensor) for name, tensor in tensors if tensor is not None and not is_lazy(tensor)]


def _converted(tensor: Tensor, precision: Precision | None, *, channels_last: bool) -> Tensor:
    """The tensor itself where it is in the wanted type and layout already."""
    if precision is None or not tensor.is_floating_point():
        return tensor
    wanted = torch.promote_types(tensor.dtype, torch.float64 if precision == "float64" else torch.float32)
    layout: dict[str, Any] = {}
    if channels_last and tensor.ndim == 4:  # noqa: PLR2004
        layout = {"memory_format": torch.channels_last}
    converted = tensor.detach().to(dtype=wanted, **layout)
    if converted.dtype == tensor.dtype and _is_same_memory(converted, tensor):
        return tensor
    return nn.Parameter(converted, requires_grad=False) if isinstance(tensor, nn.Parameter) else converted


def _is_same_memory(converted: Tensor, tensor: Tensor) -> bool:
    """Only tensors with plain strides have an address; others, sparse ones, have no layout to change."""
    return tensor.layout is not torch.strided or converted.data_ptr() == tensor.data_ptr()
