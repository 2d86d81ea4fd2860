"""The command that writes a page about two runs."""

import json
import re

from lightning_interactions.cli.main import main


def test_both_runs_are_in_the_page(write_run, tmp_path, capsys):
    first, second = write_run(tmp_path / "a" / "version_0"), write_run(tmp_path / "b" / "version_0")
    page = tmp_path / "page.html"

    assert main(["compare", str(first), str(second), "-o", str(page)]) == 0
    assert capsys.readouterr().out == f"Comparison: {page}\n"
    data = json.loads(re.search(r'id="data">(.*?)</script>', page.read_text())[1])
    assert [run["run"] for run in data["runs"]] == ["a/version_0", "b/version_0"]
    assert data["beside"] == 1
    assert "<title>Interactions of a/version_0 and b/version_0</title>" in page.read_text()


def test_a_missing_run_is_told(write_run, tmp_path, capsys):
    run = write_run(tmp_path / "a")

    assert main(["compare", str(run), str(tmp_path / "none")]) == 1
    assert "none" in capsys.readouterr().err
