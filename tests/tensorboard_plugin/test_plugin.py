import shutil
import subprocess
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace

import pytest
from tensorboard.backend import application
from werkzeug.test import Client

from lightning_interactions.tensorboard_plugin.plugin import InteractionsPlugin

ROOT = "/data/plugin/interactions"
REPOSITORY = Path(__file__).parents[2]


def client_of(provider):
    """TensorBoard's whole application with this plugin."""
    plugin = InteractionsPlugin(SimpleNamespace(data_provider=provider))
    return Client(application.TensorBoardWSGI([plugin], data_provider=provider))


@pytest.fixture
def client(tmp_path, write_run, read_folder):
    write_run(tmp_path / "a")
    write_run(tmp_path / "<b>bold</b> & 'x'")
    return client_of(read_folder(tmp_path))


def test_the_runs_are_listed(client):
    answer = client.get(f"{ROOT}/runs")

    assert answer.status_code == 200
    assert answer.content_type == "application/json"
    assert [run["run"] for run in answer.json["runs"]] == ["<b>bold</b> & 'x'", "a"]


@pytest.mark.parametrize("run", ["a", "<b>bold</b> & 'x'"])
def test_the_data_of_a_run_are_served(client, run):
    answer = client.get(f"{ROOT}/data", query_string={"run": run, "prefix": "interactions/"})

    assert answer.status_code == 200
    assert [record["epoch"] for record in answer.json["records"]] == [0, 5, 10, 15]


def test_the_effects_of_an_epoch_are_served(client):
    answer = client.get(f"{ROOT}/effects?run=a&epoch=5")

    assert answer.status_code == 200
    assert [sample["sample"] for sample in answer.json["strongest"]] == [0, 1, 2]


def test_the_prefix_may_be_left_out(client):
    assert client.get(f"{ROOT}/data?run=a").status_code == 200


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ("/data", 400),
        ("/data?prefix=interactions/", 400),
        ("/data?run=", 404),
        ("/data?run=missing", 404),
        ("/data?run=../a", 404),
        ("/data?run=/etc/passwd", 404),
        ("/data?run=a&prefix=other/", 404),
        ("/data?run=a&prefix=", 404),
        ("/data?run=a%00", 404),
        ("/data?run=%ff%fe", 404),
        ("/effects", 400),
        ("/effects?run=a", 400),
        ("/effects?epoch=5", 400),
        ("/effects?run=a&epoch=", 400),
        ("/effects?run=a&epoch=-1", 400),
        ("/effects?run=a&epoch=1e9", 400),
        ("/effects?run=a&epoch=../5", 400),
        ("/effects?run=a&epoch=99999999999", 400),
        ("/effects?run=a&epoch=6", 404),
        ("/effects?run=missing&epoch=5", 404),
        ("/effects?run=a&prefix=other/&epoch=5", 404),
    ],
)
def test_bad_questions_have_an_answer(client, question, code):
    answer = client.get(f"{ROOT}{question}")

    assert answer.status_code == code
    assert answer.content_type == "application/json"
    assert answer.json["error"]


def test_html_is_never_answered_as_html(client):
    answer = client.get(f"{ROOT}/data", query_string={"run": "<script>alert(1)</script>"})

    assert "script" not in answer.text
    for route in ("/runs", "/data?run=a", "/effects?run=a&epoch=5"):
        headers = client.get(f"{ROOT}{route}").headers
        assert headers["Content-Type"] == "application/json"
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(("file", "kind"), [("index.js", "application/javascript"), ("style.css", "text/css")])
def test_the_pages_files_are_served(client, file, kind):
    answer = client.get(f"{ROOT}/static/{file}")

    assert answer.status_code == 200
    assert answer.content_type.startswith(kind)
    assert answer.data == (REPOSITORY / "lightning_interactions/tensorboard_plugin/static" / file).read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/plugin.py",
        "/static/../plugin.py",
        "/static/%2e%2e/plugin.py",
        "/static/..%2fplugin.py",
        "/static/..\\plugin.py",
        "/static//etc/passwd",
        "/static/index.js/../../plugin.py",
        "/static/index.js%00.py",
        "/plugin.py",
        "/",
    ],
)
def test_no_other_file_is_served(client, path):
    assert client.get(f"{ROOT}{path}").status_code == 404


@pytest.mark.parametrize("route", ["/runs", "/data?run=a", "/static/index.js"])
def test_a_head_request_has_no_body(client, route):
    answer = client.head(f"{ROOT}{route}")

    assert answer.status_code == 200
    assert answer.data == b""


