"""The command that writes a page about a run."""

from lightning_interactions.cli.main import main


def test_a_page_is_written_and_its_place_told(write_run, tmp_path, capsys):
    run, page = write_run(tmp_path / "logs" / "version_0"), tmp_path / "new" / "page.html"

    assert main(["report", str(run), "-o", str(page), "--title", "Mine & yours"]) == 0
    assert capsys.readouterr().out == f"Report: {page}\n"
    text = page.read_text()
    assert "<title>Mine &amp; yours</title>" in text
    assert "logs/version_0" in text


def test_without_a_name_the_page_is_report_html(write_run, tmp_path, monkeypatch):
    run = write_run(tmp_path / "version_0")
    monkeypatch.chdir(tmp_path)

    assert main(["report", str(run / "interactions")]) == 0
    assert (tmp_path / "report.html").exists()


def test_what_is_no_run_is_told(tmp_path, capsys):
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "page.html")]) == 1
    assert "HINT" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()
