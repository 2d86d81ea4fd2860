"""The guard: look at a network without leaving a trace."""

from __future__ import annotations

import random
import sys
import warnings
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy

from lightning_interactions.masking.devices import autocast_off, device_types
from lightning_interactions.masking.precision import new_tensors_as_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn

__all__ = ["evaluation_mode", "full_float32", "is_uninitialised", "observing", "random_state_kept", "tensors_kept"]


@contextmanager
def observing(model: nn.Module) -> Iterator[None]:
    """Run forward passes that only watch: evaluation mode, no gradients, no autocast, full float32 products.

    What ``torch.compile`` has made of the network, or of parts of it, is passed over: compiled code does not see the
    hooks by which layers are masked, and would be compiled anew for each number of masked inputs.

    Buffers, per-module train/eval flags, grad mode, autocast, the switches for TF32 and bfloat16 products, the default
    type of new tensors and the random states of torch, CUDA, NumPy and Python are as they were when the block ends,
    also when it raises. In the block, new tensors have the type of the network's weights by default.

    Args:
        model: the network that the block runs.

    Raises:
        ValueError: in the block, when a layer runs that has no weights before its first batch.

    Example:
        >>> import torch
        >>> model = torch.nn.Dropout()
        >>> with observing(model):
        ...     model(torch.ones(3)).tolist()
        [1.0, 1.0, 1.0]
        >>> model.training
        True
    """
    with (
        random_state_kept(),
        evaluation_mode(model),
        tensors_kept(model, parameters=False),  # quantization observers, counters and caches change
        _no_first_batch(model),
        full_float32(),
        new_tensors_as_weights(model),
        _uncompiled(),
        torch.no_grad(),
        autocast_off(device_types(model) | {"cpu"}),
    ):
        yield


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Restore the random states of torch (CPU and every CUDA device), NumPy and Python when the block ends."""
    cpu = torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    numpy_state = np.random.get_state()  # noqa: NPY002  # the legacy global state is what user code draws from
    python_state = random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Every module's flag says evaluation for the block; then each has its own again, as frozen parts have one already.

    Not by ``model.eval()``: a network may have one of its own that changes the weights, as that of a low-rank adapter
    does, and undoing it by ``model.train()`` leaves rounding behind.

    Args:
        model: the network.

    Example:
        >>> model = torch.nn.Dropout()
        >>> with evaluation_mode(model):
        ...     model.training
        False
        >>> model.training
        True
    """
    flags = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in flags:
            module.training = False
        yield
    finally:
        for module, training in flags:
            module.training = training


def is_uninitialised(module: nn.Module) -> bool:
    """Whether a parameter or buffer has no shape before the network's first batch, as those of ``nn.LazyLinear``.

    Such a network cannot be watched without a trace: its first forward pass draws its weights.

    Args:
        module: the network.

    Example:
        >>> layer = torch.nn.LazyLinear(2)
        >>> before, _, after = is_uninitialised(layer), layer(torch.zeros(1, 3)), is_uninitialised(layer)
        >>> before, after
        (True, False)
    """
    return any(is_lazy(tensor) for tensor in (*module.parameters(), *module.buffers()))


@contextmanager
def _no_first_batch(model: nn.Module) -> Iterator[None]:
    """Refuse to run layers that would draw their weights now: those are the training's to draw."""
    lazy = [module for module in model.modules() if isinstance(module, LazyModuleMixin) and is_uninitialised(module)]
    handles = [module.register_forward_pre_hook(_refuse, prepend=True) for module in lazy]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _refuse(module: nn.Module, _inputs: Any) -> None:
    msg = f"The layer {module} has no weights before its first batch. HINT: run the network on one batch first."
    raise ValueError(msg)


