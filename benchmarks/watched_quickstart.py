"""Trainings of the quickstart's network with the monitor."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch import Trainer, seed_everything

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the experiments are not installed

from experiments.classifier import Classifier  # noqa: E402
from experiments.data.digits import Digits  # noqa: E402
from experiments.models.vgg import VGG11  # noqa: E402
from lightning_interactions import FeatureMapPatches, InteractionMonitor  # noqa: E402

__all__ = ["EVERY", "N_EXPLAINED", "N_VARIABLES", "train"]


EPOCHS = 60
EVERY = 5
N_EXPLAINED = 24
N_VARIABLES = 8


def train(
    folder: Path, seed: int, label_noise: float = 0.2, weight_decay: float = 5e-4
) -> tuple[Classifier, InteractionMonitor]:
    """The quickstart's network and data, watched: the finished module and its monitor."""
    seed_everything(seed)
    module = Classifier(
        VGG11(num_classes=10, width=0.25),
        partial(torch.optim.SGD, lr=0.01, momentum=0.9, weight_decay=weight_decay),
    )
    variables = FeatureMapPatches("network.features.4", grid=8, border=1, n_variables=N_VARIABLES)
    monitor = InteractionMonitor(variables, every_n_epochs=EVERY, n_samples=N_EXPLAINED)
    Trainer(
        max_epochs=EPOCHS,
        check_val_every_n_epoch=EVERY,
        callbacks=[monitor],
        accelerator="cpu",
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(module, datamodule=Digits(n_train=500, label_noise=label_noise, seed=seed))
    return module.eval(), monitor
