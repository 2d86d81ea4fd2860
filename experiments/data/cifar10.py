"""CIFAR-10: 50,000 + 10,000 colour images of 32 × 32 pixels in ten classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import calculate_md5, check_integrity

from experiments.data.classification import ClassificationData
from experiments.data.dataset import Split, check_labels
from experiments.data.files import Published, is_whole

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Cifar10"]

_SHAPE = (32, 32, 3)
_CLASSES = range(10)


class Cifar10(ClassificationData):
    """CIFAR-10 from ``<root>/cifar-10-batches-py`` (torchvision's layout) or ``<root>/cifar10.npz`` (Keras's arrays).

    Images are ``(3, 32, 32)`` with values 0 … 1.

    Args:
        root: folder under which the data lie.
        download: let torchvision fetch the data if they are missing or damaged.
        **options: as for :class:`ClassificationData`.
    """

    def __init__(
        self,
        root: str = "data",
        *,
        download: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(root, **options)
        self.download = download

    def prepare_data(self) -> None:
        """Fetch the data if that was asked for and they are not there, or not whole."""
        published, folder = _published(self.root), CIFAR10.base_folder
        if not self.download or (self.root / "cifar10.npz").exists():
            return
        if not is_whole(lambda: _check_batches(self.root / folder, published)):
            published.fetch(lambda root: CIFAR10(root, download=True), self.root, folder, [CIFAR10.url])

    def read(self) -> tuple[Split, Split]:
        """See :meth:`ClassificationData.read`."""
        published, arrays = _published(self.root), self.root / "cifar10.npz"
        return _read_arrays(arrays, published) if arrays.exists() else self._read_batches(published)

    def prepare(self, raw: Any) -> Tensor:
        """An image as numbers 0 … 1, channels first."""
        return super().prepare(raw.permute(2, 0, 1))

    def _read_batches(self, published: Published) -> tuple[Split, Split]:
        _check_batches(self.root / CIFAR10.base_folder, published)
        parts = (CIFAR10(self.root, train=train) for train in (True, False))
        train, test = (Split(torch.from_numpy(part.data), torch.tensor(part.targets)) for part in parts)
        return train, test


def _check_batches(folder: Path, published: Published) -> None:
    """Refuse files of torchvision's layout that are missing or not the published ones."""
    if not folder.is_dir():
        raise published.missing(folder)
    listed = [*CIFAR10.train_list, *CIFAR10.test_list, [CIFAR10.meta["filename"], CIFAR10.meta["md5"]]]
    for name, digest in listed:
        path = folder / name
        if not path.is_file():
            raise published.missing(path)
        if not check_integrity(path, digest):
            got = f"one of {path.stat().st_size} bytes with the MD5 {calculate_md5(path)}"
            raise published.wrong(path, f"the published file with the MD5 {digest}", got)


def _published(root: Path) -> Published:
    return Published(
        "CIFAR-10",
        f"get cifar-10-python.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html and unpack it in '{root}'."
        f" A file '{root / 'cifar10.npz'}' with x_train, y_train, x_test and y_test, as Keras hands the data out, will"
        f" do as well.",
        can_be_fetched=True,
    )


def _read_arrays(path: Path, published: Published) -> tuple[Split, Split]:
    try:
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    except Exception as error:  # NumPy and its zip library name a damaged archive in a dozen ways
        got = f"{type(error).__name__}: {error}"
        raise published.wrong(path, "the arrays x_train, y_train, x_test and y_test", got) from error
    train, test = (
        _checked(part, arrays[f"x_{part}"], arrays[f"y_{part}"], path, published) for part in ("train", "test")
    )
    return train, test


def _checked(part: str, images: np.ndarray, labels: np.ndarray, path: Path, published: Published) -> Split:
    is_images = images.dtype == np.uint8 and images.shape[1:] == _SHAPE and len(images) > 0
    # Keras stores the labels as a column.
    is_labels = np.issubdtype(labels.dtype, np.integer) and labels.shape in (images.shape[:1], (*images.shape[:1], 1))
    if not (is_images and is_labels):
        got = f"x_{part} {images.dtype} {images.shape} and y_{part} {labels.dtype} {labels.shape}"
        raise published.wrong(path, "uint8 images (samples, 32, 32, 3) and one label for each, a whole number", got)
    targets = torch.from_numpy(labels.reshape(-1).astype(np.int64))
    check_labels(targets, _CLASSES, path, published, f"y_{part} with labels")
    return Split(torch.from_numpy(images), targets)
