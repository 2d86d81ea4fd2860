"""Calls that are wrong, one list for the tests and for the page about errors, and how to find out what they say."""

import contextlib
import io
import json
import logging
import math
import os
import re
import shlex
import shutil
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

ROOT = Path(__file__).parents[2]
COMMANDS = ("lightning-interactions", "python -m experiments")


@dataclass(frozen=True)
class Wrong:
    """A call, the kind of error it gets, the word by which the message names what is wrong, and what it shows of it."""

    room: str
    call: str
    error: str
    names: str
    got: str

    @property
    def is_command(self):
        return self.call.startswith(COMMANDS)

    @property
    def speaks_itself(self):
        """Whether the message is the project's own; options are read by argparse and jsonargparse."""
        return self.error != "2"


def _of(room, *cases):
    return [Wrong(room, *case) for case in cases]


WRONG = [
    *_of(
        "Subsets",
        ("lattice.moebius(torch.zeros(5))", "ValueError", "last axis", "(5,)"),
        ("lattice.zeta(torch.zeros(()))", "ValueError", "last axis", "()"),
        ("lattice.and_interactions(torch.zeros(2, 6))", "ValueError", "last axis", "(2, 6)"),
        ("lattice.subset_masks(0)", "ValueError", "`n_variables`", "0"),
        ("lattice.subset_masks(60)", "ValueError", "`n_variables`", "60"),
        ("lattice.subset_order('three')", "TypeError", "`n_variables`", "'three'"),
        ("lattice.subset_order(True)", "TypeError", "`n_variables`", "True"),
    ),
    *_of(
        "From outputs to interactions",
        ("sparsify([[0.0, 1.0]])", "TypeError", "`values`", "list"),
        ("sparsify(torch.tensor([[0, 1]]))", "TypeError", "`values`", "int64"),
        ("sparsify(values[0])", "ValueError", "`values`", "(8,)"),
        ("sparsify(values[:, :5])", "ValueError", "`values`", "(2, 5)"),
        ("sparsify(values * math.nan)", "ValueError", "`values`", "2 of 2"),
        ("sparsify(values, noise_bound=-0.1)", "ValueError", "`noise_bound`", "-0.1"),
        ("sparsify(values, noise_bound=torch.zeros(3))", "ValueError", "`noise_bound`", "(3,)"),
        ("sparsify(values, solver='simplex')", "ValueError", "`solver`", "'simplex'"),
        ("sparsify(values, solver='admm', steps=5)", "TypeError", "`steps`", "solver='admm'"),
        ("sparsify(values, tolerance=0)", "ValueError", "`tolerance`", "0"),
        ("sparsify(values, tie_break='random')", "ValueError", "`tie_break`", "'random'"),
        ("sparsify(values, threshold=-1.0)", "ValueError", "`threshold`", "-1.0"),
    ),
    *_of(
        "Explaining a network",
        ("explain(network, rows, classes[:2], Columns(3))", "ValueError", "`targets`", "(2,)"),
        ("explain(network, rows, classes + 7, Columns(3))", "ValueError", "`targets`", "7"),
        ("explain(network, rows.tolist(), classes, Columns(3))", "ValueError", "`inputs`", "list"),
        ("explain(network, [rows, rows[:2]], classes, Columns(3))", "ValueError", "`inputs`", "(2, 3)"),
        ("explain(network, rows, classes, 'columns')", "TypeError", "`variables`", "str"),
        ("explain(network, rows, classes, Columns(5))", "ValueError", "`n_variables`", "(4, 3)"),
        ("explain(network, rows, classes, Columns(3), output='logodds')", "ValueError", "`output`", "'logodds'"),
        ("explain(network, rows, classes, Columns(3), noise_ratio=-1)", "ValueError", "`noise_ratio`", "-1"),
        ("explain(network, rows, classes, Columns(3), noise_ratio='2%')", "TypeError", "`noise_ratio`", "'2%'"),
        ("explain(network, rows, classes, Columns(3), solver='fast')", "ValueError", "`solver`", "'fast'"),
        ("explain(network, rows, classes, Columns(3), precision='half')", "ValueError", "`precision`", "'half'"),
        ("explain(network, rows, classes, Columns(3), mask_batch_size=0)", "ValueError", "`mask_batch_size`", "0"),
        ("explain(describing, rows, classes, Columns(3))", "ValueError", "logits", "str"),
        ("explain(pixels, images, classes, InputPatches())", "ValueError", "`grid`", "8"),
        ("explain(broken, rows, classes, Columns(3))", "FloatingPointError", "output", "4"),
        (
            "explain(pixels, images, classes, FeatureMapPatches('0.conv', grid=4, n_variables=3))",
            "ValueError",
            "Layer",
            "'0.conv'",
        ),
        ("explain(pixels, images, classes, FeatureMapPatches('3', n_variables=3))", "ValueError", "'3'", "(2, 2)"),
    ),
    *_of(
        "Input variables",
        ("FeatureMapPatches('features.4', n_variables=0)", "ValueError", "`n_variables`", "0"),
        ("FeatureMapPatches('features.4', n_variables=37)", "ValueError", "`n_variables`", "37"),
        ("FeatureMapPatches('features.4', n_variables='ten')", "TypeError", "`n_variables`", "'ten'"),
        ("FeatureMapPatches('features.4', n_variables=7.5)", "TypeError", "`n_variables`", "7.5"),
        ("FeatureMapPatches(4)", "TypeError", "`layer`", "4"),
        ("FeatureMapPatches('features.4', grid='8')", "TypeError", "`grid`", "'8'"),
        ("FeatureMapPatches('features.4', baseline='black')", "TypeError", "`baseline`", "'black'"),
        ("InputPatches(seed='one')", "TypeError", "`seed`", "'one'"),
        ("FeatureMapPatches('features.4', grid=0)", "ValueError", "`grid`", "0"),
        ("FeatureMapPatches('features.4', grid=4, border=2)", "ValueError", "`border`", "2"),
        ("FeatureMapPatches('features.4', border=-1)", "ValueError", "`border`", "-1"),
        ("InputPatches(baseline=math.nan)", "ValueError", "`baseline`", "nan"),
        (
            "explain(pixels, images, classes, InputPatches(4, 1, 3, baseline=(0, 0, 0)))",
            "ValueError",
            "`baseline`",
            "3 numbers",
        ),
        ("Columns(3, baseline='median')", "ValueError", "`baseline`", "'median'"),
        ("Columns(3, names=('age', 'size')).draw(rows)", "ValueError", "`names`", "2"),
        ("Columns(3, baseline=(0.0, 0.0)).draw(rows)", "ValueError", "`baseline`", "2"),
        ("TokenWords(tokenizer)", "ValueError", "mask token", "'letters'"),
        ("TokenWords(tokenizer, baseline=0).draw(rows)", "ValueError", "`inputs`", "Tensor"),
    ),
    *_of(
        "Interactions",
        ("Interactions(values, values[:, :4], *parts)", "ValueError", "`and_`", "(2, 4)"),
        ("Interactions(values[0], values, values, *parts[1:])", "ValueError", "`values`", "(8,)"),
        ("found.strongest(sample=7)", "IndexError", "`sample`", "7"),
        ("found.variable_names(sample=7)", "IndexError", "`sample`", "7"),
        ("found.to_shapiq('XOR')", "ValueError", "`part`", "'XOR'"),
        ("Interactions.load('nowhere.npz')", "FileNotFoundError", "nowhere.npz", "nowhere.npz"),
        ("Interactions.load('cut_off.npz')", "ValueError", "cut_off.npz", "cut_off.npz"),
        ("Interactions.load('newer.npz')", "ValueError", "newer.npz", "schema 99"),
        ("Interactions.load('notes.txt')", "ValueError", "notes.txt", "notes.txt"),
    ),
    *_of(
        "What interactions say",
        ("order_strength(found, threshold=-1)", "ValueError", "`threshold`", "-1"),
        ("order_strength(values)", "TypeError", "`interactions`", "Tensor"),
        ("similarity(found, smaller)", "ValueError", "`test`", "2"),
        ("similarity(found, values)", "TypeError", "`test`", "Tensor"),
        ("similarity(found, none)", "ValueError", "`test`", "none"),
        ("spindle(0, alpha=1.0, beta=1.0)", "ValueError", "`n`", "0"),
        ("spindle(2.5, alpha=1.0, beta=1.0)", "TypeError", "`n`", "2.5"),
        ("spindle(5, alpha=-1.0, beta=1.0)", "ValueError", "`alpha`", "-1"),
        ("decay(values, values, delta=-1.0)", "ValueError", "`delta`", "-1"),
        ("decay(values, values, delta=1.0, gamma=-1.0)", "ValueError", "`gamma`", "-1"),
        ("decay(values, values[:, :4], delta=1.0)", "ValueError", "`or_`", "(2, 4)"),
        ("disentangle(torch.ones(5), torch.ones(5), found)", "ValueError", "`positive`", "(1, 5)"),
        ("disentangle(-torch.ones(3), torch.ones(3), found)", "ValueError", "`positive`", "-1"),
        ("disentangle(torch.ones(3), torch.ones(3), found, bootstraps=-5)", "ValueError", "`bootstraps`", "-5"),
        ("disentangle(torch.ones(3), torch.ones(3), values)", "TypeError", "`reference`", "Tensor"),
        (
            "disentangle(torch.ones(3), torch.ones(3), found, delta_range=(2, 1))",
            "ValueError",
            "`delta_range`",
            "(2, 1)",
        ),
        ("PhaseDetector(rise=-0.1)", "ValueError", "`rise`", "-0.1"),
        ("PhaseDetector(false_alarm_rate=1)", "ValueError", "`false_alarm_rate`", "1"),
        ("segment([0, 10, 5], [0.0, 0.1, 0.2])", "ValueError", "`measured`", "[0, 10, 5]"),
        ("segment([0, 10], [0.0])", "ValueError", "`measured`", "1 gaps"),
    ),
    *_of(
        "The monitor",
        ("InteractionMonitor('features.4')", "TypeError", "`variables`", "str"),
        ("InteractionMonitor(Columns(3), every_n_epochs=0)", "ValueError", "`every_n_epochs`", "0"),
        ("InteractionMonitor(Columns(3), every_n_epochs=2.5)", "TypeError", "`every_n_epochs`", "2.5"),
        ("InteractionMonitor(Columns(3), n_samples='50')", "TypeError", "`n_samples`", "'50'"),
        ("InteractionMonitor(Columns(3), n_loss_samples=-1)", "ValueError", "`n_loss_samples`", "-1"),
        ("InteractionMonitor(Columns(3), output='logit')", "ValueError", "`output`", "'logit'"),
        ("InteractionMonitor(Columns(3), noise_ratio=math.inf)", "ValueError", "`noise_ratio`", "inf"),
        ("InteractionMonitor(Columns(3), solver='exact')", "ValueError", "`solver`", "'exact'"),
        ("InteractionMonitor(Columns(3), precision=16)", "ValueError", "`precision`", "16"),
        ("InteractionMonitor(Columns(3), mask_batch_size='all')", "TypeError", "`mask_batch_size`", "'all'"),
        ("InteractionMonitor(Columns(3), name='a/b')", "ValueError", "`name`", "'a/b'"),
        ("InteractionMonitor(Columns(3), name='..')", "ValueError", "`name`", "'..'"),
        ("InteractionMonitor(Columns(3), samples=rows)", "TypeError", "`samples`", "a Tensor"),
        ("InteractionMonitor(Columns(3), reference='best')", "ValueError", "`reference`", "'best'"),
        ("InteractionMonitor(Columns(3), reference='last.ckpt')", "FileNotFoundError", "`reference`", "'last.ckpt'"),
        ("InteractionMonitor(Columns(3), reference='cut_off.npz')", "ValueError", "cut_off.npz", "cut_off.npz"),
        ("InteractionMonitor(Columns(3), reference='current')", "ValueError", "'current'", "None"),
        ("InteractionMonitor(Columns(3), delta_range=(1, 0))", "ValueError", "`delta_range`", "(1, 0)"),
    ),
    *_of(
        "Before the first training step",
        ("train(InteractionMonitor(FeatureMapPatches('body.3')))", "ValueError", "Layer", "'body.3'"),
        ("train(InteractionMonitor(Columns(5)))", "ValueError", "`n_variables`", "(1, 3)"),
        ("train(InteractionMonitor(Columns(3)), held_out=None)", "MisconfigurationException", "held-out", "`samples"),
        ("train(InteractionMonitor(Columns(3)), held_out=(rows, classes + 9))", "ValueError", "`targets`", "9"),
        ("train(InteractionMonitor(Columns(3)), held_out=(rows,))", "ValueError", "batch", "['Tensor']"),
        ("train(InteractionMonitor(Columns(3), samples=(rows, classes[:1])))", "ValueError", "`samples`", "1 targets"),
        ("train(InteractionMonitor(Columns(3)), strategy=sharded)", "MisconfigurationException", "Sharded", "Sharded"),
        ("train(InteractionMonitor(Columns(3), reference=smaller))", "ValueError", "`reference`", "2"),
        ("train(InteractionMonitor(Columns(3), reference='notes.txt'))", "ValueError", "`reference`", "'notes.txt'"),
    ),
    *_of(
        "Runs on the disk",
        ("History.load('nowhere.json')", "FileNotFoundError", "nowhere.json", "nowhere.json"),
        ("History.load('notes.txt')", "ValueError", "notes.txt", "notes.txt"),
        ("History.load('newer.json')", "ValueError", "newer.json", "schema 99"),
        ("History.load('epochs.json')", "ValueError", "epochs.json", "'ten'"),
        ("History.load('list.json')", "ValueError", "list.json", "list"),
        ("refit('nowhere')", "FileNotFoundError", "`run`", "'nowhere'"),
        ("refit('run', reference='first')", "ValueError", "`reference`", "'first'"),
        ("refit('run', reference=smaller)", "ValueError", "`reference`", "2"),
    ),
    *_of(
        "The command line",
        ("lightning-interactions", "2", "COMMAND", "COMMAND"),
        ("lightning-interactions draw", "2", "COMMAND", "'draw'"),
        ("lightning-interactions report", "2", "RUN", "RUN"),
        ("lightning-interactions report nowhere", "1", "report", "'nowhere'"),
        ("lightning-interactions report damaged", "1", "history.json", "damaged"),
        ("lightning-interactions report empty", "1", "history.json", "empty"),
        ("lightning-interactions report run --size 4", "2", "--size", "--size 4"),
        ("lightning-interactions compare run", "2", "RUN_B", "RUN_B"),
        ("lightning-interactions explain --checkpoint a.ckpt", "2", "--config", "--config"),
        ("lightning-interactions explain --checkpoint a.ckpt --config c.yaml", "1", "--checkpoint", "'a.ckpt'"),
        ("lightning-interactions explain --checkpoint notes.txt --config c.yaml", "1", "c.yaml", "c.yaml"),
        ("lightning-interactions explain --checkpoint notes.txt --config broken.yaml", "1", "broken.yaml", "YAML"),
        ("lightning-interactions explain --checkpoint notes.txt --config notes.txt", "1", "notes.txt", "`model`"),
        (
            "lightning-interactions explain --checkpoint notes.txt --config model.yaml --set data",
            "1",
            "`--set`",
            "'data'",
        ),
        ("lightning-interactions explain --checkpoint notes.txt --config model.yaml", "1", "configuration", "`data`"),
    ),
    *_of(
        "Configurations of the experiments",
        ("python -m experiments fit --config nowhere.yaml", "2", "config", "nowhere.yaml"),
        ("python -m experiments fit --config quickstart.yaml --n ten", "2", '"n"', "ten"),
        ("python -m experiments fit --config quickstart.yaml --monitors.n_samples 3", "2", "monitors", "monitors"),
        ("python -m experiments fit --config quickstart.yaml --data Digit", "2", '"data"', "Digit"),
        ("python -m experiments fit --config quickstart.yaml --model.network os.system", "2", "network", "os.system"),
        ("python -m experiments fit --config quickstart.yaml --trainer.epochs 3", "2", "epochs", "epochs"),
        ("python -m experiments figure 99 --run run", "2", "number", "99"),
        ("python -m experiments inject", "2", "--run", "--run"),
    ),
]
"""Every case: where it belongs, the call as a user would type it, the error's class or the exit status, and two texts
that the message must contain: the name of what is wrong, and what was given."""

