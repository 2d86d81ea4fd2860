"""Every example runs at a tiny size, prints what it promises, and stays short."""

import re
import runpy
from pathlib import Path

import pytest
from jsonargparse import auto_cli

from lightning_interactions import Interactions

EXAMPLES = Path(__file__).parents[1] / "examples"

# How to make each example small, and what a user then sees.
CASES = {
    "torchvision_model": (
        "--epochs 1 --images 100 --samples 2 --n 4",
        [r"epoch  0: mean order \d\.\d\d", r"epoch  1: mean order \d\.\d\d, loss gap [+-]", r"^normal: "],
    ),
    "timm_model": (
        "--epochs 1 --images 100 --samples 2 --n 4",
        [r"The strongest combinations of patches", r"[+-]\d\.\d+  (AND|OR ) .*\d"],
    ),
    "hugging_face_text": (
        "--epochs 1",
        [r"^\w+ \w+ \w+ \w+: [+-]\d+\.\d\d for (AND|OR) of \['\w+'"],
    ),
    "plain_pytorch": (
        "--epochs 1 --every 1 --samples 3 --n 4 --folder run",
        [r"epoch  0: mean order", r"epoch  1: mean order \d\.\d\d, normal: "],
    ),
    "tabular": (
        "--epochs 1 --samples 3",
        [r"AND  .*mean ", r"\d\.\d+"],
    ),
}


def test_every_example_has_its_case():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(CASES)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short(path):
    assert len(path.read_text().splitlines()) <= 60


@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.filterwarnings("ignore")
def test_an_example_runs(name, tmp_path, monkeypatch, capsys):
    arguments, expected = CASES[name]
    monkeypatch.chdir(tmp_path)
    example = runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name=name)
    auto_cli(example["main"], args=arguments.split())

    printed = capsys.readouterr().out
    for pattern in expected:
        assert re.search(pattern, printed, re.MULTILINE), printed


def test_the_plain_loop_leaves_files_that_can_be_read(tmp_path, capsys):
    example = runpy.run_path(str(EXAMPLES / "plain_pytorch.py"), run_name="plain_pytorch")
    example["main"](epochs=1, every=1, samples=3, n=3, folder=tmp_path)
    assert capsys.readouterr().out

    for epoch in (0, 1):
        found = Interactions.load(tmp_path / f"epoch={epoch:04d}.npz")
        assert (len(found), found.n_variables) == (3, 3)
        assert (tmp_path / f"epoch={epoch:04d}.png").stat().st_size > 0
