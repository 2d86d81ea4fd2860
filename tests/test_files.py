"""A file appears whole or not at all."""

import io
import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest

from lightning_interactions.files import unpack_arrays, with_nan, without_nan, write_json, write_whole


def test_the_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "file"
    with write_whole(path) as file:
        file.write(b"one")
        file.flush()
        assert not path.exists()
        file.write(b" two")

    assert path.read_bytes() == b"one two"


def test_folders_are_made_and_a_string_is_a_path(tmp_path):
    with write_whole(str(tmp_path / "a" / "b" / "file")) as file:
        file.write(b"x")

    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"x"


def test_an_old_file_stays_readable_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with write_whole(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"

    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def write_half(path, error):
    with write_whole(path) as file:
        file.write(b"half")
        raise error


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", [None, b"old"])
def test_an_error_leaves_what_was_there_and_nothing_else(error, old, tmp_path):
    path = tmp_path / "file"
    if old is not None:
        path.write_bytes(old)

    with pytest.raises(error):
        write_half(path, error())

    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == ({} if old is None else {"file": old})


@pytest.mark.parametrize("path", ["folder", ".", "", "folder/.."])
def test_a_folder_in_the_way_is_an_error_and_leaves_no_litter(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()

    with pytest.raises(IsADirectoryError, match=r"got the folder '.* HINT: add the file's name"), write_whole(path):
        pytest.fail("nothing may be written")

    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_the_unfinished_file_is_hidden_and_beside_the_finished_one(tmp_path):
    with write_whole(tmp_path / "file"):
        names = [entry.name for entry in tmp_path.iterdir()]

    assert len(names) == 1
    assert names[0].startswith(".file.")


def test_plain_data_come_back_from_json(tmp_path):
    content = {"name": "größer", "orders": [1, 2], "losses": (0.5, 1.5), "nothing": None, "nested": {"yes": True}}
    for indent in (1, None):
        write_json(tmp_path / "new" / "file.json", content, indent=indent)
        assert json.loads((tmp_path / "new" / "file.json").read_text()) == content | {"losses": [0.5, 1.5]}


def test_what_is_not_finite_becomes_null_at_any_depth(tmp_path):
    content = {"a": [math.nan, 1.0], "b": {"c": (math.inf, -math.inf)}, "d": math.nan}
    write_json(tmp_path / "file.json", content)

    found = json.loads((tmp_path / "file.json").read_text(), parse_constant=pytest.fail)
    assert found == without_nan(content) == {"a": [None, 1.0], "b": {"c": [None, None]}, "d": None}
    assert math.isnan(content["d"])
    assert without_nan(with_nan(found)) == found
    assert math.isnan(with_nan(found)["b"]["c"][0])


def test_what_is_no_plain_data_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.json"
    write_json(path, 1)
    with pytest.raises(TypeError):
        write_json(path, {"path": path})

    assert [file.read_text() for file in tmp_path.iterdir()] == ["1"]


@pytest.fixture
def of_a_process_that_is_no_more():
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(os.name != "posix", reason="elsewhere nobody asks whether a process runs")
def test_what_a_killed_process_left_is_removed(tmp_path, of_a_process_that_is_no_more):
    """Of the same file alone, and not what a process that runs is writing."""
    gone, other = (tmp_path / f".{name}.{of_a_process_that_is_no_more}.tmp" for name in ("a[1].json", "b.json"))
    running, foreign = tmp_path / f".a[1].json.{os.getppid()}.tmp", tmp_path / ".a[1].json.notes.tmp"
    for path in (gone, other, running, foreign):
        path.write_bytes(b"half")
    with write_whole(tmp_path / "a[1].json") as file:
        file.write(b"whole")

    assert not gone.exists()
    assert other.exists()
    assert running.exists()
    assert foreign.exists()


@pytest.mark.parametrize("array", [np.arange(6.0).reshape(2, 3), np.array("text"), np.zeros((0, 4)), np.array(1)])
def test_arrays_are_unpacked_as_they_were_packed(array):
    content = io.BytesIO()
    np.savez_compressed(content, one=array, other=array)
    unpacked = unpack_arrays(content.getvalue())

    assert set(unpacked) == {"one", "other"}
    for found in unpacked.values():
        assert found.dtype == array.dtype
        assert found.shape == array.shape
        assert (found == array).all()
