"""The folder of a run: each name is made in one place, and what is not a run's is passed over."""

import pytest

from lightning_interactions.run_files import (
    history_file,
    interactions_file,
    measured_epochs,
    monitor_folder,
    monitor_folders,
    picture_file,
    run_folder,
    samples_file,
)


@pytest.fixture
def write_history():
    def write(folder):
        folder.mkdir(parents=True)
        history_file(folder).touch()
        return folder

    return write


def test_every_name(tmp_path):
    folder = monitor_folder(tmp_path)
    assert folder == tmp_path / "interactions"
    assert monitor_folder(tmp_path, "late") == folder / "late"
    assert history_file(folder) == folder / "history.json"
    assert samples_file(folder) == folder / "samples.json"
    assert interactions_file(folder, 7) == folder / "epoch=0007.npz"
    assert picture_file(folder, 12345, "strength") == folder / "epoch=12345_strength.png"


def test_measured_epochs_are_numbers_in_their_order(tmp_path):
    for name in ("epoch=0010.npz", "epoch=0002.npz", "epoch=12345.npz", "epoch=0003.png", "epoch=last.npz", "a.npz"):
        (tmp_path / name).touch()
    assert measured_epochs(tmp_path) == [2, 10, 12345]
    assert measured_epochs(tmp_path / "missing") == []


def test_a_run_is_found_from_its_log_directory_or_its_folder(tmp_path, write_history):
    folder = write_history(monitor_folder(tmp_path))
    assert run_folder(folder) == run_folder(tmp_path) == run_folder(str(tmp_path)) == folder


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`run`: neither .* holds a 'history.json'.*HINT"):
        run_folder(tmp_path)


def test_all_monitors_of_a_run(tmp_path, write_history):
    plain, early, late = (write_history(monitor_folder(tmp_path, name)) for name in ("", "early", "late"))
    monitor_folder(tmp_path, "without a history").mkdir()
    found = [(plain, tmp_path, ""), (early, tmp_path, "early"), (late, tmp_path, "late")]
    assert list(monitor_folders(tmp_path)) == found
    assert list(monitor_folders(plain)) == found
    assert list(monitor_folders(late)) == found[2:]
    assert list(monitor_folders(tmp_path / "missing")) == []


def test_a_copied_folder_is_its_own_run(tmp_path, write_history):
    folder = write_history(tmp_path / "copy")
    assert list(monitor_folders(folder)) == [(folder, folder, "")]
