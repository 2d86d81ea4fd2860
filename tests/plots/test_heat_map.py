"""Shares of the orders as colour, read from the mesh."""

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from lightning_interactions.plots import strength_heat_map

HISTORY = [
    {"epoch": 0, "positive": [1.0, 3.0], "negative": [1.0, 3.0]},
    {"epoch": 10, "positive": [6.0, 0.0], "negative": [0.0, 2.0]},
    {"epoch": 40, "positive": [math.nan, math.nan], "negative": [math.nan, math.nan]},
]


@pytest.mark.parametrize(
    ("sign", "expected"),
    [
        ("both", [[0.25, 0.75], [0.75, 0.25]]),
        ("positive", [[0.25, 0.75], [1, 0]]),
        ("negative", [[0.25, 0.75], [0, 1]]),
    ],
)
def test_each_epoch_has_the_shares_of_its_orders(sign, expected, drawn):
    figure, ax = strength_heat_map(HISTORY, sign=sign)

    shares = np.ma.filled(ax.collections[0].get_array(), np.nan)
    assert shares.shape == (2, 3)
    assert shares[:, :2].T.tolist() == expected
    assert np.isnan(shares[:, 2]).all()
    assert drawn(figure)


def test_a_measured_epoch_reaches_half_way_to_its_neighbours():
    _, ax = strength_heat_map(HISTORY)

    corners = ax.collections[0].get_coordinates()
    assert corners[0, :, 0].tolist() == [-5, 5, 25, 55]
    assert corners[:, 0, 1].tolist() == [0.5, 1.5, 2.5]


def test_one_epoch(drawn):
    figure, ax = strength_heat_map(HISTORY[:1])

    assert ax.collections[0].get_coordinates()[0, :, 0].tolist() == [-0.5, 0.5]
    assert drawn(figure)


def test_a_given_axis_and_no_colour_bar():
    figure = Figure()
    ax = figure.subplots()

    assert strength_heat_map(HISTORY, ax, colour_bar=False) == (figure, ax)
    assert figure.axes == [ax]


def test_nothing_to_draw_is_an_error():
    with pytest.raises(ValueError, match=r"at least one record, got none\. HINT"):
        strength_heat_map([])
    with pytest.raises(ValueError, match=r"`sign` must be one of 'both', 'positive', 'negative', got 'up'"):
        strength_heat_map(HISTORY, sign="up")
