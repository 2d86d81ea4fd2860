"""The history is plain data that survives a file, a checkpoint and a killed process."""

import json
import math
import os

import pytest
import torch

from lightning_interactions.callback.record import failed, scalars, summarize
from lightning_interactions.history import History
from lightning_interactions.sparsify import sparsify


@pytest.fixture
def history():
    return History(
        [
            {"epoch": 0, "phase": "normal", "mean_order": 2.5, "positive": [1.0, math.nan], "failures": 0},
            {"epoch": 10, "phase": "overfitting", "mean_order": math.nan, "positive": [], "failures": 1},
        ]
    )


def same(one, two):
    if isinstance(one, list):
        return isinstance(two, list) and len(one) == len(two) and all(map(same, one, two))
    return type(one) is type(two) and (one == two or (one != one and two != two))  # noqa: PLR0124


def test_a_file_gives_back_what_was_saved(history, tmp_path):
    history.save(tmp_path / "new" / "history.json")
    loaded = History.load(tmp_path / "new" / "history.json")
    assert loaded.epochs == [0, 10]
    for record, expected in zip(loaded, history, strict=True):
        assert record.keys() == expected.keys()
        assert all(same(record[key], expected[key]) for key in expected)


def test_a_file_is_strict_json(history, tmp_path):
    history.add({"epoch": 20, "mean_order": math.inf})
    history.save(tmp_path / "history.json")
    content = json.loads((tmp_path / "history.json").read_text(), parse_constant=pytest.fail)
    assert content["records"][0]["positive"] == [1.0, None]


def test_records_stand_in_the_order_of_epochs_and_a_second_one_replaces_the_first(history):
    history.add({"epoch": 5, "mean_order": 1.0})
    history.add({"epoch": 10, "mean_order": 4.0})
    assert history.epochs == [0, 5, 10]
    assert len(history) == 3
    assert history.column("mean_order") == [2.5, 1.0, 4.0]
    assert history[10] == {"epoch": 10, "mean_order": 4.0}
    assert 5 in history
    assert 6 not in history
    assert math.isnan(history.column("failures")[1])


def test_a_record_does_not_change_with_the_dictionary_it_came_from():
    record = {"epoch": 1, "mean_order": 1.0}
    history = History([record])
    record["mean_order"] = 9.0
    assert history[1]["mean_order"] == 1.0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"schema": 1, "records": [',
        b"[]",
        b'"text"',
        b"3",
        b'{"records": []}',
        b'{"schema": 1}',
        b'{"schema": 1, "records": 3}',
        b'{"schema": 1, "records": [3]}',
        b'{"schema": 1, "records": [{"mean_order": 1.0}]}',
        b'{"schema": "one", "records": []}',
        b"\xff\xfe\x00",
    ],
)
def test_a_damaged_or_foreign_file(content, tmp_path):
    path = tmp_path / "history.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"history\.json"):
        History.load(path)


def test_a_file_of_a_newer_version(tmp_path):
    path = tmp_path / "history.json"
    path.write_text('{"schema": 2, "records": []}')
    with pytest.raises(ValueError, match=r"history\.json.*schema 2.*up to 1"):
        History.load(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        History.load(tmp_path / "history.json")


def test_a_file_is_written_whole_or_not_at_all(history, tmp_path, monkeypatch):
    path = tmp_path / "history.json"
    history.save(path)
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    history.add({"epoch": 20})
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        history.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_measurement_is_plain_data_that_a_weights_only_load_accepts(tmp_path):
    values = torch.randn(3, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    record = summarize(sparsify(values))
    torch.save(record, tmp_path / "record.pt")
    assert torch.load(tmp_path / "record.pt", weights_only=True) == record
    assert {type(value) for value in record.values()} <= {int, float, list}


def test_a_failed_measurement_has_the_same_keys_with_nan():
    record, bad = summarize(sparsify(torch.zeros(1, 8, dtype=torch.float64))), failed(3)
    record["noise_floor"] = [1e-9] * 3  # the network's, measured once in a run, not these interactions'
    assert record.keys() == bad.keys()
    assert [math.isnan(value) for value in bad["positive"]] == [True] * 3
    rest = {"train_loss": 0.5, "held_out_loss": 1.0, "loss_gap": 0.5, "overfitting": 0, "onset_epoch": math.nan}
    rest |= {"failures": 1, "seconds": 0.1}
    logged = scalars(bad | rest)
    assert math.isnan(logged["interactions/mean_order"])
    assert logged["interactions/n_samples"] == 0
    assert scalars(record | rest).keys() == logged.keys()
    assert all(key.startswith("interactions/mine/") for key in scalars(record | rest, "interactions/mine/"))


def test_nothing_salient_is_nan_where_a_number_would_lie():
    record = summarize(sparsify(torch.zeros(2, 8, dtype=torch.float64)))
    assert record["positive"] == [0.0] * 3
    assert math.isnan(record["normalized_positive"][0])
    assert math.isnan(record["mean_order"])
    assert record["salient_count"] == 0
