"""Decay and spindle as stacked bars and as lines, read from their artists."""

import math

import pytest
from matplotlib.figure import Figure

from lightning_interactions.plots import DECAY, SPINDLE, decomposition, decomposition_over_training


def test_the_parts_are_stacked_up_to_the_measured_strength(record, with_fit, drawn):
    entry = with_fit(record(5))
    figure, ax = decomposition(entry, title="epoch 5")

    bars = {}
    for patch in ax.patches:
        order = round(patch.get_x() + patch.get_width() / 2)
        bars.setdefault((order, patch.get_height() > 0), []).append((patch.get_y(), patch.get_height()))
    for order in (1, 2, 3):
        for side, up in (("positive", True), ("negative", False)):
            sign = 1 if up else -1
            (decay_from, decay), (spindle_from, spindle) = bars[order, up]
            assert decay_from == 0
            assert decay == pytest.approx(sign * entry[f"decay_{side}"][order - 1])
            assert spindle_from == pytest.approx(decay)
            assert spindle == pytest.approx(sign * entry["spindle"][order - 1])
            residual = sign * entry[side][order - 1] - (spindle_from + spindle)
            assert residual == pytest.approx(sign * entry[f"residual_{side}"][order - 1])
    marks = [line for line in ax.lines if line.get_marker() == "_"]
    assert [list(line.get_ydata()) for line in marks] == [entry["positive"], [-a for a in entry["negative"]]]
    assert set(ax.get_legend_handles_labels()[1]) == {"decay", "spindle", "residual", "measured"}
    assert ax.get_title() == "epoch 5"
    assert drawn(figure)


def test_the_residual_joins_the_parts_to_the_measured_strength(record, with_fit):
    entry = with_fit(record(5))
    _, ax = decomposition(entry)

    up, down = (collection.get_segments() for collection in ax.collections)
    for segments, side, sign in ((up, "positive", 1), (down, "negative", -1)):
        for order, segment in enumerate(segments):
            (x, fitted), (_, measured) = segment
            assert x == order + 1
            assert sign * (measured - fitted) == pytest.approx(entry[f"residual_{side}"][order])


def test_decay_and_spindle_have_their_colours(record, with_fit, heights):
    _, ax = decomposition(with_fit(record(5)))

    assert set(heights(ax, DECAY)) == set(heights(ax, SPINDLE)) == {1, 2, 3}


def test_a_given_axis_is_drawn_on(record, with_fit):
    figure = Figure()
    left, right = figure.subplots(1, 2)

    assert decomposition(with_fit(record(5)), left) == (figure, left)
    assert decomposition_over_training([with_fit(record(5))], right) == (figure, right)
    assert len(figure.axes) == 2


def test_a_fit_that_failed_is_drawn(record, drawn):
    nothing = [math.nan] * 3
    keys = ("positive", "negative", "decay_positive", "decay_negative", "spindle")
    figure, ax = decomposition(record(5) | dict.fromkeys(keys, nothing))

    assert [text.get_text() for text in ax.texts] == ["not measured"]
    assert drawn(figure)


def test_totals_over_the_epochs(record, with_fit, drawn):
    history = [with_fit(record(epoch, strength=(epoch + 1.0, 1.0, 0.5))) for epoch in (0, 5)] + [record(10, onset=5)]
    figure, ax = decomposition_over_training(history)

    lines = {line.get_label(): list(line.get_ydata()) for line in ax.lines}
    for at, entry in enumerate(history[:2]):
        assert lines["decay"][at] == pytest.approx(sum(entry["decay_positive"]) + sum(entry["decay_negative"]))
        assert lines["spindle"][at] == pytest.approx(2 * sum(entry["spindle"]))
        left = sum(abs(a) for side in ("positive", "negative") for a in entry[f"residual_{side}"])
        assert lines["residual, absolute"][at] == pytest.approx(left)
    assert all(math.isnan(line[2]) for line in lines.values())
    assert [(span.get_x(), span.get_width()) for span in ax.patches] == [(5, 5)]
    assert drawn(figure)


def test_without_a_fit_the_way_to_one_is_told(record):
    with pytest.raises(ValueError, match=r"`record` holds no fit.*HINT: .*refit"):
        decomposition(record(5))
    with pytest.raises(ValueError, match=r"`history` holds no fit.*HINT: .*refit"):
        decomposition_over_training([record(0), record(5)])
