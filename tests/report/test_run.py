"""What is read from a run's folder, and what is said when something is missing there."""

import json
import math

import pytest

from lightning_interactions.history import History
from lightning_interactions.refit import refit
from lightning_interactions.report import read_runs


def test_a_run_is_found_by_either_folder(write_run, tmp_path):
    write_run(tmp_path / "logs" / "version_0")

    for path in ("logs/version_0", "logs/version_0/interactions"):
        (run,) = read_runs(tmp_path / path)
        assert (run.name, run.monitor, run.notes) == ("logs/version_0", "", [])
        assert run.history.epochs == [0, 5, 10, 15]


def test_every_monitor_is_read(write_run, tmp_path):
    for monitor in ("", "early", "late"):
        write_run(tmp_path / "logs" / "version_0", monitor=monitor)

    assert [run.monitor for run in read_runs(tmp_path / "logs" / "version_0")] == ["", "early", "late"]
    (late,) = read_runs(tmp_path / "logs" / "version_0" / "interactions" / "late")
    assert (late.name, late.monitor) == ("logs/version_0", "late")


def test_the_strongest_effects_of_each_epoch(write_run, interactions_of, tmp_path):
    (run,) = read_runs(write_run(tmp_path / "run"))

    assert list(run.strongest) == [0, 5, 10, 15]
    for epoch, samples in run.strongest.items():
        found = interactions_of(epoch)
        assert [one["sample"] for one in samples] == [0, 2, 4]
        for row, one in enumerate(samples):
            effects = [
                (
                    abs(part[row, subset].item()),
                    kind,
                    [i for i in range(4) if subset >> i & 1],
                    part[row, subset].item(),
                )
                for kind, part in (("AND", found.and_), ("OR", found.or_))
                for subset in range(16)
                if part[row, subset]
            ]
            effects.sort(reverse=True)
            shown = [(e["kind"], e["variables"], e["effect"]) for e in one["effects"]]
            assert shown == [entry[1:] for entry in effects[:6]]
    assert run.last.provenance == interactions_of(15).provenance


def test_a_measurement_that_failed_has_no_effects(write_run, tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "interactions" / "epoch=0005.npz").unlink()

    (run,) = read_runs(folder)
    assert list(run.strongest) == [0, 10, 15]
    assert run.notes == []


def test_a_damaged_file_is_noted_without_its_place(write_run, tmp_path):
    folder = write_run(tmp_path / "run", fitted=False)
    (folder / "interactions" / "epoch=0005.npz").write_bytes(b"PK nothing")

    (run,) = read_runs(folder)
    assert list(run.strongest) == [0, 10, 15]
    (note,) = run.notes
    assert "epoch=0005.npz" in note
    assert str(tmp_path) not in note


def test_a_run_without_a_fit_gets_one(write_run, tmp_path):
    folder = write_run(tmp_path / "run", fitted=False)

    (run,) = read_runs(folder)
    shares = run.history.column("spindle_share")
    assert shares == refit(folder).column("spindle_share")
    assert all(math.isfinite(share) for share in shares)


def test_the_monitors_own_fit_is_kept(write_run, tmp_path):
    (run,) = read_runs(write_run(tmp_path / "run"))

    assert run.history.column("spindle_share") == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_without_interactions_the_history_is_shown(write_run, tmp_path):
    (run,) = read_runs(write_run(tmp_path / "run", fitted=False, files=False))

    assert run.history.epochs == [0, 5, 10, 15]
    assert run.strongest == {}
    assert run.last is None
    assert run.samples == []


def test_samples_are_described_as_the_monitor_wrote_them(write_run, tmp_path):
    folder = write_run(tmp_path / "run")
    picture = {"png": "iVBORw0KGgo=", "width": 1, "height": 1}
    document = {"samples": [{"sample": 2, "names": ["a"], "image": picture, "cells": [[0, 0, 1, 1]]}]}
    (folder / "interactions" / "samples.json").write_text(json.dumps(document))

    (run,) = read_runs(folder)
    assert run.samples == [{"title": "sample 2", "words": [], **document["samples"][0]}]


@pytest.mark.parametrize("content", ["{", "[]", '{"samples": 3}', '{"samples": [{"names": []}]}', '{"samples": [7]}'])
def test_damaged_descriptions_are_noted_and_names_remain(content, write_run, hostile, tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "interactions" / "samples.json").write_text(content)

    (run,) = read_runs(folder)
    (note,) = run.notes
    assert note.startswith("'samples.json' cannot be read")
    assert run.samples[1]["names"] == [f"{hostile} {i}" for i in range(4)]


@pytest.mark.parametrize("path", ["missing", "empty", "empty/interactions"])
def test_what_is_no_run_is_refused(path, tmp_path):
    (tmp_path / "empty" / "interactions").mkdir(parents=True)

    with pytest.raises(FileNotFoundError, match=r"`path` must be a folder with .*history\.json.*HINT"):
        read_runs(tmp_path / path)


def test_a_run_without_measurements_is_refused(tmp_path):
    History().save(tmp_path / "interactions" / "history.json")

    with pytest.raises(ValueError, match="holds no measurement yet"):
        read_runs(tmp_path)
