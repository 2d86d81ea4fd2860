"""Two processes do not work in one folder, and a dead one keeps nobody out."""

import os

import pytest

from experiments.in_use import FolderInUseError, FolderLock


def test_the_process_that_works_in_a_folder_is_named(tmp_path, in_use):
    process = in_use(tmp_path / "run")

    with pytest.raises(FolderInUseError, match=rf"'.*run' must be used .* got it in use by process {process.pid}\."):
        FolderLock(tmp_path / "run").hold()
    FolderLock(tmp_path / "other").hold()


def test_a_killed_process_keeps_nobody_out(tmp_path, in_use):
    process = in_use(tmp_path)
    process.kill()
    process.wait()

    with FolderLock(tmp_path):
        assert (tmp_path / ".in_use").read_text() == str(os.getpid())


def test_a_folder_that_was_released_is_free(tmp_path, in_use):
    with FolderLock(tmp_path):
        pass
    process = in_use(tmp_path)

    assert process.poll() is None


def test_a_file_system_without_locks_lets_everybody_in(tmp_path, in_use, monkeypatch):
    in_use(tmp_path)
    monkeypatch.setattr("experiments.in_use.fcntl", None)

    FolderLock(tmp_path).hold()
