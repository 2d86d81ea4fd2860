"""A stand-in for a device without float64, such as Apple's GPUs: its tensors are kept and computed on the CPU.

They say that they are elsewhere, do not mix with tensors of the CPU, and refuse to be float64.
"""

from copy import deepcopy

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["DEVICE", "StandIn", "moved"]

DEVICE = torch.device("meta")
"""Of all kinds of devices, the one that torch knows everywhere and that has no tensors of its own here."""

_MIXING = {"aten::copy_", "aten::_to_copy", "aten::index", "aten::index_put_"}
"""What takes tensors from both."""


class _Elsewhere(torch.Tensor):
    """A tensor that says it is on the device."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, kept):
        return torch.Tensor._make_wrapper_subclass(
            cls, kept.shape, strides=kept.stride(), dtype=kept.dtype, device=DEVICE
        )

    def __init__(self, kept):
        self.kept = kept

    def __getitem__(self, index):
        # torch makes index tensors of lists without their numbers, where it believes that there are none.
        return super().__getitem__(torch.tensor(index, device="cpu") if isinstance(index, list) else index)

    def tolist(self):
        return self.kept.tolist()

    @classmethod
    def __torch_dispatch__(cls, operation, _types, arguments=(), options=None):
        with StandIn():
            return operation(*arguments, **(options or {}))


class StandIn(TorchDispatchMode):
    """In the block there is such a device."""

    def __torch_dispatch__(self, operation, _types, arguments=(), options=None):
        options = dict(options or {})
        given = [value for value in tree_leaves((arguments, options)) if isinstance(value, torch.Tensor)]
        elsewhere = [tensor for tensor in given if isinstance(tensor, _Elsewhere)]
        here = [tensor for tensor in given if not isinstance(tensor, _Elsewhere) and tensor.ndim]
        if elsewhere and here and operation._schema.name not in _MIXING:
            msg = f"Expected all tensors to be on the same device for {operation}."
            raise RuntimeError(msg)
        results_elsewhere = bool(elsewhere)
        if options.get("device") is not None:
            results_elsewhere = torch.device(options["device"]).type == DEVICE.type
            options["device"] = torch.device("cpu")
        if operation._schema.name == "aten::copy_":
            results_elsewhere = isinstance(arguments[0], _Elsewhere)
        result = operation(*tree_map(_kept, arguments), **tree_map(_kept, options))

        def placed(value):
            if not isinstance(value, torch.Tensor):
                return value
            # What an operation changed in place is the tensor that it was given.
            same = next((tensor for tensor in given if _kept(tensor) is value), None)
            if same is not None and isinstance(same, _Elsewhere) == results_elsewhere:
                return same
            if not results_elsewhere:
                return value.clone() if same is not None else value
            if value.dtype == torch.float64:
                msg = f"Cannot convert a {DEVICE.type} tensor to float64, which the device does not have."
                raise TypeError(msg)
            return _Elsewhere(value)

        return tree_map(placed, result)


def moved(network):
    """A copy of a network on the device; in the block."""
    network = deepcopy(network)
    for module in network.modules():  # not by `to`, which keeps the parameters and changes what they are
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(parameter.detach().to(DEVICE), parameter.requires_grad))
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, buffer.to(DEVICE))
    return network


def _kept(value):
    return value.kept if isinstance(value, _Elsewhere) else value
