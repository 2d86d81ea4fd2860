"""How many masked inputs fit into one forward pass, and what to do when they do not."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Literal

import torch
from lightning.pytorch.utilities.memory import is_oom_error

from lightning_interactions.checks import check_whole

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "MaskBatchSize",
    "auto_mask_batch_size",
    "check_mask_batch_size",
    "give_cache_back",
    "in_chunks",
    "is_out_of_memory",
]

MaskBatchSize = int | Literal["auto"] | None
"""Masked inputs in one forward pass; ``None`` means ``"auto"``."""

_CPU_BYTES = 32 * 2**20
"""What the busiest layer reads and writes in one pass on a CPU: about what the caches hold; see ``docs/engine.md``."""

_CPU_LARGEST = 1024

_CPU_SMALLEST = 16
"""Where a single map fills the caches, the chunk hardly matters; but what lies before the layer runs once a chunk."""

_CPU_MOST_BYTES = 512 * 2**20
"""What even the smallest chunk may cost."""

_CUDA_SHARE = 0.5
"""Of the free memory; the other half is for workspaces and for what no layer owns."""

_CUDA_BYTES = 4 * 2**30
"""A GPU is busy long before this; more would only take memory away from the training."""

_CUDA_LARGEST = 8192

_SIGNS_OF_NO_MEMORY = (
    "_STATUS_ALLOC_FAILED",
    "_ALLOCATION_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "unable to find an engine",
    "Unable to find a valid cuDNN algorithm",
)
"""What NVIDIA's libraries say, beside what Lightning knows, when they get no memory for their handles or workspaces."""


def check_mask_batch_size(mask_batch_size: MaskBatchSize) -> int | None:
    """The number asked for, or ``None`` where it is to be found.

    Raises:
        TypeError: if it is neither a whole number nor ``"auto"``.
        ValueError: if it is below 1.

    Example:
        >>> check_mask_batch_size("auto"), check_mask_batch_size(64)
        (None, 64)
    """
    if mask_batch_size is None or mask_batch_size == "auto":
        return None
    check_whole(minimum=1, hint="'auto' finds a number.", mask_batch_size=mask_batch_size)
    return int(mask_batch_size)


def auto_mask_batch_size(device: torch.device, bytes_each: int) -> int:
    """A chunk that is fast and safe, as a power of two.

    On a CPU what one layer reads and writes should fit into the caches, but not at the price of tiny chunks. On a CUDA
    device a large share of the free memory may be used: more would only cost memory, and should it be too much after
    all, :func:`in_chunks` halves it.

    Args:
        device: where the network is.
        bytes_each: what the busiest layer reads and writes for one masked input.

    Example:
        >>> auto_mask_batch_size(torch.device("cpu"), bytes_each=2**20)
        32
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What torch has taken from the device and does not use is free, too.
        free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        allowed, largest = min(int(_CUDA_SHARE * free), _CUDA_BYTES), _CUDA_LARGEST
    else:
        smallest = min(_CPU_SMALLEST, _CPU_MOST_BYTES // max(1, bytes_each))
        allowed, largest = max(_CPU_BYTES, smallest * bytes_each), _CPU_LARGEST
    fitting = max(1, min(largest, allowed // max(1, bytes_each)))
    return 1 << (fitting.bit_length() - 1)


def in_chunks(n_samples: int, n_subsets: int, mask_batch_size: int, run: Callable[[slice, slice], None]) -> int:
    """Run through all masked inputs: whole samples where they fit into a chunk, else parts of one sample.

    A chunk that does not fit into memory is halved and tried again; what was done before it stays done.

    Args:
        n_samples: samples.
        n_subsets: masked versions of each.
        mask_batch_size: masked inputs in a chunk, at most.
        run: is called with the samples and the masks of each chunk.

    Returns:
        masked inputs in a chunk at the end; fewer than asked for after a lack of memory.

    Raises:
        torch.OutOfMemoryError: or whatever else says so, when not even one masked input fits.

    Example:
        >>> in_chunks(3, 4, 8, lambda samples, masks: print(samples, masks))
        slice(0, 2, None) slice(0, 4, None)
        slice(2, 3, None) slice(0, 4, None)
        8
    """
    size, sample, subset = mask_batch_size, 0, 0
    while sample < n_samples:
        whole = subset == 0 and size >= n_subsets
        samples = slice(sample, min(sample + size // n_subsets, n_samples) if whole else sample + 1)
        subsets = slice(subset, min(subset + size, n_subsets))
        if _fits(run, samples, subsets):
            subset = subsets.stop % n_subsets
            sample = samples.stop if subset == 0 else sample
        else:
            size = (samples.stop - samples.start) * (subsets.stop - subsets.start) // 2
            _give_memory_back()
    return size


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory has run out, on whatever device.

    Example:
        >>> is_out_of_memory(MemoryError()), is_out_of_memory(ValueError())
        (True, False)
    """
    return (
        isinstance(error, (torch.OutOfMemoryError, MemoryError))
        or is_oom_error(error)
        or (isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS_OF_NO_MEMORY))
    )


def give_cache_back(device: torch.device) -> None:
    """Let the training, and NCCL, have what torch keeps of a CUDA device's memory for the next tensors of this size.

    Args:
        device: of any kind; only a CUDA device's memory is kept in this way.

    Example:
        >>> give_cache_back(torch.device("cpu"))
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _fits(run: Callable[[slice, slice], None], samples: slice, subsets: slice) -> bool:
    """Run a chunk. The error must be gone before memory is given back: its traceback holds the chunk's tensors."""
    try:
        run(samples, subsets)
    except Exception as error:
        if not is_out_of_memory(error) or (samples.stop - samples.start) * (subsets.stop - subsets.start) == 1:
            raise
        return False
    return True


def _give_memory_back() -> None:
    """A smaller chunk needs blocks of another size than those that torch keeps for the device."""
    if torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()
