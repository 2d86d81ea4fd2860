"""What the project is made of is pinned, fits together, is free to use, and fetches nothing while it runs."""

import logging
import re
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from torch.utils.data import DataLoader, TensorDataset

from lightning_interactions import Columns, InteractionMonitor, explain
from lightning_interactions.cli.main import main

ROOT = Path(__file__).parents[2]

# PyTorch requires its CUDA libraries in exact versions; setuptools comes with the environment.
PINNED_ELSEWHERE = re.compile(r"(nvidia|cuda)-.*|triton|setuptools")


@pytest.fixture(scope="module")
def installed(docs_script):
    """Every package that an installation with all extras brings."""
    return docs_script("licences").closure("dev") | docs_script("licences").closure("experiments")


def pins():
    lines = (line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines())
    requirements = [Requirement(line) for line in lines if line]
    return {
        canonicalize_name(entry.name): entry.specifier
        for entry in requirements
        if entry.marker is None or entry.marker.evaluate()
    }


def test_everything_is_pinned_and_installed_as_pinned(installed):
    pinned = pins()
    named = {name: package for name, package in installed.items() if not PINNED_ELSEWHERE.fullmatch(name)}

    assert set(named) - set(pinned) == set()
    assert {name for name, package in named.items() if package.version not in pinned[name]} == set()
    assert {"torch", "lightning", "numpy", "pytest", "mkdocs-material", "transformers"} <= set(named)
    assert all(str(specifier).startswith("==") for specifier in pinned.values())


def test_the_packages_fit_together():
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_every_licence_is_listed_and_allowed(docs_script):
    script = docs_script("licences")
    text = (ROOT / "docs" / "licences.md").read_text()
    listed = dict(re.findall(r"^\| ([\w.-]+) \| (.+) \|$", text, flags=re.MULTILINE))
    del listed["package"], listed["---"]

    for name, (licence, _) in script.licences().items():
        assert listed[name] == licence, f"{name}: HINT: run docs/licences.py"
        if licence == script.NVIDIA:
            assert PINNED_ELSEWHERE.fullmatch(name)
        else:
            assert set(re.split(r" (?:AND|OR) ", licence)) <= script.ALLOWED, name
    named = set(re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE))
    assert {name for name in listed if not PINNED_ELSEWHERE.fullmatch(name)} <= named


# -- no connection -----------------------------------------------------------------------------------------------------


@pytest.fixture
def connections(monkeypatch):
    """Where anything wanted to connect to; every attempt that leaves this machine fails."""
    attempts = []

    def refuse(address):
        host = address[0] if isinstance(address, tuple) else address
        if host not in {"localhost", "127.0.0.1", "::1", None} and not str(host).startswith("/"):
            attempts.append(address)
            msg = f"no connection to {address}"
            raise OSError(msg)

    connect, connect_ex, look_up = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo
    monkeypatch.setattr(socket.socket, "connect", lambda self, to: (refuse(to), connect(self, to))[1])
    monkeypatch.setattr(socket.socket, "connect_ex", lambda self, to: (refuse(to), connect_ex(self, to))[1])
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **more: (refuse(host), look_up(host, *rest, **more))[1]
    )
    return attempts


def test_an_attempt_to_connect_is_seen(connections):
    for attempt in (lambda: socket.create_connection(("192.0.2.1", 9)), lambda: socket.getaddrinfo("example.org", 80)):
        with pytest.raises(OSError, match="no connection"):
            attempt()

    assert len(connections) == 2


def test_nothing_is_fetched_while_training_explaining_and_reporting(connections, wrong_calls, tmp_path):
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    rows, classes = torch.randn(8, 3), torch.arange(8) % 2
    data = DataLoader(TensorDataset(rows, classes), 4)
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        callbacks=[InteractionMonitor(Columns(3), n_samples=3, verbose=False)],
        logger=TensorBoardLogger(tmp_path, name="run", version=""),
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    network = wrong_calls.table_network()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(network, data, data)
    explain(network, rows, classes, Columns(3)).save(tmp_path / "explained.npz")
    page = tmp_path / "report.html"

    assert main(["report", str(tmp_path / "run"), "-o", str(page)]) == 0
    assert page.stat().st_size > 10_000
    assert connections == []