SAYS_WHAT_IS_ALLOWED = re.compile(r"\bmust\b|\bHINT\b|\breads up to\b|^\[Errno 2\]")
"""What a message has that tells what would have been right."""


@contextlib.contextmanager
def prepared():
    """Go into a folder with the files that the calls name.

    Yields:
        ``what_happens(case) -> (error, message)``: the class or exit status that a call ends with, and what it says.
    """
    with tempfile.TemporaryDirectory() as folder, _inside(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        _write_files()
        names, here = _names(), f"{Path.cwd()}{os.sep}"

        def what_happens(case):
            error, message = _run_command(shlex.split(case.call)) if case.is_command else _evaluated(case.call, names)
            return error, message.replace(here, "").strip()

        yield what_happens


def _evaluated(call, names):
    try:
        eval(call, dict(names))  # noqa: S307  # the list above, and nothing else
    except Exception as error:  # noqa: BLE001  # whatever it is, the test compares it
        return type(error).__name__, str(error)
    return "nothing", "no error"


@contextlib.contextmanager
def _inside(folder):
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


# -- what the calls refer to -------------------------------------------------------------------------------------------


def _names():
    """The public names, and the few things with which the calls are made."""
    import lightning_interactions  # noqa: PLC0415
    from lightning_interactions.history import History  # noqa: PLC0415
    from lightning_interactions.refit import refit  # noqa: PLC0415

    public = {name: getattr(lightning_interactions, name) for name in lightning_interactions.__all__}
    sparsify = public["sparsify"]
    values = torch.linspace(0, 1, 16, dtype=torch.float64).square().reshape(2, 8)
    found = sparsify(values)
    rows = torch.linspace(-1, 1, 12).reshape(4, 3)
    return public | {
        "math": math,
        "torch": torch,
        "History": History,
        "refit": refit,
        "values": values,
        "found": found,
        "none": sparsify(values[:0]),
        "smaller": sparsify(values[:, :4]),
        "parts": (found.or_, found.l1, found.gap, found.noise_bound, found.threshold),
        "rows": rows,
        "classes": torch.tensor([0, 1, 0, 1]),
        "images": torch.linspace(0, 1, 4 * 36).reshape(4, 1, 6, 6),
        "network": nn.Linear(3, 2),
        "pixels": nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2)),
        "broken": _Broken(),
        "describing": _Describing(),
        "tokenizer": _tokenizer(),
        "train": _train,
        "sharded": _sharded(),
    }