@contextmanager
def tensors_kept(model: nn.Module, *, parameters: bool = True) -> Iterator[None]:
    """Restore buffers, and parameters, when the block ends: the very same tensors with the very same values.

    Args:
        model: the network.
        parameters: keep a copy of these, too.

    Example:
        >>> layer = torch.nn.Linear(1, 1)
        >>> before = layer.weight.item()
        >>> with torch.no_grad(), tensors_kept(layer):
        ...     _ = layer.weight.add_(1)
        >>> layer.weight.item() == before
        True
    """
    stores = ("_buffers", "_parameters") if parameters else ("_buffers",)
    kept = [
        (store, name, tensor, tensor.detach().clone())  # a tensor may be replaced by another one
        for module in model.modules()
        for store in (getattr(module, name) for name in stores)
        for name, tensor in store.items()
        if tensor is not None and not is_lazy(tensor)
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for store, name, tensor, before in kept:
                store[name] = tensor
                if not _is_equal(tensor, before):
                    tensor.copy_(before)


def _is_equal(tensor: Tensor, other: Tensor) -> bool:
    """Whether two tensors are known to be equal; torch cannot compare sparse ones."""
    return tensor.layout is torch.strided and torch.equal(tensor, other)


@contextmanager
def _uncompiled() -> Iterator[None]:
    """Run the modules themselves; nothing is compiled where the compiler was never imported, which takes seconds."""
    if "torch._dynamo" not in sys.modules:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


@contextmanager
def full_float32() -> Iterator[None]:
    """Switch TF32 and bfloat16 products off: rounding, amplified by sums over ``2**n`` terms, looks like interactions.

    They are as they were when the block ends, also when it raises. torch has an old and a new set of switches over the
    same state. Where only new ones were set, reading an old one raises, and so it does afterwards for code that knows
    the old ones. So the old ones are used where they can be read.

    Example:
        >>> import torch
        >>> with full_float32():
        ...     torch.get_float32_matmul_precision()
        'highest'
    """
    with _deprecation_unheard():
        old = [switch for switch in _old_switches() if switch.is_readable()]
        new = _new_switches()
        kept = [(switch, switch.own()) for switch in (*old, *new)]
    try:
        with _deprecation_unheard():
            for switch in old:
                switch.write(switch.full)
            for switch in new:
                if switch.read() not in ("none", switch.full):
                    switch.write(switch.full)
        yield
    finally:
        with _deprecation_unheard():
            for switch, value in kept:
                switch.write(value)


@contextmanager
def _deprecation_unheard() -> Iterator[None]:
    """Keep quiet about the old switches: torch 2.9 warns whoever touches one, and here that is not the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


class _Switch(NamedTuple):
    """A switch for the precision of float32 products."""

    read: Callable[[], Any]
    write: Callable[[Any], None]
    full: Any
    above: Callable[[], Any] | None = None
    """Reads the switch whose value this one has while it is at ``"none"``."""

    def own(self) -> Any:
        """What to write back: written as read, an inherited value would no longer follow the switch above."""
        value = self.read()
        return "none" if self.above is not None and value == self.above() else value

    def is_readable(self) -> bool:
        try:
            self.read()
        except RuntimeError:
            return False
        return True


def _old_switches() -> list[_Switch]:
    cudnn: Any = torch.backends.cudnn
    return [
        _Switch(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"),
        _Switch(lambda: cudnn.allow_tf32, lambda value: setattr(cudnn, "allow_tf32", value), full=False),
    ]


def _new_switches() -> list[_Switch]:
    """Those of torch ≥ 2.9; empty before."""
    cuda: Any = torch.backends.cuda
    cudnn: Any = torch.backends.cudnn
    mkldnn: Any = torch.backends.mkldnn
    if not hasattr(cuda.matmul, "fp32_precision"):
        return []
    name = "fp32_precision"
    families = {cudnn: (cuda.matmul, cudnn.conv, cudnn.rnn), mkldnn: (mkldnn.matmul, mkldnn.conv, mkldnn.rnn)}
    return [
        _Switch(partial(getattr, part, name), partial(setattr, part, name), "ieee", partial(getattr, above, name))
        for above, parts in families.items()
        for part in parts
    ]
