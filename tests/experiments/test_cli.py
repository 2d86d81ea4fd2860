"""The command line from end to end, on the configuration that `make demo` runs."""

import contextlib
import io
import json
import math
import re
import sys
from pathlib import Path

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import STORE_EVERYTHING_SIZE_GUIDANCE, EventAccumulator

from experiments.cli import main
from lightning_interactions import FeatureMapPatches, InteractionMonitor, Interactions
from lightning_interactions.history import History

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs" / "quickstart.yaml"


@pytest.fixture(autouse=True)
def _command_line(monkeypatch, tmp_path):
    """Lightning compares with the process's own arguments; runs are written where the process stands."""
    monkeypatch.setattr(sys, "argv", ["experiments"])
    monkeypatch.chdir(tmp_path)


def fit(folder, *options):
    return main(
        [
            "fit",
            f"--config={CONFIG}",
            "--trainer.accelerator=cpu",
            "--trainer.enable_progress_bar=false",
            "--trainer.enable_model_summary=false",
            f"--trainer.logger.init_args.save_dir={folder}",
            *options,
        ]
    )


SHORT = (
    "--n=3",
    "--data.init_args.n_train=50",
    "--monitor.n_samples=3",
    "--monitor.n_loss_samples=50",
    "--monitor.every_n_epochs=1",
    "--trainer.max_epochs=2",
    "--trainer.check_val_every_n_epoch=1",
    "--trainer.log_every_n_steps=1",
    "--trainer.limit_val_batches=1",
    "--trainer.num_sanity_val_steps=0",
)


