"""CIFAR-10: 50,000 + 10,000 colour images of 32 × 32 pixels in ten classes."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import check_integrity

from experiments.data.classification import ClassificationData
from experiments.data.dataset import Split
from experiments.data.files import missing, wrong

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Cifar10"]

_HINT = (
    "get cifar-10-python.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html and unpack it there, or let"
    " torchvision do so with --data.init_args.download=true. A file cifar10.npz with x_train, y_train, x_test and"
    " y_test, as Keras hands the data out, will do as well."
)
_SHAPE = (32, 32, 3)


class Cifar10(ClassificationData):
    """CIFAR-10 from ``<root>/cifar-10-batches-py`` (torchvision's layout) or ``<root>/cifar10.npz`` (Keras's arrays).

    Images are ``(3, 32, 32)`` with values 0 … 1.

    Args:
        root: folder under which the data lie.
        download: let torchvision fetch what is missing.
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
        """Fetch the data if that was asked for and they are not there."""
        if self.download and not (self.root / "cifar10.npz").exists():
            CIFAR10(self.root, download=True)

    def read(self) -> tuple[Split, Split]:
        """See :meth:`ClassificationData.read`."""
        arrays, batches = self.root / "cifar10.npz", self.root / CIFAR10.base_folder
        if arrays.exists():
            return _read_arrays(arrays)
        if not batches.exists():
            raise missing(batches, "CIFAR-10", _HINT)
        return self._read_batches(batches)

    def prepare(self, raw: Any) -> Tensor:
        """An image as numbers 0 … 1, channels first."""
        return super().prepare(raw.permute(2, 0, 1))

    def _read_batches(self, folder: Path) -> tuple[Split, Split]:
        listed = [*CIFAR10.train_list, *CIFAR10.test_list, [CIFAR10.meta["filename"], CIFAR10.meta["md5"]]]
        for name, digest in listed:
            if not (folder / name).exists():
                raise missing(folder / name, "CIFAR-10", _HINT)
            if not check_integrity(folder / name, digest):
                raise wrong(folder / name, f"the published file with the MD5 {digest}", "another one")
        parts = (CIFAR10(self.root, train=train) for train in (True, False))
        train, test = (Split(torch.from_numpy(part.data), torch.tensor(part.targets)) for part in parts)
        return train, test


def _read_arrays(path: Path) -> tuple[Split, Split]:
    try:
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError, OSError) as error:
        raise wrong(
            path, "the arrays x_train, y_train, x_test and y_test", f"{type(error).__name__}: {error}"
        ) from error
    for part in ("train", "test"):
        images, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if images.shape[1:] != _SHAPE or images.dtype != np.uint8 or len(labels) != len(images):
            got = f"x_{part} {images.dtype} {images.shape} and y_{part} {labels.shape}"
            raise wrong(path, "uint8 images (samples, 32, 32, 3) and one label for each", got)
    # Keras stores the labels as a column.
    train, test = (
        Split(torch.from_numpy(arrays[f"x_{part}"]), torch.from_numpy(arrays[f"y_{part}"].reshape(-1).astype(np.int64)))
        for part in ("train", "test")
    )
    return train, test
