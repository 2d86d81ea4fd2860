"""The documentation: its code runs, its names exist, and the site builds without a warning and without the internet."""

import ast
import dataclasses
import doctest
import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.metadata import metadata
from inspect import signature
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import lightning_interactions
from experiments.cli import main as fit
from experiments.commands import COMMANDS as AFTER_A_TRAINING
from experiments.commands import run_command
from experiments.data.mnist import Mnist
from lightning_interactions import InputPatches, explain, history, interactions
from lightning_interactions.cli.main import COMMANDS, main
from lightning_interactions.tensorboard_plugin import documents

ROOT = Path(__file__).parents[1]
BY_SCRIPTS = {"validity.md", "engine.md", "questions.md", "REPRODUCTION.md"}
PAGES = [ROOT / "README.md", *(path for path in sorted((ROOT / "docs").glob("*.md")) if path.name not in BY_SCRIPTS)]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def pages_with(language):
    return [page for page in PAGES if blocks(page, language)]


def docs_module(name):
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "docs"))  # they import each other
        spec.loader.exec_module(module)
    return module


# -- code --------------------------------------------------------------------------------------------------------------


class Net(LightningModule):
    """What the README calls `model`: any network with a layer `features.4`."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 2, 3, padding=1), nn.Identity(), nn.ReLU()
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(128, 3))

    def forward(self, x):
        return self.head(self.features(x))

    def training_step(self, batch, _):
        return functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, _):
        self.log("val_loss", self.training_step(batch, _))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def what_the_readme_presupposes(monkeypatch):
    """A network, data, a short training, and a stored run in the folder that the README writes as an ellipsis."""
    torch.manual_seed(0)
    images, labels = torch.randn(6, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    found = explain(Net(), images, labels, InputPatches(grid=4, border=0, n_variables=4))
    for epoch in (15, 60):
        found.save(Path("…", "interactions", f"epoch={epoch:04d}.npz"))
    records = [{"epoch": 15, "held_out_loss": 0.4}, {"epoch": 60, "held_out_loss": 0.9}]
    history.History(records).save(Path("…", "interactions", "history.json"))

    def short_trainer(**options):
        short = {"max_epochs": 1, "enable_checkpointing": False, "logger": False}
        return Trainer(**(options | short))

    def loader(rows):
        return DataLoader(TensorDataset(images[rows], labels[rows]), 2)

    monkeypatch.setattr("lightning.pytorch.Trainer", short_trainer)
    return {
        "model": Net(),
        "datamodule": LightningDataModule.from_datasets(loader(slice(4)).dataset, loader(slice(4, 6)).dataset),
        "images": images,
        "labels": labels,
    }


@pytest.mark.parametrize("page", pages_with("python"), ids=lambda page: page.stem)
@pytest.mark.filterwarnings("ignore")
def test_the_python_blocks_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # A module of its own, because dataclasses and pickle look classes up by their module's name.
    names = {"__name__": f"page_{page.stem}"} | (
        what_the_readme_presupposes(monkeypatch) if page.name == "README.md" else {}
    )
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), names)  # noqa: S102

    for name, test in names.items():
        if name.startswith("test_"):
            for arguments in test.pytestmark[0].args[1]:
                test(*arguments)
    if page.stem == "tutorial":
        # What its text says about the numbers that it prints.
        first, *_, last = names["monitor"].history
        assert first["mean_order"] > 2.4
        assert last["mean_order"] < 2
        assert first["spindle_share"] > 0.8
        assert last["spindle_share"] < 0.3


def test_some_pages_have_code():
    assert {"README", "index", "tutorial", "recipes", "contribute"} <= {page.stem for page in pages_with("python")}


def test_the_page_about_contributing_keeps_its_word():
    variables, *_, test = blocks(ROOT / "docs" / "contribute.md", "python")
    classes = [node for node in ast.parse(variables).body if isinstance(node, ast.ClassDef)]
    (cls,) = classes

    assert cls.end_lineno - cls.lineno + 1 <= 30
    assert "def test_" in test


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_has_a_language(page):
    opened = re.findall(r"^```(\w*)$", page.read_text(), flags=re.MULTILINE)[::2]
    assert set(opened) <= {"python", "bash", "text"}


def help_of(command, capsys, run=main):
    with pytest.raises(SystemExit) as stop:
        run([*command, "--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


def check_options(line, words, text):
    for option in (word.partition("=")[0] for word in words if word.startswith("-")):
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text), f"{line}: no option {option}"


def check_experiment(line, capsys):
    """The same for a line that runs an experiment, or what comes after one; the files that it takes are there."""
    _, _, _, command, *words = line.split()
    for option, value in pairwise(words):
        assert option != "--config" or (ROOT / value).exists(), f"{line}: no file {value}"
    if command in AFTER_A_TRAINING:
        check_options(line, words, help_of([command], capsys, run_command))
    else:
        assert command == "fit"
        of_the_data = " ".join(f"--data.init_args.{name}" for name in signature(Mnist).parameters)
        check_options(line, words, f"{help_of([command], capsys, fit)} {of_the_data}")


def check_line(line, capsys):
    """A line of a shell block calls something that exists, with options that exist."""
    program, *words = line.split()
    if program == "lightning-interactions":
        assert words[0] in COMMANDS
        check_options(line, words[1:], help_of(words[:1], capsys))
    elif program == "make":
        assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    elif words[:2] == ["-m", "experiments"]:
        check_experiment(line, capsys)
    elif program == "python":
        tree = ast.parse((ROOT / words[0]).read_text())
        (entry,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main"]
        options = {word.removeprefix("--") for word in words[1:] if word.startswith("--")}
        assert options <= {argument.arg for argument in entry.args.args}
    elif program == "pip":
        extras = {extra for group in re.findall(r"\[(.*?)\]", line) for extra in group.split(",")}
        assert extras <= set(metadata("lightning-interactions").get_all("Provides-Extra"))
    else:
        assert program == "tensorboard", f"{line}: say here how to check it"
        assert words[0] == "--logdir"


@pytest.mark.parametrize("page", pages_with("bash"), ids=lambda page: page.stem)
def test_the_shell_lines_of_a_page_call_what_exists(page, capsys):
    lines = [line for block in blocks(page, "bash") for line in block.splitlines() if line.strip()]
    for line in lines:
        check_line(line, capsys)
    assert lines


# -- what pages say about the code -------------------------------------------------------------------------------------


def test_every_test_that_the_reliability_page_names_exists():
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", (ROOT / "docs" / "reliability.md").read_text())
    for path, test in named:
        assert re.search(rf"^def {test}\(", (ROOT / "tests" / path).read_text(), flags=re.MULTILINE), f"{path}::{test}"
    assert len(named) > 20


def test_the_reliability_page_has_the_rows_of_its_table(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    page = (ROOT / "docs" / "reliability.md").read_text()
    for section, rows in docs_module("reliability").rows().items():
        part = page.partition(f"## {section}\n")[2].partition("\n## ")[0]
        listed = [line for line in part.splitlines() if line.startswith("| ")][2:]
        assert len(listed) == len(rows), f"{section}: HINT: run docs/reliability.py --page"
        for line, row in zip(listed, rows, strict=True):
            assert line.startswith(row), f"{section}: HINT: run docs/reliability.py --page"
            assert "failed" not in line.removeprefix(row)


def test_the_page_about_files_has_their_schemas():
    text = (ROOT / "docs" / "versions.md").read_text()
    schemas = dict(re.findall(r"^\| (.+?) \| (\d+) \|", text, flags=re.MULTILINE))

    assert schemas == {
        "`history.json`": str(history._SCHEMA),
        "`epoch=….npz`": str(interactions._SCHEMA),
        "data of the TensorBoard tab": str(documents.SCHEMA),
    }


def test_the_changes_of_this_version_are_listed():
    version = metadata("lightning-interactions")["Version"]
    assert re.search(rf"^## {re.escape(version)}\b", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)


def documented_functions():
    """All functions and classes of the API pages, but for classes that only hold what functions return."""
    docs = docs_module("docstrings")
    for module, names in docs.public_names().items():
        for name in names if docs.is_documented(module) else ():
            thing = getattr(importlib.import_module(module), name)
            holds_results = dataclasses.is_dataclass(thing) or hasattr(thing, "_fields")
            holds_results |= getattr(thing, "_is_protocol", False)
            if callable(thing) and getattr(thing, "__module__", None) == module and not holds_results:
                yield f"{module}.{name}", thing


def test_everything_on_the_api_pages_has_an_example():
    texts = {
        name: [thing.__doc__ or "", *(member.__doc__ or "" for member in vars(thing).values())]
        for name, thing in documented_functions()
    }
    assert len(texts) > 60
    assert [name for name, found in texts.items() if not any(">>>" in text for text in found)] == []


# -- pages that scripts write ------------------------------------------------------------------------------------------


def test_links_of_pages_by_scripts_lead_somewhere(tmp_path, monkeypatch):
    """Pictures outside the documentation's folder come into the site; other files are named, and pages stay linked."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    hooks = docs_module("hooks")
    monkeypatch.setattr(hooks, "ROOT", tmp_path)
    for path in ("docs/validity.md", "results/a.png", "results/a.json", "docs/b.png"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    text = "![a](../results/a.png) [the numbers](../results/a.json) ![b](b.png) [x](https://example.org/x.png)"
    (tmp_path / "docs" / "validity.md").write_text(text)
    page = SimpleNamespace(file=SimpleNamespace(src_uri="validity.md"))

    assert hooks.on_page_markdown(text, page) == (
        "![a](fetched/results/a.png) the numbers (`../results/a.json`) ![b](b.png) [x](https://example.org/x.png)"
    )


# -- docstrings as Markdown --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rest", "markdown"),
    [
        ("``x`` and ``y``", "`x` and `y`"),
        (r"at most :math:`\zeta \le 1`.", "at most `ζ ≤ 1`."),
        (r":math:`I^{AND}_S`", "`I^{AND}_S`"),
        (r":math:`A^{(m),\pm}`", "`A^{(m),±}`"),
        (r".. math:: \frac{a}{b} \neq \frac{a + b}{2}", "```text\na / b ≠ (a + b) / 2\n```"),
        ("see :attr:`gap` and :meth:`Variables.draw`", "see `gap` and `Variables.draw`"),
        (":func:`~lightning_interactions.explain`", "[`explain`][lightning_interactions.explain.explain]"),
        (
            ":class:`~.fixed.AsDrawn`",
            "[`AsDrawn`][lightning_interactions.masking.fixed.AsDrawn]",
        ),
        (":class:`torchmetrics.Metric`", "`torchmetrics.Metric`"),
        ("=====  ====\nkey    what\n=====  ====\n``a``  b\n=====  ====", "| key | what |\n| --- | --- |\n| `a` | b |"),
    ],
)
def test_a_docstring_becomes_markdown(rest, markdown):
    assert docs_module("docstrings").to_markdown(rest) == markdown