class _Broken(nn.Module):
    def forward(self, x):
        return x * math.nan


class _Describing(nn.Module):
    def forward(self, x):
        return f"{len(x)} rows"


def _tokenizer():
    """One that knows no mask token."""
    from tokenizers import Tokenizer, models  # noqa: PLC0415
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415

    letters = models.WordLevel({"a": 0, "?": 1}, unk_token="?")  # noqa: S106  # no password
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(letters), name_or_path="letters")


def _sharded():
    """A strategy that nobody has tested the monitor under."""
    from lightning.pytorch.strategies import SingleDeviceStrategy  # noqa: PLC0415

    return type("ShardedStrategy", (SingleDeviceStrategy,), {})("cpu")


def table_network():
    """A network on tables of three columns that can be trained."""
    import lightning.pytorch as pl  # noqa: PLC0415

    class Table(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x):
            return self.layer(x)

        def training_step(self, batch, _):
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def validation_step(self, batch, _):
            pass

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    return Table()


def _train(monitor, held_out="the same", strategy="auto"):
    """Begin a training of a network on a table, watched by a monitor."""
    import lightning.pytorch as pl  # noqa: PLC0415

    rows, classes = torch.linspace(-1, 1, 12).reshape(4, 3), torch.tensor([0, 1, 0, 1])
    if held_out == "the same":
        held_out = (rows, classes)
    loader = DataLoader(TensorDataset(rows, classes), 2)
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = pl.Trainer(
        max_epochs=1, callbacks=[monitor], strategy=strategy, accelerator="cpu", num_sanity_val_steps=0, **quiet
    )
    trainer.fit(table_network(), loader, None if held_out is None else DataLoader(TensorDataset(*held_out), 2))


