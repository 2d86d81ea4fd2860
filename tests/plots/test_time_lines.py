"""Single numbers over the epochs, read from their lines."""

import math

import pytest
from matplotlib.figure import Figure

from lightning_interactions.plots import time_line, time_lines


def test_a_number_with_its_interval(record, with_fit, drawn):
    history = [with_fit(record(0)), record(5), with_fit(record(10, onset=5), share=0.5, low=0.45, high=0.6)]
    figure, ax = time_line(history, "spindle_share")

    (line,) = ax.lines
    assert list(line.get_xdata()) == [0, 5, 10]
    assert [line.get_ydata()[0], line.get_ydata()[2]] == [0.2, 0.5]
    assert math.isnan(line.get_ydata()[1])
    (band,) = ax.collections
    corners = {tuple(corner) for path in band.get_paths() for corner in path.vertices.tolist()}
    assert {(0.0, 0.1), (0.0, 0.4), (10.0, 0.45), (10.0, 0.6)} <= corners
    assert [(span.get_x(), span.get_width()) for span in ax.patches] == [(5, 5)]
    assert ax.get_ylabel() == "spindle_share"
    assert drawn(figure)


def test_a_number_without_interval_has_no_band(history):
    _, ax = time_line(history, "mean_order", label="mean order")

    assert len(ax.collections) == 0
    assert ax.get_ylabel() == "mean order"


def test_what_no_record_has_is_said(history, texts, drawn):
    figure, ax = time_line(history, "spindle_share")

    assert texts(ax) == ["not available"]
    assert drawn(figure)


def test_three_lines_above_each_other(record, with_fit, drawn):
    message = "overfitting since epoch 5: $gap$"
    history = [with_fit(record(0)), with_fit(record(5)) | {"phase_message": message}]
    figure, axes = time_lines(history)

    assert figure.axes == axes
    assert [list(ax.lines[0].get_ydata()) for ax in axes] == [[1.5, 1.5], [0.2, 0.2], [0.1, 0.1]]
    assert [ax.get_xlabel() for ax in axes] == ["", "", "epoch"]
    assert axes[0].get_title() == message
    assert drawn(figure)


def test_given_axes_are_drawn_on(history):
    figure = Figure()
    axes = list(figure.subplots(3, 1))

    assert time_lines(history, axes) == (figure, axes)
    with pytest.raises(ValueError, match="`axes` must be 3 axes, got 2"):
        time_lines(history, axes[:2])


def test_no_history_is_drawn(drawn):
    assert drawn(time_lines([])[0])
