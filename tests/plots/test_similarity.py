"""Similarity curves, read from their lines."""

import math

import torch
from matplotlib.figure import Figure

from lightning_interactions.plots import similarity_by_order


def test_one_curve_has_no_legend(drawn):
    figure, ax = similarity_by_order(torch.tensor([0.5, 0.25, math.nan], dtype=torch.float64))

    (line,) = ax.lines
    assert list(line.get_xdata()) == [1, 2, 3]
    assert list(line.get_ydata())[:2] == [0.5, 0.25]
    assert ax.get_legend() is None
    assert ax.get_ylim() == (0, 1.05)
    assert drawn(figure)


def test_many_curves_can_be_told_apart():
    curves = {f"class {number}": torch.tensor([0.5, 0.1 * number]) for number in range(10)}
    figure = Figure()
    ax = figure.subplots()

    assert similarity_by_order(curves, ax) == (figure, ax)
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in ax.lines}
    assert len(looks) == 10
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(curves)
