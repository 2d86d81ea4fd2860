"""scikit-learn's digits: 1,797 real images that ship inside its wheel."""

from __future__ import annotations

from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from experiments.data.classification import ClassificationData
from experiments.data.dataset import Split, draw_subset

__all__ = ["Digits"]

_LARGEST_PIXEL = 16.0


class Digits(ClassificationData):
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
        super().__init__(n_train=n_train, label_noise=label_noise, batch_size=batch_size, seed=seed)
        self.image_size = image_size

    def read(self) -> tuple[Split, Split]:
        """All images, for either set; :meth:`subsets` parts them."""
        pixels, labels = load_digits(return_X_y=True)
        small = torch.from_numpy(pixels).float().reshape(-1, 1, 8, 8) / _LARGEST_PIXEL
        images = resize(small, [self.image_size, self.image_size], antialias=True).expand(-1, 3, -1, -1)
        whole = Split(images, torch.from_numpy(labels).long())
        return whole, whole

    def subsets(self, train: Split, test: Split) -> tuple[Tensor, Tensor]:
        """Some images to train on; all others are held out."""
        order = draw_subset(len(train), len(test), self.seed)
        return order[: self.n_train], order[self.n_train :]

    def prepare(self, raw: Any) -> Tensor:
        """An image, which has numbers 0 … 1 already."""
        return raw
