"""MNIST: 60,000 + 10,000 handwritten digits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from torchvision.datasets import MNIST
from torchvision.transforms.v2.functional import resize

from experiments.data.classification import ClassificationData
from experiments.data.dataset import Split
from experiments.data.files import missing, wrong

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Mnist"]

_HINT = (
    "get the four files from http://yann.lecun.com/exdb/mnist/ and unpack them there, or let torchvision do so with"
    " --data.init_args.download=true."
)
_FILES = {
    "train-images-idx3-ubyte": 3,
    "train-labels-idx1-ubyte": 1,
    "t10k-images-idx3-ubyte": 3,
    "t10k-labels-idx1-ubyte": 1,
}
"""Names, and the number of axes of the array in each."""
_UNSIGNED_BYTES = 8


class Mnist(ClassificationData):
    """MNIST from ``<root>/MNIST/raw`` (torchvision's layout), resized as the paper does (Appendix I.1).

    Images are ``(1, image_size, image_size)`` with values 0 … 1.

    Args:
        root: folder under which the data lie.
        download: let torchvision fetch what is missing.
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
        """Fetch the data if that was asked for and they are not there."""
        if self.download:
            MNIST(self.root, download=True)

    def read(self) -> tuple[Split, Split]:
        """See :meth:`ClassificationData.read`."""
        folder = self.root / "MNIST" / "raw"
        for name, n_axes in _FILES.items():
            if not (folder / name).exists():
                raise missing(folder / name, "MNIST", _HINT)
            _check_idx(folder / name, n_axes)
        parts = (MNIST(self.root, train=train) for train in (True, False))
        # All at once is much faster than one by one.
        train, test = (
            Split(resize(part.data.unsqueeze(1), [self.image_size] * 2, antialias=True), part.targets) for part in parts
        )
        return train, test


def _check_idx(path: Path, n_axes: int) -> None:
    """An IDX file says in its head how many bytes follow."""
    content = path.read_bytes()
    start = 4 + 4 * n_axes
    if len(content) < start or content[:4] != bytes([0, 0, _UNSIGNED_BYTES, n_axes]):
        raise wrong(path, f"an IDX array of bytes with {n_axes} axes", f"a file that starts with {content[:4].hex()}")
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    if len(content) != start + math.prod(shape):
        raise wrong(path, f"{start + math.prod(shape)} bytes, as its head says", f"{len(content)} bytes")
