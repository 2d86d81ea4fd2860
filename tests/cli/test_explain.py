"""Checkpoints explained from the command line give what the monitor saw while they were trained."""

import copy
import hashlib
import importlib
import shutil

import lightning.pytorch as pl
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import ModelCheckpoint

from lightning_interactions import Interactions, sparsify
from lightning_interactions.cli import configuration
from lightning_interactions.cli.explain import checkpoints_in
from lightning_interactions.cli.main import main
from lightning_interactions.version import __version__

STUDY = '''
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


class Net(LightningModule):
    def __init__(self, width: int = 4, optimizer_lr: float = 0.1):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.head = nn.Linear(width, 3)
        self.lr = optimizer_lr

    def forward(self, x):
        return self.head(self.body(x).mean(dim=(2, 3)))

    def training_step(self, batch, _):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, _):
        self.log("loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.lr)


class Data(LightningDataModule):
    """Splits at random, and can be set up for a training alone."""

    def __init__(self, size: int = 8):
        super().__init__()
        self.size = size

    def setup(self, stage):
        assert stage == "fit"
        generator = torch.Generator().manual_seed(3)
        x = torch.randn(40, 1, self.size, self.size, generator=generator)
        self.parts = random_split(TensorDataset(x, torch.arange(40) % 3), [24, 16])

    def train_dataloader(self):
        return DataLoader(self.parts[0], batch_size=8, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.parts[1], batch_size=8)

    def on_after_batch_transfer(self, batch, dataloader_idx):
        return batch[0] / 2, batch[1]
'''

