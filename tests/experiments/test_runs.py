"""What a run leaves, and how it goes on: checkpoints, records, measurements of training and test samples."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Trainer

from experiments.checkpoints import checkpoint_path
from experiments.in_use import FolderInUseError, FolderLock
from experiments.processor import processor
from experiments.record import surroundings
from lightning_interactions import Interactions
from lightning_interactions.history import History

EPOCHS = [0, 1, 3]


def weights_at(folder, epoch):
    return torch.load(checkpoint_path(folder, epoch), weights_only=True)["state_dict"]


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_weights_are_kept_at_every_measured_epoch(lenet_run):
    cli, folder = lenet_run

    assert sorted(file.name for file in (folder / "checkpoints").iterdir()) == [
        *(f"epoch={epoch:04d}.ckpt" for epoch in EPOCHS),
        "last.ckpt",
    ]
    assert [file.name for file in sorted((folder / "interactions").glob("*.npz"))] == [
        f"epoch={epoch:04d}.npz" for epoch in EPOCHS
    ]
    assert same(weights_at(folder, 3), cli.model.state_dict())
    assert not same(weights_at(folder, 0), weights_at(folder, 1))
    assert "optimizer_states" not in torch.load(checkpoint_path(folder, 3), weights_only=True)


def test_a_run_that_was_interrupted_goes_on_as_if_it_had_not_been(lenet_run, tmp_path_factory, write_mnist, fit_lenet):
    _, folder = lenet_run
    home = tmp_path_factory.mktemp("interrupted")
    write_mnist(home / "data", n_train=300, n_test=100)
    fit_lenet(home, "--trainer.max_epochs=2")
    saved = torch.load(home / "runs" / "lenet_mnist" / "small-seed0" / "checkpoints" / "last.ckpt", weights_only=True)
    before = saved["callbacks"]["RunRecord"]["seconds"]
    resumed = home / "runs" / "lenet_mnist" / "small-seed0"
    assert not checkpoint_path(resumed, 3).exists()
    fit_lenet(home, "--ckpt_path=last")

    histories = [History.load(run / "interactions" / "history.json") for run in (folder, resumed)]
    assert histories[1].epochs == EPOCHS
    assert [record["global_step"] for record in histories[1]] == [record["global_step"] for record in histories[0]]
    assert same(weights_at(folder, 1), weights_at(resumed, 1))
    for part in ("train", "test"):
        assert (resumed / "interactions" / part / "epoch=0003.npz").exists()
    # The order of batches after a resume is another one, so the last weights are near, not equal.
    record = json.loads((resumed / "run.json").read_text())
    assert record["epochs"] == 3
    assert processor() in record["machine"]
    assert record["seconds"] > before > 0


@pytest.fixture(scope="module")
def short(tmp_path_factory, write_mnist, fit_lenet):
    """A run of one epoch that has ended: its home and its folder."""
    home = tmp_path_factory.mktemp("short")
    write_mnist(home / "data", n_train=300, n_test=100)
    fit_lenet(home, "--trainer.max_epochs=1")
    return home, home / "runs" / "lenet_mnist" / "small-seed0"


def test_a_resume_with_nothing_left_to_train_changes_no_record(short, fit_lenet):
    home, folder = short
    before = json.loads((folder / "run.json").read_text())
    assert before["metrics"]["train/loss"] > 0
    fit_lenet(home, "--trainer.max_epochs=1", "--ckpt_path=last")

    assert json.loads((folder / "run.json").read_text()) == before


def test_a_run_that_is_validated_keeps_the_configuration_of_its_training(short, fit_lenet):
    home, folder = short
    kept = {name: (folder / name).read_text() for name in ("config.yaml", "run.json", "data.json")}
    fit_lenet(home, f"--ckpt_path={folder / 'checkpoints' / 'last.ckpt'}", command="validate")

    assert {name: (folder / name).read_text() for name in kept} == kept


def test_a_training_that_was_cut_off_after_its_last_epoch_loses_nothing(short, fit_lenet):
    home, folder = short
    whole = json.loads((folder / "run.json").read_text())
    cut_off = {key: whole[key] for key in whole.keys() - {"metrics", "seconds", "epochs"}}
    (folder / "run.json").write_text(json.dumps(cut_off | {"finished": False, "date": "of the training"}))
    fit_lenet(home, "--trainer.max_epochs=1", "--ckpt_path=last")

    record = json.loads((folder / "run.json").read_text())
    assert record["metrics"] == whole["metrics"]
    assert 0 < record["seconds"] <= whole["seconds"]
    assert (record["finished"], record["epochs"], record["date"]) == (True, 1, "of the training")


def test_the_weights_of_an_epoch_are_kept_before_a_resume_can_pass_it(tmp_path, write_mnist, monkeypatch, fit_lenet):
    write_mnist(tmp_path / "data", n_train=300, n_test=100)
    save = Trainer.save_checkpoint

    def killed(trainer, path, *arguments, **options):
        if Path(path).name == "last.ckpt":
            msg = "cut off"
            raise RuntimeError(msg)
        save(trainer, path, *arguments, **options)

    monkeypatch.setattr(Trainer, "save_checkpoint", killed)
    with pytest.raises(RuntimeError, match="cut off"):
        fit_lenet(tmp_path, "--trainer.max_epochs=1")
    assert checkpoint_path(tmp_path / "runs" / "lenet_mnist" / "small-seed0", 1).exists()


def test_two_processes_do_not_train_in_one_folder(short, in_use, fit_lenet):
    home, folder = short
    config = (folder / "config.yaml").read_text()
    process = in_use(folder)
    with pytest.raises(FolderInUseError, match=f"in use by process {process.pid}"):
        fit_lenet(home, "--trainer.max_epochs=2", "--ckpt_path=last")

    assert (folder / "config.yaml").read_text() == config
    assert not checkpoint_path(folder, 2).exists()


def test_the_folder_is_held_while_the_training_lasts_and_free_afterwards(
    tmp_path, write_mnist, in_use, monkeypatch, fit_lenet
):
    write_mnist(tmp_path / "data", n_train=300, n_test=100)
    held = []
    hold, release = FolderLock.hold, FolderLock.release
    monkeypatch.setattr(FolderLock, "hold", lambda lock: (hold(lock), held.append(True))[0])
    monkeypatch.setattr(FolderLock, "release", lambda lock: (release(lock), held.append(False))[0])
    monkeypatch.setattr(Trainer, "save_checkpoint", lambda *_, **__: held.append("training"))
    fit_lenet(tmp_path, "--trainer.max_epochs=1")

    assert held[0] is True
    assert held[-1] is False
    assert held[1] == "training"
    in_use(tmp_path / "runs" / "lenet_mnist" / "small-seed0")


def test_a_resume_without_a_checkpoint_starts_anew(tmp_path_factory, write_mnist, fit_lenet):
    home = tmp_path_factory.mktemp("nothing yet")
    write_mnist(home / "data", n_train=300, n_test=100)
    cli = fit_lenet(home, "--ckpt_path=last", "--trainer.max_epochs=1")

    assert cli.trainer.current_epoch == 1


@pytest.mark.usefixtures("lenet_run")
def test_a_finished_run_is_not_overwritten_by_mistake(lenet_home, fit_lenet):
    with pytest.raises(FileExistsError, match=r"'runs/lenet_mnist/small-seed0' is not empty. HINT: .*--ckpt_path last"):
        fit_lenet(lenet_home)


def test_the_seed_names_the_folder_and_decides_the_data(lenet_run, lenet_home, fit_lenet):
    cli, folder = lenet_run
    other = fit_lenet(lenet_home, "--seed_everything=1", "--trainer.max_epochs=1")

    records = [json.loads((run / "data.json").read_text()) for run in (folder, folder.parent / "small-seed1")]
    assert [record["seed"] for record in records] == [0, 1]
    assert records[0]["train_rows"] != records[1]["train_rows"]
    assert records[0]["reset_indices"] != records[1]["reset_indices"]
    assert (cli.datamodule.seed, other.datamodule.seed) == (0, 1)


def test_a_seed_of_the_data_wins(lenet_home, fit_lenet):
    cli = fit_lenet(lenet_home, "--seed_everything=2", "--data.init_args.seed=7", "--trainer.max_epochs=1")

    assert cli.datamodule.seed == 7


def test_the_similarity_is_measured_with_the_settings_of_the_monitor(lenet_home, fit_lenet):
    cli = fit_lenet(lenet_home, "--seed_everything=3", "--monitor.precision=float64", "--monitor.solver=none")
    parts = cli.config_init["fit"].similarity.monitors

    assert [part.settings for part in parts] == [cli.config_init["fit"].monitor.settings] * 2
    assert all(part.interactions.provenance["precision"] == "float64" for part in parts)


def test_what_was_trained_on_is_written_down(lenet_run):
    cli, folder = lenet_run
    record = json.loads((folder / "data.json").read_text())

    assert record["reset_indices"] == cli.datamodule.reset_indices
    assert len(record["reset_indices"]) == 5  # five per cent of 100
    assert record["train_rows"] == cli.datamodule.train.rows
    assert len(set(record["train_rows"])) == 100
    assert len(set(record["test_rows"])) == 60
    assert record["at_hand"] == {"train": 300, "test": 100, "classes": 10}
    assert record["similarity"] == {"train": [0, 0, 0, 1, 1, 1], "test": [0, 0, 0, 1, 1, 1]}


def test_the_surroundings_are_written_down(lenet_run):
    _, folder = lenet_run
    record = json.loads((folder / "run.json").read_text())

    assert record["finished"] is True
    assert record["epochs"] == 3
    assert processor() in record["machine"]
    assert record["seconds"] > 0
    assert record["versions"]["torch"] == torch.__version__.split("+")[0]
    assert {"commit", "date", "machine", "python", "command"} <= set(record)
    assert record["metrics"]["train/loss"] > 0


def test_the_commit_is_that_of_the_start_whatever_is_committed_meanwhile(monkeypatch):
    before = surroundings()["commit"]
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout="another"))
    assert surroundings()["commit"] == before


def test_training_and_test_samples_are_measured_at_the_same_positions(lenet_run):
    cli, folder = lenet_run
    found = {part: Interactions.load(folder / "interactions" / part / "epoch=0003.npz") for part in ("train", "test")}
    positions = [tuple(map(tuple, draw["positions"])) for part in found.values() for draw in part.provenance["draws"]]

    assert [len(part) for part in found.values()] == [6, 6]
    assert len(set(positions)) == 1
    assert len(set(positions[0])) == 3
    assert not torch.equal(found["train"].values, found["test"].values)
    assert found["train"].provenance["variables"]["drawn"] == "for one sample"
    # What is stored is the network's output on images of these classes.
    data, similarity = cli.datamodule, cli.config_init["fit"].similarity
    inputs, targets = similarity.monitors[0].samples
    with torch.no_grad():
        logits = cli.model.eval()(inputs).double()
    rows = torch.arange(6)
    others = logits.masked_fill(torch.nn.functional.one_hot(targets, 10).bool(), -torch.inf).logsumexp(dim=1)
    torch.testing.assert_close(found["train"].values[:, -1], logits[rows, targets] - others, rtol=1e-4, atol=1e-5)
    assert not set(data.reset_indices) & {
        row for row, (image, _) in enumerate(data.train) if any(torch.equal(image, other) for other in inputs)
    }
