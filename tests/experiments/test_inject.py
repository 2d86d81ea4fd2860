"""Injection into a really trained network: the measurements of Figs. 3, 4 and 8."""

import json
import sys
from pathlib import Path

import pytest
import torch

from experiments.cli import main
from experiments.figures.run_folder import RunFolder
from experiments.inject import inject
from experiments.restore import restore
from lightning_interactions import Interactions

CONFIG = Path(__file__).parents[2] / "configs" / "quickstart.yaml"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A narrow VGG-11 trained on digits for one epoch, three variables, four images."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        patch.setattr(sys, "argv", ["experiments"])
        for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
            patch.setenv(name, "0")
        main(
            [
                "fit",
                f"--config={CONFIG}",
                "--n=3",
                "--data.init_args.n_train=50",
                "--monitor.n_samples=4",
                "--monitor.n_loss_samples=50",
                "--monitor.every_n_epochs=1",
                "--trainer.max_epochs=1",
                "--trainer.accelerator=cpu",
                "--trainer.limit_val_batches=1",
                "--trainer.num_sanity_val_steps=0",
                "--trainer.check_val_every_n_epoch=1",
                "--trainer.log_every_n_steps=1",
                "--trainer.enable_progress_bar=false",
                "--trainer.enable_model_summary=false",
                f"--trainer.logger.init_args.save_dir={folder}",
            ]
        )
    return RunFolder(folder / "quickstart" / "version_0")


@pytest.fixture(scope="module")
def index(run):
    return inject(run, weight_sigmas=[0.1, 0.4], fgsm_sigmas=[0.01, 0.05], epoch=1)


def test_the_clean_network_is_the_one_that_was_measured(run, index):
    stored, clean = run.interactions(1), Interactions.load(run.injected() / "clean.npz")

    assert index["epoch"] == 1
    assert clean.values == pytest.approx(stored.values, rel=1e-4, abs=1e-5)
    assert clean.provenance["draws"] == stored.provenance["draws"]


def test_every_disturbed_network_is_kept(run, index):
    assert json.loads((run.injected() / "index.json").read_text()) == index
    assert [(step["kind"], step["sigma"]) for step in index["steps"]] == [
        ("weight_noise", 0.1),
        ("weight_noise", 0.4),
        ("fgsm", 0.01),
        ("fgsm", 0.05),
    ]
    for step in index["steps"]:
        found = Interactions.load(run.injected() / step["file"])
        assert found.provenance["variables"]["drawn"] == "before"


def test_the_variables_are_the_same_and_the_values_are_not(run, index):
    clean = Interactions.load(run.injected() / "clean.npz")
    moved = {}
    for step in index["steps"]:
        found = Interactions.load(run.injected() / step["file"])
        assert found.provenance["draws"] == clean.provenance["draws"]
        moved[step["kind"], step["sigma"]] = (found.values - clean.values).abs().mean().item()

    assert moved["weight_noise", 0.4] > moved["weight_noise", 0.1] > 0
    assert moved["fgsm", 0.05] > moved["fgsm", 0.01] > 0


def test_fgsm_lowers_the_log_odds_of_the_true_class(run, index):
    clean = Interactions.load(run.injected() / "clean.npz")
    last = Interactions.load(run.injected() / index["steps"][-1]["file"])
    assert (last.values[:, -1] < clean.values[:, -1]).all()


def test_the_noise_is_relative_to_each_tensor(run):
    restored = restore(run, 1)
    before = {name: weights.clone() for name, weights in restored.module.named_parameters()}
    folder = run.path / "again"
    run.injected = lambda: folder
    try:
        inject(run, weight_sigmas=[0.4], fgsm_sigmas=[], epoch=1)
    finally:
        del run.injected
    first, again = (Interactions.load(path / "weight_noise_0.4000.npz") for path in (run.injected(), folder))
    assert torch.equal(first.values, again.values)  # the same seed, the same noise, and no trace of the first time
    assert all(torch.equal(weights, before[name]) for name, weights in restored.module.named_parameters())


def test_another_network_than_the_stored_one_is_refused(run):
    checkpoint = run.path / "checkpoints" / "epoch=0001.ckpt"
    kept = checkpoint.read_bytes()
    content = torch.load(checkpoint, weights_only=True)
    content["state_dict"] = {name: 1.5 * weights for name, weights in content["state_dict"].items()}
    torch.save(content, checkpoint)
    try:
        with pytest.raises(RuntimeError, match="does not repeat the outputs stored during the training"):
            restore(run, 1)
    finally:
        checkpoint.write_bytes(kept)


def test_a_missing_checkpoint_is_named(run):
    with pytest.raises(FileNotFoundError, match="has no checkpoint of epoch 7, only"):
        restore(run, 7)