VARIABLES = {
    "class_path": "lightning_interactions.FeatureMapPatches",
    "init_args": {"layer": "body.2", "grid": 4, "border": 1, "n_variables": 3},
}
MONITOR = {
    "class_path": "lightning_interactions.InteractionMonitor",
    "init_args": {"variables": VARIABLES, "n_samples": 5, "n_loss_samples": 8},
}
CONFIG = {
    "seed_everything": 1,
    "model": {"class_path": "explained_study.Net", "init_args": {"width": 5}},
    "data": {"class_path": "explained_study.Data", "init_args": {"size": 8}},
    "trainer": {"max_epochs": 2, "callbacks": [{"class_path": "lightning.pytorch.callbacks.RichProgressBar"}, MONITOR]},
    "ckpt_path": None,
}
FILES = ["epoch=0-step=3.npz", "epoch=1-step=6.npz"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished training of two epochs: its code, its configuration, its checkpoints and what its monitor saw."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "explained_study.py").write_text(STUDY)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        study = importlib.import_module("explained_study")
        from lightning_interactions import FeatureMapPatches, InteractionMonitor  # noqa: PLC0415

        pl.seed_everything(1, verbose=False)
        model, data = study.Net(width=5), study.Data()
        monitor = InteractionMonitor(FeatureMapPatches(**VARIABLES["init_args"]), n_samples=5, n_loss_samples=8)
        trainer = pl.Trainer(
            max_epochs=2,
            accelerator="cpu",
            devices=1,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
            callbacks=[
                monitor,
                ModelCheckpoint(folder / "checkpoints", save_top_k=-1, save_on_train_epoch_end=True),
            ],
        )
        trainer.fit(model, data)
    return folder


@pytest.fixture
def command(trained, tmp_path, monkeypatch):
    """Run the command in the run's folder, with its configuration after some changes."""
    monkeypatch.chdir(trained)

    def run(*words, checkpoint=trained / "checkpoints", config=None, output=tmp_path / "out"):
        path = trained / "config.yaml"
        if config is not None:
            path = tmp_path / "changed.yaml"
            path.write_text(yaml.safe_dump(config))
        words = ["--checkpoint", checkpoint, "--config", path, "-o", output, "--accelerator", "cpu", *words]
        return main(["explain", *map(str, words)])

    return run


def changed(**parts):
    return {key: value for key, value in (CONFIG | parts).items() if value is not ...}


def assert_as_trained(trained, out):
    """One file a checkpoint, equal to the monitor's own of that epoch."""
    files = sorted(out.iterdir())
    assert [file.name for file in files] == FILES
    for epoch, file in enumerate(files, start=1):
        found = Interactions.load(file)
        seen = Interactions.load(trained / "interactions" / f"epoch={epoch:04d}.npz")
        torch.testing.assert_close(found.values, seen.values, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(found.and_, seen.and_, rtol=1e-9, atol=1e-9)
        assert found.threshold == pytest.approx(seen.threshold, rel=1e-9)
        told = {"checkpoint": f"{file.stem}.ckpt", "epoch": epoch - 1, "global_step": 3 * epoch}
        origin = found.provenance.pop("explained")
        assert found.provenance == seen.provenance | told
        content = (trained / "checkpoints" / f"{file.stem}.ckpt").read_bytes()
        assert origin["sha256"] == hashlib.sha256(content).hexdigest()


def test_a_folder_of_checkpoints_gives_what_the_monitor_saw(command, trained, tmp_path, capsys):
    assert command() == 0
    assert_as_trained(trained, tmp_path / "out")
    assert capsys.readouterr().out.count("5 samples, mean order") == 2


FORMS = {
    "monitor": (changed(trainer=..., monitor=MONITOR["init_args"]), ()),
    "monitor with class": (changed(trainer=..., monitor=MONITOR), ()),
    "subcommand": ({"fit": CONFIG}, ()),
    "classes named": (
        changed(model={"width": 5}, data={"size": 8}),
        ("--model", "explained_study.Net", "--data", "explained_study.Data"),
    ),
    "override": (
        changed(model={"class_path": "explained_study.Net"}),
        ("--set", "model.init_args.width=5"),
    ),
    "experiments": (
        changed(
            n=3,
            trainer=...,
            monitor=MONITOR["init_args"]
            | {"variables": VARIABLES | {"init_args": {"layer": "body.2", "grid": 4, "border": 1}}},
        ),
        (),
    ),
    "options alone": (
        changed(trainer=...),
        (
            *("--set", "monitor.n_samples=5"),
            *("--set", "monitor.variables={class_path: lightning_interactions.FeatureMapPatches}"),
            *("--set", "monitor.variables.init_args={layer: body.2, grid: 4, border: 1, n_variables: 3}"),
        ),
    ),
}
"""One configuration in the forms in which it may come, with the words of the call that it needs."""


@pytest.mark.parametrize(("config", "words"), FORMS.values(), ids=FORMS)
def test_configurations_come_in_many_forms(config, words, command, trained, tmp_path):
    assert command(*words, config=config) == 0
    assert_as_trained(trained, tmp_path / "out")


def written(out):
    return {file.name: file.stat().st_mtime_ns for file in sorted(out.iterdir())}


def test_what_is_there_is_skipped(command, trained, tmp_path, capsys):
    out = tmp_path / "out"
    assert command(checkpoint=trained / "checkpoints" / "epoch=0-step=3.ckpt") == 0
    before = written(out)
    assert command(checkpoint=trained) == 0  # the run's folder will do, too

    assert "1 of 2 checkpoints are explained" in capsys.readouterr().out
    assert before.items() <= written(out).items()
    assert_as_trained(trained, out)


def test_after_an_interruption_only_the_rest_is_explained(command, trained, tmp_path, monkeypatch, capsys):
    save = Interactions.save

    def stopped(found, path):
        if path.name == FILES[1]:
            raise SystemExit(9)
        return save(found, path)

    monkeypatch.setattr(Interactions, "save", stopped)
    with pytest.raises(SystemExit):
        command()
    before = written(tmp_path / "out")
    assert list(before) == FILES[:1]
    monkeypatch.setattr(Interactions, "save", save)

    assert command() == 0
    assert "1 of 2 checkpoints are explained" in capsys.readouterr().out
    assert before.items() <= written(tmp_path / "out").items()
    assert_as_trained(trained, tmp_path / "out")


@pytest.fixture
def explained(command, trained, tmp_path, capsys):
    """A copy of the run whose checkpoints are explained beside them."""
    shutil.copytree(trained / "checkpoints", tmp_path / "run" / "checkpoints")
    out = tmp_path / "run" / "interactions"
    assert command(checkpoint=tmp_path / "run", output=out) == 0
    capsys.readouterr()

    def again(*words, **options):
        """The exit status, and the files that were written."""
        before = written(out)
        status = command(*words, **({"checkpoint": tmp_path / "run", "output": out} | options))
        return status, [name for name, time in written(out).items() if before.get(name) != time]

    return again


@pytest.mark.parametrize(("config", "words"), FORMS.values(), ids=FORMS)
def test_the_same_settings_in_another_form_are_the_same(config, words, explained, capsys):
    assert explained(*words, config=config) == (0, [])
    assert capsys.readouterr().out.startswith("2 of 2 checkpoints are explained in ")


def test_a_checkpoint_that_has_changed_is_explained_again(explained, trained, tmp_path, capsys):
    checkpoints = tmp_path / "run" / "checkpoints"
    (checkpoints / "epoch=0-step=3.ckpt").write_bytes((trained / "checkpoints" / "epoch=1-step=6.ckpt").read_bytes())

    assert explained() == (0, FILES[:1])
    first, second = (Interactions.load(tmp_path / "run" / "interactions" / file) for file in FILES)
    assert torch.equal(first.values, second.values)
    assert first.provenance["epoch"] == 1
    said = capsys.readouterr().out
    assert "1 of 2 checkpoints are explained" in said
    assert "epoch=0-step=3.ckpt: it has changed since it was explained; it is explained again." in said
    assert explained() == (0, [])


def with_monitor(**options):
    """The configuration with other options of the monitor; those that are classes' are taken as they are."""
    config = copy.deepcopy(CONFIG)
    config["trainer"]["callbacks"][1]["init_args"] |= options
    return config


@pytest.mark.parametrize(
    ("config", "change"),
    [
        (with_monitor(n_samples=4), "monitor.n_samples: 5 before, now 4"),
        (with_monitor(seed=3), "monitor.seed: 0 before, now 3"),
        (with_monitor(solver="admm"), "solver: 'auto' before, now 'admm'"),
        (with_monitor(output="margin"), "output: 'log_odds' before, now 'margin'"),
        (with_monitor(precision="float64"), "precision: 'float32' before, now 'float64'"),
        (with_monitor(noise_ratio=0.1), "noise_ratio: 0.02 before, now 0.1"),
        (
            with_monitor(variables=VARIABLES | {"init_args": VARIABLES["init_args"] | {"n_variables": 2}}),
            "n_variables: 3 before, now 2",
        ),
        (changed(seed_everything=2), "seed_everything: 1 before, now 2"),
        (
            changed(data={"class_path": "explained_study.Data", "init_args": {"size": 12}}),
            "data.size: 8 before, now 12",
        ),
        (
            changed(model={"class_path": "explained_study.Net", "init_args": {"width": 5, "optimizer_lr": 0.2}}),
            "model.optimizer_lr: None before, now 0.2",
        ),
    ],
)
def test_so_are_all_after_a_change_of_a_setting_that_decides_the_numbers(config, change, explained, capsys):
    assert explained(config=config) == (0, FILES)
    assert capsys.readouterr().out.count(f": settings changed: {change}; it is explained again.") == 2
    assert explained(config=config) == (0, [])


def test_so_are_all_by_another_version(explained, monkeypatch, capsys):
    """Numbers of different versions cannot be compared."""
    monkeypatch.setattr(configuration, "__version__", "99.0")
    assert explained() == (0, FILES)
    assert f": settings changed: version: {__version__} before, now 99.0; it is" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options", [{"mask_batch_size": 3}, {"channels_last": True}, {"every_n_epochs": 7}, {"verbose": False}]
)
def test_other_settings_change_nothing(options, explained):
    assert explained(config=with_monitor(**options)) == (0, [])


def test_a_run_that_was_moved_is_still_explained(explained, command, tmp_path, capsys):
    assert explained() == (0, [])
    moved = (tmp_path / "run").rename(tmp_path / "moved")
    assert command(checkpoint=moved, output=moved / "interactions") == 0
    assert capsys.readouterr().out.count("2 of 2 checkpoints are explained") == 2


@pytest.mark.parametrize("kind", ["of the monitor", "of another kind", "of a newer version", "damaged"])
def test_a_file_that_does_not_say_from_what_it_was_made_is_left(kind, explained, trained, tmp_path, capsys):
    file = tmp_path / "run" / "interactions" / FILES[0]
    if kind == "of the monitor":
        shutil.copy(trained / "interactions" / "epoch=0001.npz", file)
    elif kind == "of another kind":
        found = sparsify(torch.rand(1, 4))
        found.provenance["explained"] = {"settings": "none"}
        found.save(file)
    else:
        file.write_bytes(file.read_bytes()[:-40] if kind == "damaged" else b"PK newer")
    before = file.read_bytes()

    assert explained() == (0, [])
    assert file.read_bytes() == before
    said = capsys.readouterr().out
    assert "1 of 2 checkpoints are explained" in said
    assert f"epoch=0-step=3.ckpt: '{file}' " in said
    assert ", and is left as it is. HINT: remove it" in said

    file.unlink()
    assert explained() == (0, FILES[:1])


def test_a_checkpoint_of_the_same_name_elsewhere_takes_no_file(explained, trained, tmp_path, capsys):
    elsewhere = tmp_path / "elsewhere" / "epoch=0-step=3.ckpt"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes((trained / "checkpoints" / "epoch=1-step=6.ckpt").read_bytes())

    assert explained(checkpoint=elsewhere) == (1, [])
    error = capsys.readouterr().err
    assert "holds the interactions of '../checkpoints/epoch=0-step=3.ckpt'. HINT: name another folder" in error

    shutil.copy(tmp_path / "run" / "checkpoints" / elsewhere.name, elsewhere)
    assert explained(checkpoint=elsewhere) == (0, [])  # the same network


def test_a_bad_checkpoint_is_named_and_the_others_are_explained(command, trained, tmp_path, capsys):
    folder = tmp_path / "mixed"
    folder.mkdir()
    for file in (trained / "checkpoints").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    torch.save({"state_dict": {"other": torch.zeros(1)}}, folder / "a-other.ckpt")
    torch.save({"weights": 1}, folder / "b-foreign.ckpt")
    (folder / "d-damaged.ckpt").write_bytes(b"damaged")
    (folder / "e-cut.ckpt").touch()

    assert command(checkpoint=folder) == 1
    assert_as_trained(trained, tmp_path / "out")
    errors = capsys.readouterr().err
    assert "a-other.ckpt: Error(s) in loading state_dict" in errors
    assert "b-foreign.ckpt: it is no checkpoint of Lightning" in errors
    assert "d-damaged.ckpt: " in errors
    assert "e-cut.ckpt: the file ends too early" in errors


@pytest.mark.parametrize(
    ("config", "words", "message"),
    [
        (changed(model=...), (), "is no configuration of a LightningCLI: it has no `model`"),
        (changed(data=...), (), "no `data`"),
        (changed(trainer={"callbacks": []}), (), "no InteractionMonitor"),
        (changed(model={"width": 5}), (), "`model` of the configuration has no `class_path`. HINT: name the class"),
        (None, ("--set", "nothing"), "`--set` must be KEY=VALUE, got 'nothing'"),
        (None, ("--set", "model.init_args.width=wide"), "does not fit its classes"),
        (changed(model={"class_path": "explained_study.Missing"}), (), "explained_study.Missing"),
        (changed(model={"width": 5}), ("--model", "no.such.Class"), "There is no class 'no.such.Class'"),
    ],
)
def test_a_configuration_that_says_too_little_is_refused(config, words, message, command, capsys):
    assert command(*words, config=config) == 1
    assert message in capsys.readouterr().err


def test_missing_files_are_named(command, tmp_path, capsys):
    assert command(checkpoint=tmp_path / "nowhere") == 1
    assert "`--checkpoint` must be a file, or a folder with *.ckpt files, got" in capsys.readouterr().err


def test_checkpoints_are_taken_in_the_order_of_their_numbers(tmp_path):
    names = ["epoch=2-step=10.ckpt", "epoch=10-step=5.ckpt", "last.ckpt", "1.ckpt", "notes.txt"]
    for name in names:
        (tmp_path / name).touch()

    assert [path.name for path in checkpoints_in(tmp_path)] == ["1.ckpt", *names[:3]]
