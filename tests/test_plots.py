"""What the figures show, read from their artists."""

import io
import math
import warnings
from xml.etree import ElementTree as ET

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from lightning_interactions.plots import (
    NEGATIVE,
    POSITIVE,
    loss_curves,
    strength_by_order,
    strength_over_training,
)

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(autouse=True)
def _no_pyplot_figure():
    """None of the tests may leave a figure in pyplot's hands."""
    plt.close("all")
    yield
    assert plt.get_fignums() == []


@pytest.fixture(autouse=True)
def _no_warning():
    """A user's terminal is not the place for Matplotlib's remarks."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


def record(epoch, onset=math.nan, gap=0.1, strength=(2.0, 1.0, 0.5), mean_order=1.5):
    return {
        "epoch": epoch,
        "train_loss": 1.0 - 0.01 * epoch,
        "held_out_loss": 1.0 - 0.01 * epoch + gap,
        "loss_gap": gap,
        "onset_epoch": onset,
        "mean_order": mean_order,
        "normalized_positive": list(strength),
        "normalized_negative": [0.5 * amount for amount in strength],
    }


HISTORY = [record(epoch) for epoch in (0, 5, 10, 15)]


def heights(ax, color):
    return {
        round(patch.get_x() + patch.get_width() / 2, 6): patch.get_height()
        for patch in ax.patches
        if to_hex(patch.get_facecolor()) == to_hex(color)
    }


def texts(ax):
    return [text.get_text() for text in ax.texts]


def drawn(figure):
    """The figure can be written as a picture of pixels and one of lines."""
    pixels, lines = io.BytesIO(), io.BytesIO()
    figure.savefig(pixels, format="png")
    figure.savefig(lines, format="svg")
    assert pixels.getvalue().startswith(PNG)
    assert ET.fromstring(lines.getvalue()).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314  # our own file
    return True


def test_positive_strength_goes_up_and_negative_down():
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


def test_a_given_axis_is_drawn_on():
    figure = Figure()
    left, right = figure.subplots(1, 2)

    assert strength_by_order(numbers(1.0), numbers(2.0), right) == (figure, right)
    assert heights(right, POSITIVE) == {1: 1.0}
    assert len(left.patches) == 0
    assert loss_curves(HISTORY, left) == (figure, left)
    assert len(left.lines) == 3
    assert len(figure.axes) == 2


def test_an_axis_of_a_subfigure_gives_the_whole_figure():
    figure = Figure()
    ax = figure.subfigures(1, 2)[0].subplots()

    assert strength_by_order(numbers(1.0), numbers(2.0), ax)[0] is figure


@pytest.mark.parametrize("nothing", [0.0, math.nan])
@pytest.mark.parametrize("n", [1, 3])
def test_nothing_salient_is_said(nothing, n):
    figure, ax = strength_by_order(torch.full((n,), nothing), torch.full((n,), nothing))

    assert texts(ax) == ["nothing salient"]
    assert drawn(figure)


def test_a_bar_that_is_not_a_number_leaves_the_others():
    figure, ax = strength_by_order(numbers(math.nan, 2.0), numbers(1.0, math.nan))

    assert (heights(ax, POSITIVE)[2], heights(ax, NEGATIVE)[1]) == (2.0, -1.0)
    assert ax.get_ylim()[1] == pytest.approx(2.2)
    assert drawn(figure)


def test_losses_and_their_gap_are_drawn_over_the_epochs():
    _, ax = loss_curves(HISTORY)
    lines = {line.get_label(): line for line in ax.lines}

    assert set(lines) == {"training loss", "held-out loss", "gap"}
    for label, key in (("training loss", "train_loss"), ("held-out loss", "held_out_loss"), ("gap", "loss_gap")):
        assert list(lines[label].get_xdata()) == [0, 5, 10, 15]
        assert list(lines[label].get_ydata()) == [entry[key] for entry in HISTORY]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss (nats)")
    assert len(ax.patches) == 0


def test_the_overfitting_phase_is_shaded_from_its_onset():
    _, ax = loss_curves([record(0), record(5), record(10, onset=5), record(15, onset=5)])

    (span,) = ax.patches
    assert (span.get_x(), span.get_width()) == (5, 10)
    assert span.get_label() == "overfitting phase"


def test_a_phase_that_ended_is_not_shaded():
    _, ax = loss_curves([record(0), record(5, onset=5), record(10)])

    assert len(ax.patches) == 0


def test_epochs_are_marked():
    _, ax = loss_curves(HISTORY, mark=[0, 10])

    assert [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"] == [0, 10]


@pytest.mark.parametrize("history", [[], [record(0)], [record(0, gap=math.nan), record(5, gap=math.nan)]])
def test_little_or_bad_history_is_drawn(history):
    assert drawn(loss_curves(history)[0])


@pytest.mark.parametrize("epochs", [[0], [0, 10], [0, 5, 10, 15]])
def test_training_is_shown_at_each_epoch_beside_the_losses(epochs):
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


def test_epochs_that_failed_are_drawn_too():
    bad = record(5, gap=math.nan, strength=(math.nan, math.nan), mean_order=math.nan)
    figure, axes = strength_over_training([record(0, strength=(1.0, 1.0)), bad], [0, 5])

    assert texts(axes[1]) == ["nothing salient"]
    assert axes[1].get_title() == "epoch 5\nmean order nan"
    assert drawn(figure)


def test_an_epoch_that_was_not_measured_is_an_error():
    with pytest.raises(KeyError):
        strength_over_training(HISTORY, [0, 7])


def test_pyplot_keeps_its_figure():
    own = plt.figure()
    try:
        strength_by_order(numbers(1.0), numbers(0.0))
        loss_curves(HISTORY)
        strength_over_training(HISTORY, [0, 5])

        assert plt.get_fignums() == [own.number]
        assert plt.gcf() is own
        assert own.axes == []
    finally:
        plt.close(own)


def test_a_figure_goes_to_a_file_by_its_suffix(tmp_path):
    figure, _ = strength_over_training(HISTORY, [0, 15])
    figure.savefig(tmp_path / "picture.png", dpi=60)
    figure.savefig(tmp_path / "picture.svg")

    assert (tmp_path / "picture.png").read_bytes().startswith(PNG)
    assert "<svg" in (tmp_path / "picture.svg").read_text()
