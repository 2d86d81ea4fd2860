"""A network as it was at a checkpoint, to be the reference of the fits."""

from __future__ import annotations

from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from torch import nn

from lightning_interactions.distribution.reference import REFERENCES, check_reference
from lightning_interactions.interactions import Interactions
from lightning_interactions.masking.observe import tensors_kept

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_reference_argument", "is_checkpoint", "known_reference", "weights_of"]

_INTERACTIONS = ".npz"


def _is_file(reference: Any) -> TypeGuard[str | Path]:
    """Whether a reference names a file: a checkpoint, or interactions that were saved."""
    return isinstance(reference, (str, Path)) and reference not in REFERENCES and Path(reference).suffix != ""


def check_reference_argument(reference: Any, delta_range: tuple[float, float] | None) -> None:
    """Refuse a reference that is neither a known name, nor interactions, nor a file that exists.

    Raises:
        ValueError: for an unknown name, or ``"current"`` without a range of δ.
        FileNotFoundError: if there is no such file.
    """
    if not _is_file(reference):
        check_reference(reference, delta_range)
    elif not Path(reference).is_file():
        msg = (
            f"`reference`: there is no file '{reference}'."
            f" HINT: give a Lightning checkpoint or interactions saved as '{_INTERACTIONS}'."
        )
        raise FileNotFoundError(msg)


def is_checkpoint(reference: Any) -> TypeGuard[str | Path]:
    """Whether a reference names a checkpoint, which has no interactions before it is explained."""
    return _is_file(reference) and Path(reference).suffix != _INTERACTIONS


def known_reference(reference: str | Path | Interactions) -> str | Interactions | None:
    """The reference as the fits take it; ``None`` for a checkpoint.

    Raises:
        ValueError: if it names a file that holds no interactions.
    """
    if is_checkpoint(reference):
        return None
    return Interactions.load(reference) if _is_file(reference) else reference  # type: ignore[return-value]


@contextmanager
def weights_of(module: nn.Module, checkpoint: str | Path) -> Iterator[None]:
    """Give a module the weights, buffers and extra state of a checkpoint for a while; its own come back bitwise.

    They come back on errors, too. What a network keeps beside its tensors is what it returns by ``get_extra_state()``.

    Raises:
        ValueError: if the file is no checkpoint of this module.

    Example:
        >>> import tempfile
        >>> module = torch.nn.Linear(1, 1)
        >>> own = module.weight.item()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({"state_dict": {"weight": torch.ones(1, 1), "bias": torch.zeros(1)}}, f"{folder}/a.ckpt")
        ...     with weights_of(module, f"{folder}/a.ckpt"):
        ...         module.weight.item()
        1.0
        >>> module.weight.item() == own
        True
    """
    extra = {
        part: deepcopy(part.get_extra_state())
        for part in module.modules()
        if type(part).get_extra_state is not nn.Module.get_extra_state
    }
    # Not by `state_dict()` and back: hooks and methods of the network's own may read or write another thing there.
    with tensors_kept(module):
        try:
            _load(module, checkpoint)
            yield
        finally:
            for part, state in extra.items():
                part.set_extra_state(state)


def _load(module: nn.Module, checkpoint: str | Path) -> None:
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
        module.load_state_dict(content["state_dict"])
    except Exception as error:
        msg = (
            f"`reference`: '{checkpoint}' is no checkpoint of this {type(module).__name__}: {error}."
            f" HINT: it must hold the `state_dict` of the same network and load with `weights_only=True`."
        )
        raise ValueError(msg) from error