def test_the_examples_in_the_docs_own_code():
    result = doctest.testmod(docs_module("docstrings"))
    assert result.failed == 0
    assert result.attempted >= 2


def test_the_table_of_keys_holds_every_row_of_the_docstring():
    table = docs_module("docstrings").keys_table().splitlines()
    rows = re.findall(
        r"^    ``\w", lightning_interactions.InteractionMonitor.__doc__.split("Args:")[0], flags=re.MULTILINE
    )

    assert table[:2] == ["| key | meaning and unit |", "| --- | --- |"]
    assert len(table) - 2 == len(rows) > 30
    assert all(line.count("|") == 3 for line in table)


def test_the_pictures_can_be_drawn(tmp_path, capsys):
    pictures = docs_module("pictures")
    pictures.main(["--output", str(tmp_path)])

    assert {path.name for path in tmp_path.iterdir()} == {"shapes.png", "combined.png"}
    kept = {path.name for path in (ROOT / "docs" / "pictures").iterdir()}
    shown = set(re.findall(r"\]\(pictures/([\w.]+)\)", (ROOT / "docs" / "what-am-i-looking-at.md").read_text()))
    assert kept == shown == {"shapes.png", "combined.png", "heat_map.png", "time_lines.png"}
    assert capsys.readouterr().out == ""


