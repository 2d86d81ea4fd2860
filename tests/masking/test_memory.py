"""Chunks: every masked input once, whatever the size, and also when memory runs out half-way."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lightning_interactions.masking import forward
from lightning_interactions.masking.feature_map import FeatureMapPatches
from lightning_interactions.masking.forward import values
from lightning_interactions.masking.memory import (
    auto_mask_batch_size,
    check_mask_batch_size,
    give_cache_back,
    in_chunks,
    is_out_of_memory,
)

SHORT = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: …"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("GET was unable to find an engine to execute this computation"),
    RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"),
    MemoryError(),
]


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 7), st.sampled_from([2, 4, 8, 16]), st.integers(1, 70), st.integers(1, 70))
def test_every_masked_input_is_run_once_in_chunks_that_fit(n_samples, n_subsets, size, limit):
    done, largest = [], 0

    def run(samples, subsets):
        nonlocal largest
        rows = [(i, j) for i in range(n_samples)[samples] for j in range(n_subsets)[subsets]]
        if len(rows) > limit:
            raise torch.OutOfMemoryError
        largest = max(largest, len(rows))
        done.extend(rows)

    last = in_chunks(n_samples, n_subsets, size, run)

    assert done == [(i, j) for i in range(n_samples) for j in range(n_subsets)]
    assert largest <= min(size, limit)
    assert last == size or largest <= last < size


def test_no_more_chunks_than_needed():
    chunks = []
    in_chunks(5, 8, 20, lambda samples, subsets: chunks.append((samples, subsets)))

    whole = slice(0, 8)
    assert chunks == [(slice(0, 2), whole), (slice(2, 4), whole), (slice(4, 5), whole)]


@pytest.mark.parametrize("error", SHORT, ids=lambda error: f"{type(error).__name__}: {error}"[:40])
def test_a_lack_of_memory_has_many_names(error):
    assert is_out_of_memory(error)


def test_other_errors_are_none():
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("shapes differ")], ids=str
)
def test_what_does_not_help_is_raised(error):
    def run(_samples, _subsets):
        raise error

    with pytest.raises(type(error), match=str(error)):
        in_chunks(2, 4, 1 if is_out_of_memory(error) else 8, run)


class Greedy(nn.Module):
    """A network that has no memory for more than ``limit`` rows, or not after ``patience`` of its calls."""

    def __init__(self, limit, error, patience=0):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 4)
        self.limit, self.error, self.patience = limit, error, patience
        self.rows = []

    def forward(self, x):
        y = torch.relu(self.conv(x))
        self.rows.append(len(y))
        if len(y) > self.limit and len(self.rows) > self.patience:
            raise self.error
        return self.head(y.mean(dim=(2, 3)))


@pytest.mark.parametrize("error", SHORT, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(("limit", "patience"), [(1, 0), (3, 0), (9, 0), (20, 5)])
@pytest.mark.parametrize("mask_batch_size", ["auto", 64])
def test_a_lack_of_memory_loses_nothing(mask_batch_size, limit, patience, error, images, classes):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Greedy(limit, error, patience).double()
    patches = FeatureMapPatches("conv", grid=3, border=0, n_variables=4)
    draws = patches.draw(images)
    model.limit = 10**6
    expected = values(model, images, classes, patches, draws)
    model.limit, model.rows = limit, []
    found = values(model, images, classes, patches, draws, mask_batch_size=mask_batch_size)

    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    if patience:
        assert max(model.rows) > limit  # what was done before the lack stays done
        served = [n for call, n in enumerate(model.rows) if n <= limit or call < patience]
        assert sum(served) == 6 + 1 + 6 + 5 * 16


def test_one_masked_input_that_does_not_fit_is_an_error(images, classes):
    model = Greedy(0, torch.OutOfMemoryError("CUDA out of memory.")).double()
    patches = FeatureMapPatches("conv", grid=3, border=0, n_variables=4)

    with pytest.raises(torch.OutOfMemoryError):
        values(model, images, classes, patches, patches.draw(images))


def test_only_a_gpu_keeps_memory_to_give_back(monkeypatch):
    given_back = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: given_back.append("cuda"))
    give_cache_back(torch.device("cpu"))
    assert given_back == []
    give_cache_back(torch.device("cuda", 1))
    assert given_back == ["cuda"]


def test_memory_is_given_back_once_after_all_chunks(monkeypatch, images, classes):
    devices = []
    monkeypatch.setattr(forward, "give_cache_back", devices.append)
    model = Greedy(2, torch.OutOfMemoryError("CUDA out of memory.")).double()
    patches = FeatureMapPatches("conv", grid=3, border=0, n_variables=4)
    values(model, images, classes, patches, patches.draw(images))

    assert devices == [torch.device("cpu")]


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**34))
def test_the_automatic_size_on_a_cpu_keeps_a_layer_in_the_caches(bytes_each):
    size = auto_mask_batch_size(torch.device("cpu"), bytes_each)

    assert 1 <= size <= 1024
    assert size & (size - 1) == 0
    # Within the caches; where that is fewer than 16 inputs, 16 of them, as long as they take no more than 512 MiB.
    assert size == 1 or size * bytes_each <= (32 if size > 16 else 512) * 2**20
    assert size >= 16 or 2 * size * bytes_each > 512 * 2**20
    assert size in (16, 1024) or size < 16 or 2 * size * bytes_each > 32 * 2**20


def test_the_automatic_size_on_a_gpu_leaves_memory_free(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (2 * 2**30, 16 * 2**30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _device: 3 * 2**30)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _device: 2 * 2**30)
    cuda = torch.device("cuda")

    # 2 GiB free, and 1 GiB that torch holds and does not use: half of it, in pieces of 25 MiB.
    assert auto_mask_batch_size(cuda, 25 * 2**20) == 32
    assert auto_mask_batch_size(cuda, 2**40) == 1
    assert auto_mask_batch_size(cuda, 1) == 8192


@pytest.mark.parametrize(
    ("size", "error"), [(0, ValueError), (-3, ValueError), (2.5, TypeError), (True, TypeError), ("large", TypeError)]
)
def test_a_size_that_is_none_is_refused(size, error):
    with pytest.raises(error, match=r"`mask_batch_size` must be a whole number, at least 1, got .* HINT: 'auto'"):
        check_mask_batch_size(size)


@pytest.mark.parametrize(("asked", "expected"), [(None, None), ("auto", None), (1, 1), (512, 512)])
def test_a_size_that_is_one(asked, expected):
    assert check_mask_batch_size(asked) == expected
