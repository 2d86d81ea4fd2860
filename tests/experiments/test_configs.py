"""Every configuration, at every size, runs on data in the owners' layouts."""

import sys

import pytest
import yaml

from experiments.cli import main
from experiments.schedule import ScheduledMonitor
from experiments.sizes import CONFIGS, SIZES, config_files

RUNS = (
    "alexnet_cub200",
    "alexnet_tiny_imagenet",
    "bert_medium_sst2",
    "lenet_mnist",
    "lenet_tiny_imagenet",
    "minilm_sst2",
    "resnet20_mnist",
    "vgg11_cifar10",
    "vgg13_cub200",
    "vgg16_cub200",
)
# A batch of the paper's size takes minutes on a processor, and so do 224-pixel images in the wide networks.
CHEAP = (
    "--n=2",
    "--monitor.n_samples=2",
    "--monitor.n_loss_samples=2",
    "--data.init_args.batch_size=2",
    "--data.init_args.num_workers=0",
    "--similarity.samples_per_class=1",
    "--similarity.n_classes=2",
    "--trainer.accelerator=cpu",
    "--trainer.fast_dev_run=true",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
)
NARROW = {
    "vgg11_cifar10": ["--model.network.init_args.width=0.125"],
    "vgg13_cub200": ["--model.network.init_args.width=0.125", "--data.init_args.image_size=64"],
    "vgg16_cub200": ["--model.network.init_args.width=0.125", "--data.init_args.image_size=64"],
    "alexnet_cub200": ["--model.network.init_args.width=0.125"],
    "alexnet_tiny_imagenet": ["--model.network.init_args.width=0.125"],
    "resnet20_mnist": ["--model.network.init_args.width=0.25"],
    "bert_medium_sst2": ["--model.network.init_args.config.num_hidden_layers=2"],
}
FEWER = {"alexnet_tiny_imagenet": ["--data.init_args.n_train=10"]}  # more than there are in miniature
CASES = [(run, size) for run in RUNS for size in SIZES if config_files(run, size)]


def test_these_are_all_configurations():
    assert {file.stem for file in CONFIGS.glob("*.yaml")} == {*RUNS, "quickstart"}
    assert {file.stem for file in (CONFIGS / "small").glob("*.yaml")} == set(RUNS)


@pytest.mark.parametrize(("run", "size"), CASES)
def test_it_runs(run, size, miniature, monkeypatch):
    monkeypatch.chdir(miniature)
    monkeypatch.setattr(sys, "argv", ["experiments"])
    before = sorted(miniature.rglob("*"))
    narrow = (FEWER if size == "small" else NARROW).get(run, [])
    cli = main(["fit", *(f"--config={file}" for file in config_files(run, size)), *CHEAP, *narrow])

    monitor = cli.config_init["fit"].monitor
    assert isinstance(monitor, ScheduledMonitor)
    assert cli.trainer.global_step == 1
    assert monitor.history[0]["failures"] == 0
    assert monitor.history[0]["n_samples"] == 2
    assert monitor.history[0]["l1"] > 0
    assert sorted(miniature.rglob("*")) == before  # a rehearsal leaves nothing


@pytest.mark.parametrize(("run", "size"), CASES)
def test_the_last_epoch_and_the_untrained_network_are_measured(run, size):
    config = {}
    for file in config_files(run, size):
        for section, settings in yaml.safe_load(file.read_text()).items():
            config[section] = config.get(section, {}) | settings if isinstance(settings, dict) else settings

    measured = config["monitor"]["at_epochs"]
    assert config["size"] == size
    assert measured == sorted(set(measured))
    assert measured[0] == 0
    assert measured[-1] == config["trainer"]["max_epochs"]
    # Figure 6 needs weights and interactions of the same epochs.
    assert set(config.get("similarity", {}).get("at_epochs", [])) <= set(measured)


def test_paper_size_has_the_papers_settings():
    for run in RUNS:
        config = yaml.safe_load((CONFIGS / f"{run}.yaml").read_text())
        variables = config["monitor"]["variables"]["init_args"]
        assert config["n"] == 10
        assert config["monitor"]["n_samples"] == 50
        if "sst2" not in run:
            assert (variables["grid"], variables["border"]) == (8, 1)
        noise = {"mnist": 0.01, "cifar10": 0.01, "cub200": 0.05}.get(run.split("_")[-1])
        assert config["data"]["init_args"].get("label_noise") == noise
