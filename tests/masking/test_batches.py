"""Batches of any structure."""

from collections import UserDict
from collections.abc import Mapping

import numpy as np
import pytest
import torch

from lightning_interactions.masking.batches import batch_size, join_rows, leaves, repeat_rows, split_rows, take_rows

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


MIXED = [*STRUCTURES, {"a": X, "names": ["one", "two"]}, [X, "text", (None, 3)], {"a": X, "scale": np.arange(2.0)}]


@pytest.mark.parametrize("batch", MIXED)
def test_batches_that_are_cut_and_joined_are_what_they_were(batch):
    for parts in ([take_rows(batch, rows) for rows in (slice(0, 1), [1], slice(2, 3))], list(split_rows(batch, 2))):
        joined = join_rows(parts)
        assert all(torch.equal(leaf, X) for leaf in leaves(joined))
        if isinstance(batch, Mapping):
            assert joined.keys() == batch.keys()
            assert all(repr(joined[key]) == repr(value) for key, value in batch.items() if not leaves(value))
    assert repr(join_rows([batch])) == repr(join_rows([batch, take_rows(batch, slice(0))]))


def test_pieces_share_their_memory():
    batch = {"a": X.clone()}
    for piece in split_rows(batch, 2):
        piece["a"][:] = 7
    assert (batch["a"] == 7).all()


@pytest.mark.parametrize(
    ("one", "other", "shown"),
    [
        (X, X[:, :1], r"\[\(3, 2\), \(3, 1\)\]"),
        ({"a": X}, {"a": X[None]}, r"\[\(3, 2\), \(1, 3, 2\)\]"),
        ([torch.tensor(1.0)], [torch.tensor(1.0)], r"\[\(\), \(\)\]"),
        ({"a": X, "flag": True}, {"a": X, "flag": False}, "got True and False"),
        ([X, ["a", "b"]], [X, ["a"]], r"got \['a', 'b'\] and \['a'\]"),
    ],
)
def test_batches_that_do_not_fit_together_are_shown(one, other, shown):
    with pytest.raises(ValueError, match=f"{shown}.*HINT"):
        join_rows([one, other])


@pytest.mark.parametrize("batch", [None, "text", [], {}, torch.tensor(1.0), (X, X[:2])])
def test_what_is_no_batch_is_refused(batch):
    with pytest.raises(ValueError, match="one row a sample"):
        batch_size(batch)
