"""Batches of any structure."""

from collections import UserDict

import pytest
import torch

from lightning_interactions.masking.batches import batch_size, leaves, repeat_rows, take_rows

X = torch.arange(6).reshape(3, 2)

STRUCTURES = [
    X,
    [X, X],
    (X, [X]),
    {"a": X, "b": {"c": X}},
    UserDict({"a": X}),
    {"a": X, "flag": True, "nothing": None},
]


@pytest.mark.parametrize("batch", STRUCTURES)
def test_any_structure_has_the_rows_of_its_tensors(batch):
    assert batch_size(batch) == 3
    assert all(torch.equal(leaf, X[[2, 0]]) for leaf in leaves(take_rows(batch, [2, 0])))
    assert all(leaf[:, 0].tolist() == [0, 0, 2, 2, 4, 4] for leaf in leaves(repeat_rows(batch, 2)))
    assert type(take_rows(batch, slice(0, 1))) is type(batch)


@pytest.mark.parametrize("rows", [slice(0, 2), [0, 1]])
def test_rows_are_copies(rows):
    x = torch.zeros(3, 2)
    take_rows(x, rows).add_(1)

    assert x.sum() == 0


@pytest.mark.parametrize("batch", [None, "text", [], {}, torch.tensor(1.0), (X, X[:2])])
def test_what_is_no_batch_is_refused(batch):
    with pytest.raises(ValueError, match="one row a sample"):
        batch_size(batch)
