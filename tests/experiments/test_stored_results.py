"""The results in the repository: they say all that must be known, and the pages are what the scripts write of them."""

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from experiments.questions.page import write_page
from experiments.results import RESULTS, load_results
from experiments.scorecard import scorecard_text

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / RESULTS
STORED = sorted(FOLDER.glob("*_seed*.json"))
SMALL = [path for path in STORED if "_small_" in path.stem]
ALLOWED = 20e6  # bytes in all
MINUTES = 10  # that a training of small size may take


def stored(path):
    return json.loads(path.read_text(), parse_constant=pytest.fail)  # JSON knows no NaN


@pytest.mark.parametrize("path", [*STORED, FOLDER / "questions.json"], ids=lambda path: path.stem)
def test_it_says_how_it_was_made(path):
    content = stored(path)
    for name in ("run", "size", "date", "machine", "commit", "versions"):
        assert content[name], name
    assert isinstance(content["seed"], int)
    assert str(ROOT) not in path.read_text()


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_it_is_of_the_run_that_its_name_says_and_has_its_pictures(path):
    content = stored(path)
    assert path.stem == "{run}_{size}_seed{seed}".format(**content)
    assert content["config"]["size"] == content["size"]
    assert content["config"]["seed_everything"] == content["seed"]
    assert content["config"]["trainer"]["logger"]["init_args"]["name"] == content["run"]
    pictures = {picture.stem.rpartition("_")[2] for picture in FOLDER.glob(f"{path.stem}_figure_*.png")}
    assert pictures == set(content["figures"]) - {"table"}


def test_every_run_of_small_size_is_there_and_nothing_that_is_no_result():
    runs = {path.stem for path in (ROOT / "configs" / "small").glob("*.yaml")}
    assert {stored(path)["run"] for path in STORED if stored(path)["size"] == "small"} == runs
    beside = set(FOLDER.iterdir()) - {*STORED, FOLDER / "questions.json"}
    assert {path for path in beside if not path.stem.startswith(tuple(path.stem for path in STORED))} == set()


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_a_training_of_small_size_took_minutes(path):
    assert 0 < stored(path)["minutes"]["training"] <= MINUTES


def test_they_are_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= ALLOWED


def test_the_scorecard_is_what_is_written_of_them():
    assert (ROOT / "REPRODUCTION.md").read_text() == scorecard_text(load_results(FOLDER))


def test_the_page_of_questions_is_what_is_written_of_them(tmp_path, monkeypatch):
    monkeypatch.setattr(
        Figure, "savefig", lambda _self, file, **_: file.write(b"picture")
    )  # drawing is shown elsewhere
    page = write_page(FOLDER / "questions.json", tmp_path / "questions.md")

    assert (ROOT / "docs" / "questions.md").read_text() == page.read_text()
    drawn = {path.name for path in (tmp_path / "questions").iterdir()}
    assert {path.name for path in (ROOT / "docs" / "questions").iterdir()} == drawn
