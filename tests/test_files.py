"""A file appears whole or not at all."""

import pytest

from lightning_interactions.files import write_whole


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


def test_a_folder_in_the_way_is_an_error_and_leaves_no_litter(tmp_path):
    (tmp_path / "file").mkdir()

    with pytest.raises(OSError, match="file"), write_whole(tmp_path / "file") as file:
        file.write(b"x")

    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_the_unfinished_file_is_hidden_and_beside_the_finished_one(tmp_path):
    with write_whole(tmp_path / "file"):
        names = [entry.name for entry in tmp_path.iterdir()]

    assert len(names) == 1
    assert names[0].startswith(".file.")
