"""The loss curves, read from their artists."""

import math

import pytest

from lightning_interactions.plots import loss_curves


def test_losses_and_their_gap_are_drawn_over_the_epochs(history):
    _, ax = loss_curves(history)
    lines = {line.get_label(): line for line in ax.lines}

    assert set(lines) == {"training loss", "held-out loss", "gap"}
    for label, key in (("training loss", "train_loss"), ("held-out loss", "held_out_loss"), ("gap", "loss_gap")):
        assert list(lines[label].get_xdata()) == [0, 5, 10, 15]
        assert list(lines[label].get_ydata()) == [entry[key] for entry in history]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss (nats)")
    assert len(ax.patches) == 0


def test_the_overfitting_phase_is_shaded_from_its_onset(record):
    _, ax = loss_curves([record(0), record(5), record(10, onset=5), record(15, onset=5)])

    (span,) = ax.patches
    assert (span.get_x(), span.get_width()) == (5, 10)
    assert span.get_label() == "overfitting phase"


def test_a_phase_that_ended_is_not_shaded(record):
    _, ax = loss_curves([record(0), record(5, onset=5), record(10)])

    assert len(ax.patches) == 0


def test_epochs_are_marked(history):
    _, ax = loss_curves(history, mark=[0, 10])

    assert [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"] == [0, 10]


@pytest.mark.parametrize("epochs", [[], [0], [0, 5]])
def test_little_or_bad_history_is_drawn(epochs, record, drawn):
    assert drawn(loss_curves([record(epoch, gap=math.nan) for epoch in epochs])[0])
