"""A small training that has everything a monitor could disturb, and a place where it leaves nothing behind."""

import warnings
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from lightning_interactions import FeatureMapPatches, InteractionMonitor, refit
from lightning_interactions.callback import monitor, publish
from lightning_interactions.distribution.reference import ReferenceFits

CLASSES = 3


@pytest.fixture(autouse=True)
def _lighter(monkeypatch):
    """Most of a small measurement's time goes into the fits and the pictures, which other tests look at."""
    for module in (monitor, refit):
        monkeypatch.setattr(module, "ReferenceFits", partial(ReferenceFits, bootstraps=10))
    monkeypatch.setattr(Figure, "savefig", lambda _figure, file, **_: file.write(b"picture"))


def draw_data(n, seed):
    """Images with one bright row, at a height that depends on the class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (n,), generator=generator)
    images = torch.randn(n, 1, 8, 8, generator=generator)
    images[torch.arange(n), 0, 2 + labels] += 1.5
    return images, labels


class ConvModule(pl.LightningModule):
    """Batch norm, dropout, momentum; ``poison(module, logits)`` may spoil what it puts out."""

    def __init__(self, classes=CLASSES, poison=None):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Dropout(0.3),
        )
        self.head = nn.Sequential(nn.MaxPool2d(4), nn.Flatten(), nn.Dropout(0.3), nn.Linear(16, classes))
        self.poison = poison
        self.train_metrics = []

    def forward(self, x):
        logits = self.head(self.features(x))
        return logits if self.poison is None else self.poison(self, logits)

    def loss(self, batch):
        # Not `forward`: what is poisoned there must spoil the measurement and not the training.
        return functional.cross_entropy(self.head(self.features(batch[0])), batch[1])

    def training_step(self, batch, _):
        loss = self.loss(batch)
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        self.train_metrics.append(loss.item())
        return loss

    def validation_step(self, batch, _):
        loss = self.loss(batch)
        self.log("val_loss", loss)
        self.train_metrics.append(loss.item())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 1e-2)


@pytest.fixture(scope="session")
def draw():
    return draw_data


@pytest.fixture
def make_module():
    """A module with the same initial weights each time."""

    def make(cls=ConvModule, seed=0, **options):
        torch.manual_seed(seed)
        return cls(**options)

    return make


@pytest.fixture
def conv_module_class():
    return ConvModule


@pytest.fixture
def make_loaders():
    """Training and validation loaders; options go to the loader whose prefix they bear."""

    def make(n_train=24, n_val=12, batch_size=8, shuffle=True, **val_options):
        train = DataLoader(TensorDataset(*draw_data(n_train, 1)), batch_size, shuffle=shuffle)
        return train, DataLoader(TensorDataset(*draw_data(n_val, 2)), batch_size, **val_options)

    return make


@pytest.fixture
def make_monitor():
    def make(*, cls=InteractionMonitor, layer="features.4", variables=None, n_samples=4, **options):
        options = {"n_loss_samples": 10} | options
        if variables is None:
            variables = FeatureMapPatches(layer, grid=4, border=1, n_variables=3)
        return cls(variables, n_samples=n_samples, **options)

    return make


@pytest.fixture
def make_trainer(tmp_path):
    def make(*callbacks, cls=pl.Trainer, **options):
        options = {
            "max_epochs": 2,
            "accelerator": "cpu",
            "devices": 1,
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "log_every_n_steps": 1,
            "default_root_dir": str(tmp_path),
        } | options
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return cls(callbacks=list(callbacks), **options)

    return make


@pytest.fixture
def fit(make_module, make_loaders, make_trainer):
    """Train a module from a fixed seed and return ``(trainer, module)``."""

    def run(*callbacks, module=None, loaders=None, ckpt_path=None, seed=7, **options):
        module = make_module() if module is None else module
        train, val = make_loaders() if loaders is None else loaders
        trainer = make_trainer(*callbacks, **options)
        torch.manual_seed(seed)
        trainer.fit(module, train, val, ckpt_path=ckpt_path)
        return trainer, module

    return run


@pytest.fixture
def quick(monkeypatch):
    """Without pictures and fits: both take longer than a training here, and both see only what was measured."""
    monkeypatch.setattr(publish, "save_pictures", lambda *_: None)
    monkeypatch.setattr(ReferenceFits, "update", lambda *_, **__: {})


@pytest.fixture
def monitor_warnings():
    """The monitor's own warnings among recorded ones."""

    def select(recorded):
        return [str(w.message) for w in recorded if str(w.message).startswith("InteractionMonitor")]

    return select


@pytest.fixture
def assert_same_training():
    """Weights, buffers, optimiser state and every loss of two trainings are bitwise equal."""

    def same(value, other):
        if isinstance(value, torch.Tensor):
            return torch.equal(value, other)
        if isinstance(value, dict):
            return value.keys() == other.keys() and all(same(value[key], other[key]) for key in value)
        if isinstance(value, (list, tuple)):
            return len(value) == len(other) and all(map(same, value, other))
        return value == other

    def check(one, two):
        (trainer, module), (other_trainer, other) = one, two
        assert module.train_metrics == other.train_metrics
        assert len(module.train_metrics) > 0
        assert same(dict(module.state_dict()), dict(other.state_dict()))
        assert same([o.state_dict() for o in trainer.optimizers], [o.state_dict() for o in other_trainer.optimizers])
        for key, value in trainer.callback_metrics.items():
            if not key.startswith("interactions/"):
                assert torch.equal(value, other_trainer.callback_metrics[key]), key

    return check


@pytest.fixture(autouse=True)
def _random_state_kept():
    with torch.random.fork_rng():
        yield


@pytest.fixture(autouse=True)
def _quiet():
    """Lightning's advice about workers and small loaders says nothing here."""
    with warnings.catch_warnings():
        for text in ("does not have many workers", "is smaller than the logging interval", "Checkpoint directory"):
            warnings.filterwarnings("ignore", message=f".*{text}.*")
        yield


@pytest.fixture
def in_folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path
