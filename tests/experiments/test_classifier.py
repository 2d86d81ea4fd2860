"""The training loop."""

import math
from functools import partial

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from experiments.classifier import Classifier

IMAGES = torch.randn(24, 5, generator=torch.Generator().manual_seed(0))
LABELS = (IMAGES[:, 0] > 0).long() + (IMAGES[:, 1] > 0).long()


@pytest.fixture
def loader():
    return DataLoader(TensorDataset(IMAGES, LABELS), batch_size=8)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Classifier(nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 3)), partial(torch.optim.SGD, lr=0.3))


@pytest.fixture
def trainer(tmp_path):
    def make(epochs):
        return Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )

    return make


def slow_loss(logits, labels):
    """Cross-entropy and accuracy, sample by sample."""
    losses, hits = [], []
    for row, label in zip(logits.double().tolist(), labels.tolist(), strict=True):
        losses.append(math.log(sum(math.exp(z) for z in row)) - row[label])
        hits.append(row.index(max(row)) == label)
    return sum(losses) / len(losses), sum(hits) / len(hits)


def test_it_learns(model, loader, trainer):
    before = slow_loss(model(IMAGES).detach(), LABELS)
    trainer(30).fit(model, loader, loader)
    after = slow_loss(model(IMAGES).detach(), LABELS)

    assert after[0] < 0.5 * before[0]
    assert after[1] > 0.9


def test_losses_and_accuracies_are_logged(model, loader, trainer):
    trainer_ = trainer(1)
    trainer_.validate(model, loader, verbose=False)
    loss, accuracy = slow_loss(model(IMAGES).detach(), LABELS)

    assert trainer_.callback_metrics["val/loss"].item() == pytest.approx(loss, rel=1e-5)
    assert trainer_.callback_metrics["val/accuracy"].item() == pytest.approx(accuracy)

    trainer_.fit(model, loader, loader)
    assert {"train/loss", "train/accuracy", "val/loss", "val/accuracy"} <= set(trainer_.callback_metrics)


def test_the_optimiser_is_the_one_asked_for(model):
    optimizer = model.configure_optimizers()

    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.param_groups[0]["lr"] == 0.3
    assert {id(p) for p in optimizer.param_groups[0]["params"]} == {id(p) for p in model.parameters()}


def test_sgd_is_the_default_optimiser():
    assert type(Classifier(nn.Linear(2, 2)).configure_optimizers()) is torch.optim.SGD


def test_forward_is_the_network(model):
    assert torch.equal(model(IMAGES), model.network(IMAGES))
