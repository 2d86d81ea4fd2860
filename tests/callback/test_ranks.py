"""Shares of samples; what happens between processes is tested by a training on two of them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_interactions.callback.ranks import share_of, share_out, together


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
