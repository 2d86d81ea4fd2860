"""The page as a text: everything is in it, nothing escapes from it, and no script but its own can run."""

import base64
import hashlib
import json
import math
import re
from html.parser import HTMLParser

import pytest

from lightning_interactions.history import History
from lightning_interactions.report import read_runs, write_report
from lightning_interactions.report.page import render


class Reader(HTMLParser):
    """Elements with their attributes, and the text inside scripts and outside."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.scripts, self.text, self._open = [], [], "", None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._open = tag
        if tag == "script":
            self.scripts.append((dict(attributes), ""))

    def handle_endtag(self, _tag):
        self._open = None

    def handle_data(self, data):
        if self._open == "script":
            attributes, content = self.scripts[-1]
            self.scripts[-1] = (attributes, content + data)
        elif self._open != "style":
            self.text += data

    def data(self):
        (content,) = [content for attributes, content in self.scripts if attributes.get("id") == "data"]
        return json.loads(content)


@pytest.fixture
def runs(write_run, tmp_path):
    return read_runs(write_run(tmp_path / "<b>logs" / "version_0"))


def test_all_records_are_in_the_page(runs):
    data = Reader(render(runs)).data()

    (listed,) = data["runs"]
    assert (listed["run"], listed["prefix"], listed["epochs"]) == (runs[0].name, "interactions/", 4)
    (content,) = data["contents"]
    assert content["data"]["unreadable"] == 0
    assert list(content["effects"]) == ["0", "5", "10", "15"]
    for record, shown in zip(runs[0].history, content["data"]["records"], strict=True):
        strongest = content["effects"][str(record["epoch"])]["strongest"]
        assert not {key for key in record if not key.startswith("residual")} - set(shown)
        assert shown["positive"] == pytest.approx(record["positive"], rel=1e-4)
        assert shown["onset_epoch"] == (None if math.isnan(record["onset_epoch"]) else record["onset_epoch"])
        expected = runs[0].strongest[record["epoch"]]
        assert [one["sample"] for one in strongest] == [one["sample"] for one in expected]
        for one, other in zip(strongest, expected, strict=True):
            assert [e["variables"] for e in one["effects"]] == [e["variables"] for e in other["effects"]]
            effects = [e["effect"] for e in other["effects"]]
            assert [e["effect"] for e in one["effects"]] == pytest.approx(effects, rel=1e-4)


def test_names_and_words_stay_texts(runs, hostile):
    """The names are `</script><img …>` and the like; whatever is not escaped would show as an element."""
    page = render(runs, title=hostile)
    reader = Reader(page)

    assert "img" not in {tag for tag, _ in reader.elements}
    assert [tag for tag, _ in reader.elements].count("b") == 1  # our own, around the run's name
    assert len(reader.scripts) == 2
    assert "<!--" not in page.split("<script", 1)[1]
    assert not any(key.startswith("on") for _, attributes in reader.elements for key in attributes)
    assert reader.data()["contents"][0]["data"]["samples"][0]["names"][1] == f"{hostile} 1"
    assert hostile in reader.text
    assert f"Words {hostile}" in reader.text  # the provenance


def test_only_the_pages_own_script_may_run(runs):
    page = render(runs)
    reader = Reader(page)

    (policy,) = [a["content"] for tag, a in reader.elements if a.get("http-equiv") == "Content-Security-Policy"]
    (script,) = [content for attributes, content in reader.scripts if attributes.get("type") == "module"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == f"'sha256-{digest}'"
    assert rules["img-src"] == "data:"


def test_nothing_is_loaded(runs):
    page = render(runs)
    reader = Reader(page)

    addresses = [
        value for _, attributes in reader.elements for key, value in attributes.items() if key in {"src", "href"}
    ]
    assert all(address.startswith("#") for address in addresses)
    assert not re.search(r"@import|url\((?!#)", page.split("<script", 1)[0])


def test_where_the_run_stands_is_one_sentence(runs, hostile):
    text = Reader(render(runs)).text

    assert (
        f"after 15 epochs; overfitting since epoch 10 {hostile}; interactions of 1.6 of 4 variables on average;"
        " spindle share 0.40 (0.35 … 0.45)."
    ) in text


def test_a_failed_last_measurement_is_told(write_run, tmp_path):
    folder = write_run(tmp_path / "run")
    path = folder / "interactions" / "history.json"
    history = History.load(path)
    history.add(history[15] | {"epoch": 20, "mean_order": math.nan, "spindle_share": math.nan, "identified": math.nan})
    history.save(path)

    assert re.search(r"after 20 epochs; overfitting since epoch 10 [^;]*\.", Reader(render(read_runs(folder))).text)


def test_provenance_and_notes_are_told(runs, hostile):
    runs[0].notes.append(f"a file is damaged {hostile}")
    text = Reader(render(runs)).text

    assert "How it was measured" in text
    assert "solverinterior_point" in text
    assert "variables: n_variables4" in text
    assert "skipped" not in text  # empty
    assert f"a file is damaged {hostile}" in text


def test_certificates_are_drawn(runs):
    reader = Reader(render(runs))

    assert "matching error" in reader.text
    assert "proven gap" in reader.text


def test_two_runs_of_one_name_are_told_apart(write_run, tmp_path):
    both = [run for place in "ab" for run in read_runs(write_run(tmp_path / place / "logs" / "version_0", word="word"))]
    data = Reader(render(both, beside=both[1])).data()

    assert [run["run"] for run in data["runs"]] == ["logs/version_0", "logs/version_0 (2)"]
    assert data["beside"] == 1
    assert data["runs"][0]["changed"] > data["runs"][1]["changed"]  # the tab starts with the latest


def test_a_run_without_interactions_has_a_page(write_run, tmp_path):
    reader = Reader(render(read_runs(write_run(tmp_path / "run", fitted=False, files=False))))

    assert reader.data()["contents"][0]["effects"] == {}
    assert "proven gap" not in reader.text


def test_a_page_is_written_whole(runs, tmp_path):
    path = write_report(runs, tmp_path / "new" / "page.html", title="My <run>")

    assert Reader(path.read_text()).text.count("My <run>") == 2
    with pytest.raises(ValueError, match="`runs` must hold at least one run, got none"):
        write_report([], path)