@pytest.fixture(scope="module")
def short_runs(tmp_path_factory):
    """The same short run twice: the command line's object, its folder, and what it printed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["experiments"])
        runs = []
        for name in ("one", "other"):
            folder = tmp_path_factory.mktemp(name)
            torch.manual_seed(len(runs))  # the run's own seed must decide
            with contextlib.redirect_stdout(io.StringIO()) as said:
                cli = fit(folder, *SHORT)
            runs.append((cli, folder / "quickstart" / "version_0", said.getvalue()))
        return runs


def without_seconds(history):
    return [{key: value for key, value in record.items() if key != "seconds"} for record in history]


def test_a_run_leaves_history_interactions_events_and_a_picture(short_runs):
    cli, run, _ = short_runs[0]
    monitor = cli.config_init["fit"].monitor
    folder = run / "interactions"

    assert monitor.folder == folder
    assert {file.name for file in folder.iterdir()} == {
        "epoch=0000.npz",
        "epoch=0001.npz",
        "epoch=0002.npz",
        "history.json",
        "samples.json",
        "strength_over_training.png",
    }
    assert (folder / "strength_over_training.png").read_bytes().startswith(b"\x89PNG")
    history = History.load(folder / "history.json")
    assert history.epochs == monitor.history.epochs == [0, 1, 2]
    for record in history:
        assert record["n_variables"] == 3
        assert math.isfinite(record["mean_order"])
        assert record["n_samples"] == 3
        assert record["failures"] == 0
        found = Interactions.load(folder / f"epoch={record['epoch']:04d}.npz")
        assert (found.n_samples, found.n_variables) == (3, 3)
        assert found.provenance["variables"]["layer"] == "features.4"
        assert (found.matching_error() <= found.noise_bound * (1 + 1e-9)).all()
    assert (run / "config.yaml").exists()
    assert list((run / "checkpoints").glob("*.ckpt"))


def test_the_event_file_has_the_scalars_of_every_measurement(short_runs):
    cli, run, _ = short_runs[0]
    (path,) = run.glob("events.out.tfevents.*")
    events = EventAccumulator(str(path), STORE_EVERYTHING_SIZE_GUIDANCE).Reload()
    expected = [record["mean_order"] for record in cli.config_init["fit"].monitor.history]

    logged = [event.value for event in events.Scalars("interactions/mean_order")]
    assert logged == pytest.approx(expected, rel=1e-6)
    assert "interactions/positive/order_03" in events.Tags()["scalars"]
    assert {"train/loss", "val/loss"} <= set(events.Tags()["scalars"])
    assert "interactions/strength" in events.Tags()["images"]


def test_the_same_seed_gives_the_same_history(short_runs):
    (one, one_run, _), (other, other_run, _) = short_runs
    histories = [without_seconds(cli.config_init["fit"].monitor.history) for cli in (one, other)]

    assert json.dumps(histories[0]) == json.dumps(histories[1])
    for epoch in range(3):
        first, second = (Interactions.load(run / f"interactions/epoch={epoch:04d}.npz") for run in (one_run, other_run))
        assert torch.equal(first.values, second.values)
        assert torch.equal(first.and_, second.and_)
        assert first.provenance == second.provenance


def test_another_seed_gives_another_history(short_runs, tmp_path):
    other = fit(tmp_path, *SHORT, "--trainer.max_epochs=1", "--seed_everything=1")

    histories = [cli.config_init["fit"].monitor.history for cli in (short_runs[0][0], other)]
    assert histories[0][0]["mean_order"] != histories[1][0]["mean_order"]


def test_the_summary_is_printed(short_runs):
    _, run, said = short_runs[0]

    assert "Losses and strength of interactions by order" in said
    assert "Phase: normal: the loss gap is" in said
    assert f"Run:         {run}\n" in said
    assert f"Picture:     {run / 'interactions' / 'strength_over_training.png'}\n" in said
    assert f"TensorBoard: tensorboard --logdir {run.parent}\n" in said


def test_a_fast_dev_run_works_and_leaves_nothing(tmp_path):
    fit(tmp_path, *SHORT, "--trainer.fast_dev_run=true")

    assert list(tmp_path.rglob("*.npz")) == []
    assert list(tmp_path.rglob("*.png")) == []


def test_the_configuration_can_be_printed(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["fit", f"--config={CONFIG}", "--n=5", "--print_config"])

    assert ended.value.code in (0, None)
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["n"] == 5
    assert printed["seed_everything"] == 0
    assert printed["monitor"]["variables"]["class_path"].endswith("FeatureMapPatches")
    assert printed["model"]["network"]["init_args"]["width"] == 0.25


def test_the_number_of_variables_reaches_the_monitor(short_runs):
    monitor = short_runs[0][0].config_init["fit"].monitor

    assert isinstance(monitor, InteractionMonitor)
    assert isinstance(monitor.variables, FeatureMapPatches)
    assert monitor.variables.n_variables == 3


def test_the_quickstart_is_the_recipe_that_was_measured():
    """The early signs (docs/validity.md) were measured with these settings: all three such networks overfit."""
    config = yaml.safe_load(CONFIG.read_text())

    assert config["n"] == 8
    assert config["model"]["network"]["init_args"] == {"num_classes": 10, "width": 0.25}
    assert config["model"]["optimizer"]["init_args"] == {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005}
    assert config["data"]["init_args"] == {"n_train": 500, "label_noise": 0.2, "batch_size": 50}
    assert config["monitor"]["variables"]["init_args"] == {"layer": "features.4", "grid": 8, "border": 1}
    assert config["trainer"]["max_epochs"] % config["monitor"]["every_n_epochs"] == 0


def test_mean_order_falls_until_the_end_of_the_normal_phase(tmp_path):
    """The network, data and seed of the quickstart; six variables, eight images and the first epochs of it."""
    cli = fit(
        tmp_path,
        "--n=6",
        "--monitor.n_samples=8",
        "--monitor.n_loss_samples=200",
        "--monitor.every_n_epochs=5",
        "--trainer.max_epochs=15",
        "--trainer.limit_val_batches=1",
        "--trainer.check_val_every_n_epoch=15",
        "--trainer.num_sanity_val_steps=0",
    )
    history = cli.config_init["fit"].monitor.history
    normal = [record for record in history if record["phase"] == "normal"]
    end = min(normal, key=lambda record: record["held_out_loss"])

    assert history.epochs == [0, 5, 10, 15]
    assert end["epoch"] > 0
    assert end["held_out_loss"] < 0.5 * history[0]["held_out_loss"]
    assert history[0]["mean_order"] > 2.5
    assert end["mean_order"] < history[0]["mean_order"] - 0.5


def test_the_help_can_be_read(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    text = capsys.readouterr().out

    assert len(text.splitlines()) < 400  # Lightning's own has 1,155
    assert text.startswith("usage: python -m experiments fit --config FILE [--config FILE] [options]\n")
    for option in (
        "--n N",
        "init_args.pretrained=FOLDER_OR_HUB_NAME",
        "--trainer.max_epochs",
        "--monitor.variables",
        "--data.help",
        "--ckpt_path",
        "--optimizer",
    ):
        assert option in text
    assert "lightning_interactions.TokenWords" in text
    assert "torch.nn.Threshold" not in text
    experiments = set(re.findall(r"experiments\.(?:models|data)\.\w+\.(\w+)", text))
    networks = {"AlexNet", "Bert", "LeNet", "ResNet20", "VGG11", "VGG13", "VGG16"}
    assert experiments == networks | {"Cifar10", "Cub200", "Digits", "Mnist", "Sst2", "TinyImageNet"}
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "{fit,validate,test,predict}" in capsys.readouterr().out
