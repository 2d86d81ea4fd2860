"""Figures take a run's history as the monitor keeps it, also when it is in the overfitting phase."""

import pytest

from lightning_interactions.history import History
from lightning_interactions.plots import (
    decomposition_over_training,
    loss_curves,
    strength_heat_map,
    strength_over_training,
    time_line,
    time_lines,
)

FIGURES = {
    "decomposition_over_training": decomposition_over_training,
    "loss_curves": loss_curves,
    "strength_heat_map": strength_heat_map,
    "strength_over_training": lambda history: strength_over_training(history, [0, 10]),
    "time_line": lambda history: time_line(history, "mean_order"),
    "time_lines": time_lines,
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_history_is_drawn(name, record, with_fit, drawn):
    history = History([with_fit(record(0)), with_fit(record(5)), with_fit(record(10, onset=5))])

    assert drawn(FIGURES[name](history)[0])
