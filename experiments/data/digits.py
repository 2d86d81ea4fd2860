"""scikit-learn's digits: 1,797 real images that ship inside its wheel."""

from __future__ import annotations

import torch
from lightning.pytorch import LightningDataModule
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset
from torchvision.transforms.v2.functional import resize

from experiments.data.labels import reset_labels

__all__ = ["Digits"]

_N_CLASSES = 10
_LARGEST_PIXEL = 16.0
_HELD_OUT_BATCH = 500


class Digits(LightningDataModule):
    """Handwritten digits, enlarged to colour images of the size that CIFAR networks take.

    Args:
        n_train: images to train on, drawn by ``seed``; the others are held out.
        label_noise: share of the training labels that are reset at random.
        image_size: height and width in pixels; the originals have 8.
        batch_size: images in a batch.
        seed: decides the split and the label noise.
    """

    def __init__(
        self, n_train: int = 500, label_noise: float = 0.05, image_size: int = 32, batch_size: int = 50, seed: int = 0
    ) -> None:
        super().__init__()
        self.n_train = n_train
        self.label_noise = label_noise
        self.image_size = image_size
        self.batch_size = batch_size
        self.seed = seed
        self.reset_indices: list[int] = []
        """Positions in the training set whose label was reset."""

    def setup(self, stage: str) -> None:  # noqa: ARG002  # Lightning's signature
        """Read the images, split them and reset some labels."""
        pixels, labels = load_digits(return_X_y=True)
        small = torch.from_numpy(pixels).float().reshape(-1, 1, 8, 8) / _LARGEST_PIXEL
        images = resize(small, [self.image_size, self.image_size], antialias=True).expand(-1, 3, -1, -1)
        classes = torch.from_numpy(labels).long()
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(self.seed))
        train, held_out = order[: self.n_train], order[self.n_train :]
        noisy, changed = reset_labels(classes[train], self.label_noise, _N_CLASSES, self.seed)
        self.reset_indices = changed.tolist()
        self._train = TensorDataset(images[train], noisy)
        self._held_out = TensorDataset(images[held_out], classes[held_out])

    def train_dataloader(self) -> DataLoader:
        """The training images, shuffled."""
        return DataLoader(self._train, batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        """The held-out images."""
        return DataLoader(self._held_out, batch_size=_HELD_OUT_BATCH)