def _write_files():
    """The files that the calls name, in the current folder."""
    from lightning_interactions import sparsify  # noqa: PLC0415
    from lightning_interactions.history import History  # noqa: PLC0415

    saved = sparsify(torch.tensor([[0.0, 1.0, 2.0, 4.0, 1.0, 2.0, 3.0, 6.0]])).save("run/interactions/epoch=0000.npz")
    History([{"epoch": 0, "held_out_loss": 1.0}]).save("run/interactions/history.json")
    Path("cut_off.npz").write_bytes(saved.read_bytes()[:300])
    with np.load(saved) as archive:
        np.savez("newer.npz", **(dict(archive) | {"schema": np.array(99)}))
    Path("notes.txt").write_text("bought milk\n")
    Path("newer.json").write_text(json.dumps({"schema": 99, "records": []}))
    Path("list.json").write_text("[1, 2]")
    Path("epochs.json").write_text(json.dumps({"schema": 1, "records": [{"epoch": "ten"}]}))
    for run, text in (("damaged", '{"schema": 1, "rec'), ("empty", '{"schema": 1, "records": []}')):
        Path(run, "interactions").mkdir(parents=True)
        Path(run, "interactions", "history.json").write_text(text)
    Path("broken.yaml").write_text("model: [1, 2\nn: 3")
    Path("model.yaml").write_text("model: {class_path: lightning.pytorch.demos.boring_classes.BoringModel}")
    shutil.copy(ROOT / "configs" / "quickstart.yaml", "quickstart.yaml")


# -- commands ----------------------------------------------------------------------------------------------------------


def _run_command(words):
    """The exit status of a command, and what it wrote about the error."""
    with (
        contextlib.redirect_stderr(io.StringIO()) as said,
        contextlib.redirect_stdout(io.StringIO()),
        _argv(words),
    ):
        try:
            status = _main_of(words)()
        except SystemExit as stop:
            status = stop.code
    lines = [line for line in said.getvalue().splitlines() if line.strip()]
    # Before it stand the usage, which is long, and libraries' warnings.
    first = next((position for position, line in enumerate(lines) if "error:" in line), 0)
    return str(status), "\n".join(lines[first:])


def _main_of(words):
    if words[0] == "lightning-interactions":
        from lightning_interactions.cli.main import main  # noqa: PLC0415

        return lambda: main(words[1:])
    from experiments import cli, commands  # noqa: PLC0415

    rest = words[3:]
    return (lambda: commands.run_command(rest)) if rest[:1][0] in commands.COMMANDS else (lambda: cli.main(rest))


@contextlib.contextmanager
def _argv(words):
    """Lightning compares with the process's own arguments."""
    before = sys.argv
    sys.argv = words[:1]
    try:
        yield
    finally:
        sys.argv = before
