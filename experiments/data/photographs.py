"""What data sets of photographs share: one file each, resized when it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from experiments.data.classification import ClassificationData
from experiments.data.dataset import Split
from experiments.data.images import ImageFiles

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from experiments.data.files import Published
    from experiments.data.images import Box

__all__ = ["Photographs"]


class Photographs(ClassificationData):
    """A data set of photographs. Images are ``(3, image_size, image_size)`` with values 0 … 1.

    Args:
        root: folder under which the data lie.
        image_size: height and width in pixels.
        n_classes: how many of the classes; all when ``None``.
        in_memory: decode the images once; otherwise at every use.
        **options: as for :class:`~experiments.data.classification.ClassificationData`.
    """

    def __init__(
        self,
        root: str = "data",
        *,
        image_size: int = 224,
        n_classes: int | None = None,
        in_memory: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(root, **options)
        self.image_size = image_size
        self.n_classes = n_classes
        self.in_memory = in_memory

    def split(
        self, paths: Sequence[Path], published: Published, labels: Sequence[int], boxes: Sequence[Box] | None = None
    ) -> Split:
        """The training or the test set.

        Args:
            paths: the images' files.
            published: whose data these are.
            labels: their classes.
            boxes: what to crop each image to; nothing when ``None``.
        """
        files = ImageFiles(paths, published, self.image_size, boxes, in_memory=self.in_memory)
        return Split(files, torch.tensor(labels))
