"""What a run prints and draws at its end."""

import io
import math

import pytest
from rich.console import Console

from experiments.summary import bar_row, print_summary, time_points
from lightning_interactions.history import History


@pytest.mark.parametrize(
    ("amounts", "bars"),
    [
        ([0.0, 1.0, 2.0, 4.0], " ▂▄█"),
        ([8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0], "█▇▆▅▄▃▂▁ "),
        ([1e-9, 1.0], "▁█"),  # something is never shown as nothing
        ([1e-30, 2e-30], "▄█"),
        ([3.0], "█"),
        ([0.0, 0.0], "––"),
        ([math.nan, math.nan], "––"),
        ([math.nan, 1.0], "–█"),
        ([], ""),
    ],
)
def test_a_row_of_bars(amounts, bars):
    assert bar_row(amounts) == bars


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
def test_bars_are_relative(factor):
    assert bar_row([factor * amount for amount in (1.0, 2.0, 3.0, 8.0)]) == "▁▂▃█"


@pytest.mark.parametrize(
    ("losses", "onset", "expected"),
    [
        # The normal phase ends at the smallest held-out loss before the onset: 0, its middle, its end, the last epoch.
        ({0: 2.3, 5: 1.9, 10: 1.0, 15: 0.8, 20: 0.9, 25: 1.2}, 25, [0, 5, 15, 25]),
        ({0: 2.3, 5: 1.9, 10: 1.0, 15: 0.8, 20: 0.9, 25: 1.2}, 10, [0, 5, 25]),
        # Without an onset it ends where the held-out loss is smallest.
        ({0: 2.3, 5: 1.9, 10: 1.0, 15: 0.9, 20: 0.8, 25: 1.2}, None, [0, 10, 20, 25]),
        ({0: 2.3, 5: 1.9, 10: 1.0, 15: 0.8}, None, [0, 5, 15]),
        ({0: 2.3, 4: math.nan, 8: 0.5, 12: math.nan}, None, [0, 4, 8, 12]),
        ({0: math.nan, 4: math.nan}, None, [0, 4]),
        ({0: 2.3, 1: 2.0, 2: 2.5}, 1, [0, 1, 2]),  # no trained network before the onset
        ({0: 2.3}, None, [0]),
        ({0: 2.3}, 0, [0]),  # no measurement before the onset
        ({10: 1.0, 20: 1.2}, 10, [10, 20]),
    ],
)
def test_time_points_tell_the_story(losses, onset, expected, make_record):
    last = max(losses)
    history = History(
        make_record(epoch, loss, onset if onset is not None and epoch == last else math.nan)
        for epoch, loss in losses.items()
    )

    assert time_points(history) == expected


def test_an_onset_that_was_taken_back_does_not_count(make_record):
    history = History([make_record(0, 2.0), make_record(5, 1.0), make_record(10, 1.5, onset=5), make_record(15, 0.5)])

    assert time_points(history) == [0, 5, 15]


@pytest.fixture
def run(tmp_path, make_record):
    """The history and folder of a short run."""
    folder = (
        tmp_path / "runs" / "a rather long name for a folder so that lines would break" / "version_0" / "interactions"
    )
    folder.mkdir(parents=True)
    bad = {key: [math.nan] * 3 for key in ("positive", "negative", "normalized_positive", "normalized_negative")}
    history = History(
        [
            make_record(0, 2.25),
            make_record(5, 1.0, train_loss=math.nan, loss_gap=math.nan, mean_order=math.nan, **bad),
            make_record(10, 1.5, onset=10, mean_order=2.5),
        ]
    )
    return history, folder


def printed(run, width=100):
    console = Console(record=True, width=width, file=io.StringIO())
    print_summary(*run, "overfitting since epoch 10: because", console)
    return console.export_text()


def test_the_table_has_a_row_for_each_measurement(run):
    lines = printed(run).splitlines()
    header = next(line for line in lines if "epoch" in line)
    rows = [[cell.strip() for cell in line.strip("│ ").split("│")] for line in lines if line.startswith("│")]

    names = [cell.strip() for cell in header.strip("┃ ").split("┃")]
    assert names == ["epoch", "train", "held-out", "gap", "phase", "mean order", "orders 1…3"]
    assert rows[0] == ["0", "0.500", "2.250", "+1.750", "normal", "1.75", "█▂▁"]
    assert rows[1] == ["5", "nan", "1.000", "+nan", "normal", "nan", "–––"]
    assert rows[2] == ["10", "0.500", "1.500", "+1.000", "overfitting", "2.50", "█▂▁"]
    assert len(rows) == 3


@pytest.mark.parametrize("width", [60, 100])
def test_phase_and_paths_are_said_in_one_piece(run, width):
    lines = printed(run, width).splitlines()
    _, folder = run

    assert "Phase: overfitting since epoch 10: because" in lines
    assert f"Run:         {folder.parent}" in lines
    assert f"Picture:     {folder / 'strength_over_training.png'}" in lines
    assert f"TensorBoard: tensorboard --logdir {folder.parent.parent}" in lines


def test_the_picture_is_drawn(run):
    printed(run)
    _, folder = run

    assert (folder / "strength_over_training.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert [file.name for file in folder.iterdir()] == ["strength_over_training.png"]
