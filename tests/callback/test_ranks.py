"""Shares of samples; what happens between processes is tested by a training on two of them."""

import gc
import weakref
from contextlib import suppress

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_interactions.callback import ranks
from lightning_interactions.callback.faults import Faults
from lightning_interactions.callback.ranks import RankError, share_of, share_out, together


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 40), st.integers(1, 9))
def test_the_shares_are_all_samples_in_order_and_nearly_equal(n_samples, n_ranks):
    samples = [10 * number for number in range(n_samples)]
    shares = [share_of(samples, rank, n_ranks) for rank in range(n_ranks)]

    assert [sample for share in shares for sample in share] == samples
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_single_process_does_it_all():
    assert share_out(range(3), list) == [[0, 1, 2]]
    assert together(lambda: "done") == ["done"]


@pytest.mark.parametrize("kind", [ValueError, KeyError])
def test_a_single_process_raises_its_own_error(kind):
    def work(_share=None):
        msg = "broken"
        raise kind(msg)

    for run in (lambda: together(work), lambda: share_out([1], work)):
        with pytest.raises(kind, match="broken"):
            run()


@pytest.fixture
def two_processes(monkeypatch):
    """Two processes, of which the other one tells what this one has told last."""

    def gather(reports, own):
        reports[:] = [own, (None, told[-1] if told else None)]
        told.append(own[1])

    told = []
    monkeypatch.setattr(ranks, "_many", lambda: True)
    for name, answer in {"get_rank": lambda: 0, "get_world_size": lambda: 2, "all_gather_object": gather}.items():
        monkeypatch.setattr(ranks.distributed, name, answer)


class SpellingError(KeyError):
    pass


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("broken"), ValueError),
        (UnicodeDecodeError("utf-8", b"a", 0, 1, "broken"), ValueError),
        (SpellingError("broken"), LookupError),
        (AttributeError("broken"), AttributeError),
        (NotImplementedError("broken"), NotImplementedError),
        (AssertionError("broken"), AssertionError),
        (RuntimeError("broken"), RankError),
        (OSError("broken"), RankError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
@pytest.mark.usefixtures("two_processes")
def test_a_mistake_is_one_for_every_process(error, kind):
    def work():
        raise error

    with pytest.raises(type(error)):
        together(work)
    with pytest.raises(kind, match=r"rank 0: .*broken"):
        together(lambda: None)


@pytest.mark.usefixtures("two_processes")
def test_what_a_failed_piece_of_work_has_made_is_freed_at_once():
    """On a GPU it would fill the memory until the garbage collector comes by."""
    made = []

    def work():
        tensor = torch.zeros(3)
        made.append(weakref.ref(tensor))
        msg = "broken"
        raise OSError(msg)

    faults = Faults("raise")
    gc.disable()
    try:
        with suppress(OSError):
            together(work)
        with faults.survived("working"):
            work()
        with suppress(OSError):
            faults._raise_kept()
        assert [tensor() for tensor in made] == [None, None]
    finally:
        gc.enable()
