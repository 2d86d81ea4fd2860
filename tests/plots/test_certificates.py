"""Gap, matching error and L1 of each sample, read from their artists."""

import pytest
from matplotlib.figure import Figure

from lightning_interactions.plots import certificates

AND = [[0.0, 1.0, 2.0, 3.0], [0.0, 0.0, -1.0, 0.5]]


def test_every_sample_has_its_three_numbers(make_interactions, drawn):
    found = make_interactions(AND)
    figure, (gap, error, l1) = certificates(found)

    assert list(gap.lines[0].get_ydata()) == [1e-16, 0.01]  # a logarithm has no 0
    assert gap.get_yscale() == "log"
    # All values are 0, so that the error is the largest sum of effects inside a set: 6 of {0, 1} and 1 of {1}.
    assert list(error.lines[0].get_ydata()) == [6.0, 1.0]
    assert list(error.lines[1].get_ydata()) == [0.5, 0.5]
    assert [bar.get_height() for bar in l1.patches] == [6.0, 1.5]
    assert drawn(figure)


def test_given_axes_are_drawn_on(make_interactions):
    figure = Figure()
    axes = list(figure.subplots(1, 3))

    assert certificates(make_interactions(AND), axes) == (figure, axes)
    with pytest.raises(ValueError, match="`axes` must be 3 axes, got 1"):
        certificates(make_interactions(AND), axes[:1])
