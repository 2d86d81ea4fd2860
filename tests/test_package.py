"""What is handed to users: the archives are whole, and the wheel works where only the wheel is."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "lightning_interactions"
STATIC = {
    "tensorboard_plugin/static/index.js",
    "tensorboard_plugin/static/style.css",
    "report/report.html",
    "report/report.css",
    "report/report.js",
    "py.typed",
}


def run(*command, cwd, **environment):
    done = subprocess.run(  # noqa: S603
        [sys.executable, *command],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def files_of_the_package():
    """Everything beside the code that the code reads, found in the tree itself."""
    return {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The source archive, and the wheel that is built from nothing but it."""
    pytest.importorskip("build")
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy(ROOT / name, source)
    for room in ("lightning_interactions", "experiments", "tests"):
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    folder = tmp_path_factory.mktemp("dist")
    # What the wheel is built with is installed already, so nothing is downloaded.
    run("-m", "build", "--no-isolation", "--outdir", str(folder), str(source), cwd=source)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


@pytest.fixture(scope="module")
def unpacked(archives, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(archives[0]) as wheel:
        wheel.extractall(folder)  # noqa: S202  # our own
    return folder


def test_the_wheel_holds_the_whole_package_and_nothing_else(unpacked):
    packed = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    code = {path for path in packed if path.startswith("lightning_interactions/")}

    assert {path.partition("/")[2] for path in code} == files_of_the_package()
    assert files_of_the_package() >= STATIC
    (information,) = {path.partition("/")[0] for path in packed - code}
    assert information.endswith(".dist-info")


def test_the_source_archive_holds_the_package_and_its_papers(archives):
    with tarfile.open(archives[1]) as sdist:
        packed = {name.partition("/")[2] for name in sdist.getnames()}

    assert {f"lightning_interactions/{path}" for path in files_of_the_package()} <= packed
    assert {"README.md", "LICENSE", "pyproject.toml", "PKG-INFO"} <= packed
    assert not any(path.startswith("experiments/") for path in packed)


def test_the_wheel_says_what_it_is(unpacked):
    (information,) = unpacked.glob("*.dist-info")
    metadata = (information / "METADATA").read_text()

    assert "Name: lightning-interactions" in metadata
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.10" in metadata
    assert "# Lightning Interactions" in metadata
    assert (information / "licenses" / "LICENSE").exists()
    entry_points = (information / "entry_points.txt").read_text()
    assert "lightning-interactions = lightning_interactions.cli.main:main" in entry_points
    assert (
        "interactions = lightning_interactions.tensorboard_plugin.plugin:InteractionsPlugin"
        in entry_points.partition("[tensorboard_plugins]")[2]
    )


SMOKE = """
import sys
from importlib.metadata import distribution
from pathlib import Path

site, folder = sys.argv[1:]
import lightning_interactions

assert Path(lightning_interactions.__file__).is_relative_to(site), lightning_interactions.__file__
found = {point.group: point.load() for point in distribution("lightning-interactions").entry_points}
assert lightning_interactions.__version__ == distribution("lightning-interactions").version
tab = found["tensorboard_plugins"](type("Context", (), {"data_provider": None}))
assert {"/static/index.js", "/static/style.css"} <= set(tab.get_plugin_apps())

import torch
from torch import nn
from lightning_interactions import Columns, InteractionMonitor, explain
from lightning_interactions.callback.record import summarize
from lightning_interactions.history import History

interactions = explain(nn.Linear(3, 2), torch.rand(4, 3), torch.zeros(4).long(), Columns(3))
interactions.save(f"{folder}/interactions/epoch=0000.npz")
losses = {"train_loss": 1.0, "held_out_loss": 1.0, "loss_gap": 0.0, "onset_epoch": float("nan"), "phase": "normal"}
History([{"epoch": 0} | losses | summarize(interactions)]).save(f"{folder}/interactions/history.json")
assert found["console_scripts"](["report", folder, "-o", f"{folder}/report.html"]) == 0
assert found["console_scripts"](["report", f"{folder}/none"]) == 1
print(sorted(name for name in sys.modules if name.split(".")[0] in ("experiments", "tests")))
"""


def test_the_unpacked_wheel_works_alone(unpacked, tmp_path):
    """Import, measure, save, write a page and load both entry points, from a folder that knows no source tree."""
    out = run("-c", SMOKE, str(unpacked), str(tmp_path), cwd=tmp_path, PYTHONPATH=str(unpacked))

    assert out.splitlines()[-1] == "[]"
    assert (tmp_path / "report.html").stat().st_size > 10_000