# -- the site ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocstrings")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


class References(HTMLParser):
    """What a page loads by itself: scripts, styles, pictures, frames."""

    def __init__(self, text):
        super().__init__()
        self.loaded, self.scripts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag in {"script", "img", "iframe", "source"} and given.get("src"):
            self.loaded.append(given["src"])
        if tag == "link" and given.get("rel") in {"stylesheet", "icon", "preconnect", "preload"}:
            self.loaded.append(given["href"])


def test_every_page_is_there(site):
    for page in PAGES[1:]:
        assert (site / f"{page.stem}.html").exists()
    keys = (site / "keys.html").read_text()
    assert "spindle_share" in keys
    assert "high_order_share" in keys
    assert "--checkpoint" in (site / "command-line.html").read_text()


def test_every_public_name_is_in_the_api(site):
    text = "".join(path.read_text() for path in (site / "api").glob("*.html"))
    index = (site / "api" / "index.html").read_text()
    for name in set(lightning_interactions.__all__) - {"__version__", "lattice"}:
        home = getattr(lightning_interactions, name).__module__
        assert f'id="{home}.{name}"' in text, name
        assert f"#{home}.{name}" in index, name
    # No role of reStructuredText is left over.
    assert not re.search(r":(?:class|func|math|attr|meth):", text)


def test_the_site_loads_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        foreign = [link for link in References(page.read_text()).loaded if re.match(r"(?:https?:)?//", link)]
        assert foreign == [], page.name
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(?:https?:)?//|@import", style.read_text()), style.name