def test_the_page_loads_nothing_from_elsewhere():
    for file in (REPOSITORY / "lightning_interactions/tensorboard_plugin/static").iterdir():
        foreign = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "//cdn" not in foreign
        assert "http:" not in foreign
        assert "https:" not in foreign


def test_the_tab_is_enabled_only_with_data(tmp_path, write_run, read_folder):
    before = client_of(read_folder(tmp_path)).get("/data/plugins_listing").json["interactions"]
    write_run(tmp_path / "a")
    after = client_of(read_folder(tmp_path)).get("/data/plugins_listing").json["interactions"]

    assert (before["enabled"], after["enabled"]) == (False, True)
    assert after["tab_name"] == "Interactions"
    assert after["loading_mechanism"]["module_path"] == f"{ROOT}/static/index.js"


def test_without_a_data_provider_nothing_is_served_and_nothing_breaks():
    client = client_of(None)

    assert client.get("/data/plugins_listing").json["interactions"]["enabled"] is False
    assert client.get(f"{ROOT}/runs").json == {"runs": []}
    assert client.get(f"{ROOT}/data?run=a").status_code == 404
    assert client.get(f"{ROOT}/effects?run=a&epoch=0").status_code == 404


def test_a_run_of_foreign_data_alone_is_answered(tmp_path, write_bytes, read_folder):
    write_bytes(tmp_path / "a", "interactions/record/000000", b"\x00")
    write_bytes(tmp_path / "a", "some other tag", b"\x00")
    client = client_of(read_folder(tmp_path))

    assert client.get("/data/plugins_listing").status_code == 200
    assert client.get(f"{ROOT}/runs").status_code == 200
    answer = client.get(f"{ROOT}/data?run=a")
    assert (answer.status_code, answer.json["records"], answer.json["unreadable"]) == (200, [], 1)


def test_a_broken_event_file_is_passed_over(tmp_path, write_run, read_folder):
    write_run(tmp_path / "a")
    (file,) = (tmp_path / "a").iterdir()
    content = file.read_bytes()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / file.name).write_bytes(content[: len(content) // 2])
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / file.name).write_bytes(b"garbage" * 100)
    client = client_of(read_folder(tmp_path))

    runs = {run["run"] for run in client.get(f"{ROOT}/runs").json["runs"]}
    assert "a" in runs
    assert "c" not in runs
    assert all(client.get(f"{ROOT}/data", query_string={"run": run}).status_code == 200 for run in runs)


def test_importing_the_plugin_is_fast_and_brings_no_torch():
    script = """
import sys, time
start = time.process_time()  # not what other processes take
import lightning_interactions.tensorboard_plugin.plugin
seconds = time.process_time() - start
heavy = [name for name in ("torch", "lightning", "numpy", "scipy", "matplotlib") if name in sys.modules]
print(seconds, heavy)
"""
    answers = [
        subprocess.run(  # noqa: S603
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=REPOSITORY
        ).stdout.split(maxsplit=1)
        for _ in range(3)
    ]

    assert {heavy.strip() for _, heavy in answers} == {"[]"}
    assert min(float(seconds) for seconds, _ in answers) < 0.05


def test_the_entry_point_names_the_plugin():
    declared = 'interactions = "lightning_interactions.tensorboard_plugin.plugin:InteractionsPlugin"'

    assert declared in (REPOSITORY / "pyproject.toml").read_text()
    installed = [point for point in entry_points(group="tensorboard_plugins") if point.name == "interactions"]
    assert all(point.load() is InteractionsPlugin for point in installed)


def test_three_runs_of_300_epochs_are_answered_in_200_ms(tmp_path, write_run, read_folder):
    runs = ("a", "b", "c")
    write_run(tmp_path / "a", epochs=range(300), n=10)
    for run in runs[1:]:
        shutil.copytree(tmp_path / "a", tmp_path / run)
    client = client_of(read_folder(tmp_path))

    def seconds(route):
        # Of this process: TensorBoard's and the plugin's work, whatever else the machine does.
        start = time.process_time()
        answer = client.get(f"{ROOT}{route}", headers={"Accept-Encoding": "gzip"})
        assert answer.status_code == 200
        return time.process_time() - start

    assert min(seconds("/runs") for _ in range(3)) < 0.2
    assert min(sum(seconds(f"/data?run={run}") for run in runs) for _ in range(3)) < 0.2
    assert min(seconds("/effects?run=a&epoch=150") for _ in range(3)) < 0.2
    assert len(client.get(f"{ROOT}/data?run=a").json["records"]) == 300
