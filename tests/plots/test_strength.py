"""Bars of the strength of each order, read from their artists."""

import math

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.figure import Figure

from lightning_interactions.plots import NEGATIVE, POSITIVE, loss_curves, strength_by_order, strength_over_training


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_positive_strength_goes_up_and_negative_down(heights, texts, drawn):
    figure, ax = strength_by_order(numbers(2.0, 0.0, 0.25), numbers(1.0, 3.0, 0.0))

    assert heights(ax, POSITIVE) == {1: 2.0, 2: 0.0, 3: 0.25}
    assert heights(ax, NEGATIVE) == {1: -1.0, 2: -3.0, 3: 0.0}
    assert ax.get_figure() is figure
    low, high = ax.get_ylim()
    assert low == -high
    assert high > 3.0
    assert texts(ax) == []
    assert drawn(figure)


def test_the_axis_is_labelled_in_orders_and_amounts():
    _, ax = strength_by_order(numbers(2.0, 1.0), numbers(1.0, 2.0), title="epoch 10")

    assert ax.get_xlabel() == "order m"
    assert ax.get_title() == "epoch 10"
    assert ax.get_legend_handles_labels()[1] == ["positive effects", "negative effects"]
    assert ax.yaxis.get_major_formatter()(-1.5, 0) == "1.5"  # the lower half counts downwards
    assert all(float(tick).is_integer() for tick in ax.get_xticks())


def test_without_a_title_there_is_none():
    assert strength_by_order(numbers(1.0), numbers(0.0))[1].get_title() == ""


def test_a_given_axis_is_drawn_on(history, heights):
    figure = Figure()
    left, right = figure.subplots(1, 2)

    assert strength_by_order(numbers(1.0), numbers(2.0), right) == (figure, right)
    assert heights(right, POSITIVE) == {1: 1.0}
    assert len(left.patches) == 0
    assert loss_curves(history, left) == (figure, left)
    assert len(left.lines) == 3
    assert len(figure.axes) == 2


def test_an_axis_of_a_subfigure_gives_the_whole_figure():
    figure = Figure()
    ax = figure.subfigures(1, 2)[0].subplots()

    assert strength_by_order(numbers(1.0), numbers(2.0), ax)[0] is figure


@pytest.mark.parametrize(("nothing", "text"), [(0.0, "0 in every order"), (math.nan, "not measured")])
@pytest.mark.parametrize("n", [1, 3])
def test_where_nothing_can_be_drawn_it_is_said_why(nothing, text, n, texts, drawn):
    figure, ax = strength_by_order(torch.full((n,), nothing), torch.full((n,), nothing))

    assert texts(ax) == [text]
    assert drawn(figure)


def test_a_bar_that_is_not_a_number_leaves_the_others(heights, drawn):
    figure, ax = strength_by_order(numbers(math.nan, 2.0), numbers(1.0, math.nan))

    assert (heights(ax, POSITIVE)[2], heights(ax, NEGATIVE)[1]) == (2.0, -1.0)
    assert ax.get_ylim()[1] == pytest.approx(2.2)
    assert drawn(figure)


@pytest.mark.parametrize("epochs", [[0], [0, 10], [0, 5, 10, 15]])
def test_training_is_shown_at_each_epoch_beside_the_losses(epochs, record, heights, drawn):
    history = [record(epoch, strength=(1.0, epoch + 1.0)) for epoch in (0, 5, 10, 15)]
    figure, axes = strength_over_training(history, epochs)

    assert list(figure.axes) == list(axes)
    assert len(axes) == len(epochs) + 1
    for ax, epoch in zip(axes, epochs, strict=False):
        assert heights(ax, POSITIVE) == {1: 1.0, 2: epoch + 1.0}
        assert heights(ax, NEGATIVE) == {1: -0.5, 2: -0.5 * (epoch + 1.0)}
        assert ax.get_title() == f"epoch {epoch}\nmean order 1.50"
    assert {"training loss", "held-out loss", "gap"} <= {line.get_label() for line in axes[-1].lines}
    assert [line.get_xdata()[0] for line in axes[-1].lines if line.get_linestyle() == ":"] == epochs
    assert drawn(figure)


def test_epochs_that_failed_are_drawn_too(record, texts, drawn):
    bad = record(5, gap=math.nan, strength=(math.nan, math.nan), mean_order=math.nan)
    figure, axes = strength_over_training([record(0, strength=(1.0, 1.0)), bad], [0, 5])

    assert texts(axes[1]) == ["not measured"]
    assert axes[1].get_title() == "epoch 5\nmean order nan"
    assert drawn(figure)


def test_an_epoch_that_was_not_measured_is_an_error(history):
    with pytest.raises(ValueError, match=r"`epochs` must be measured ones, of \[0, 5, 10, 15\], got \[7\]"):
        strength_over_training(history, [0, 7])


def test_pyplot_keeps_its_figure(history):
    own = plt.figure()
    try:
        strength_by_order(numbers(1.0), numbers(0.0))
        loss_curves(history)
        strength_over_training(history, [0, 5])

        assert plt.get_fignums() == [own.number]
        assert plt.gcf() is own
        assert own.axes == []
    finally:
        plt.close(own)


def test_a_figure_goes_to_a_file_by_its_suffix(history, tmp_path):
    figure, _ = strength_over_training(history, [0, 15])
    figure.savefig(tmp_path / "picture.png", dpi=60)
    figure.savefig(tmp_path / "picture.svg")

    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert "<svg" in (tmp_path / "picture.svg").read_text()
