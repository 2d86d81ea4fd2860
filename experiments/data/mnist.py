"""MNIST: 60,000 + 10,000 handwritten digits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torchvision.datasets import MNIST
from torchvision.transforms.v2.functional import resize

from experiments.data.classification import ClassificationData
from experiments.data.dataset import Split, check_labels
from experiments.data.files import Published, is_whole

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Mnist"]

_FOLDER = "MNIST/raw"
_PARTS = ("train", "t10k")
_SHAPE = (28, 28)
_CLASSES = range(10)
_UNSIGNED_BYTES = 8


class Mnist(ClassificationData):
    """MNIST from ``<root>/MNIST/raw`` (torchvision's layout), resized as the paper does (Appendix I.1).

    Images are ``(1, image_size, image_size)`` with values 0 … 1.

    Args:
        root: folder under which the data lie.
        download: let torchvision fetch the data if they are missing or damaged.
        image_size: height and width in pixels; the originals have 28.
        **options: as for :class:`ClassificationData`.
    """

    def __init__(
        self,
        root: str = "data",
        *,
        download: bool = False,
        image_size: int = 32,
        **options: Any,
    ) -> None:
        super().__init__(root, **options)
        self.download = download
        self.image_size = image_size

    def prepare_data(self) -> None:
        """Fetch the data if that was asked for and they are not there, or not whole."""
        published = _published(self.root)
        if self.download and not is_whole(lambda: [_read_part(self.root, part, published) for part in _PARTS]):
            published.fetch(lambda root: MNIST(root, download=True), self.root, _FOLDER, MNIST.mirrors)

    def read(self) -> tuple[Split, Split]:
        """See :meth:`ClassificationData.read`."""
        published = _published(self.root)
        train, test = (self._split(*_read_part(self.root, part, published)) for part in _PARTS)
        return train, test

    def _split(self, images: Tensor, labels: Tensor) -> Split:
        # All at once is much faster than one by one.
        return Split(resize(images.unsqueeze(1), [self.image_size] * 2, antialias=True), labels)


def _published(root: Path) -> Published:
    return Published(
        "MNIST",
        f"get the four files from http://yann.lecun.com/exdb/mnist/ and unpack them in '{root / _FOLDER}'.",
        can_be_fetched=True,
    )


def _read_part(root: Path, part: str, published: Published) -> tuple[Tensor, Tensor]:
    """Images ``(samples, 28, 28)`` and labels ``(samples,)`` as they are stored."""
    images_path, labels_path = (root / _FOLDER / f"{part}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1"))
    images, labels = _read_idx(images_path, 3, published), _read_idx(labels_path, 1, published).long()
    if tuple(images.shape[1:]) != _SHAPE or not len(images):
        raise published.wrong(images_path, "images of the shape (samples, 28, 28)", f"{tuple(images.shape)}")
    if len(labels) != len(images):
        raise published.wrong(labels_path, f"{len(images)} labels, one for each image", f"{len(labels)}")
    check_labels(labels, _CLASSES, labels_path, published)
    return images, labels


def _read_idx(path: Path, n_axes: int, published: Published) -> Tensor:
    """An array of bytes; an IDX file says in its head how many follow."""
    if not path.is_file():
        raise published.missing(path)
    content = path.read_bytes()
    start = 4 + 4 * n_axes
    if len(content) < start or content[:4] != bytes([0, 0, _UNSIGNED_BYTES, n_axes]):
        got = f"a file that starts with {content[:4].hex()}" if content else "an empty file"
        raise published.wrong(path, f"an IDX array of bytes with {n_axes} axes", got)
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    if len(content) != start + math.prod(shape):
        raise published.wrong(path, f"{start + math.prod(shape)} bytes, as its head says", f"{len(content)} bytes")
    return torch.from_numpy(np.frombuffer(bytearray(content), np.uint8, offset=start).reshape(shape))
