"""Overconfidence and margin of a small run, against its held-out samples taken one by one."""

import shutil

import pytest
import torch

from experiments import confidence
from experiments.confidence import held_out_confidence
from experiments.figures.run_folder import RunFolder
from experiments.restore import restore


@pytest.fixture
def run(lenet_home, lenet_run, tmp_path, monkeypatch):
    """A copy of the run, where its data are found."""
    monkeypatch.chdir(lenet_home)
    return RunFolder(shutil.copytree(lenet_run[1], tmp_path / "run"))


@torch.no_grad()
def one_by_one(run, epoch):
    """The mean over the held-out samples, each passed through the network alone."""
    network = restore(run, epoch)
    over, margins = [], []
    for image, target in network.data.test:
        chances = network.module(image[None])[0].softmax(0).tolist()
        true = chances.pop(int(target))
        over.append(max(true, *chances) - (true > max(chances)))
        margins.append(true - max(chances))
    return sum(over) / len(over), sum(margins) / len(margins)


def test_every_measured_epoch_is_asked_about_all_held_out_samples(run):
    found = held_out_confidence(run)

    assert [record["epoch"] for record in found] == run.history.epochs
    for record in found:
        over, margin = one_by_one(run, record["epoch"])
        assert record["overconfidence"] == pytest.approx(over, abs=1e-5)
        assert record["margin"] == pytest.approx(margin, abs=1e-5)
    assert len({record["margin"] for record in found}) == len(found)  # each with weights of its own


def test_a_run_whose_weights_are_gone_is_not_asked(synthetic_run):
    assert held_out_confidence(synthetic_run) == []


def test_what_was_found_is_kept_with_the_run(run, monkeypatch):
    found = held_out_confidence(run)
    monkeypatch.setattr(confidence, "restore", pytest.fail)

    assert held_out_confidence(run) == found


def test_a_run_that_has_gone_on_is_asked_again(run):
    last = run.path / "checkpoints" / f"epoch={run.history.epochs[-1]:04d}.ckpt"
    last.rename(run.path / "later.ckpt")
    before = held_out_confidence(run)
    (run.path / "later.ckpt").rename(last)

    assert len(held_out_confidence(run)) == len(before) + 1
