"""Image files as a sequence of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from experiments.data.files import wrong

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Box", "ImageFiles"]

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""


class ImageFiles(Sequence[Tensor]):
    """Images cropped, resized and decoded when they are asked for: uint8 ``(3, size, size)``.

    Args:
        paths: the files.
        size: height and width in pixels; the aspect is not kept, as in the paper.
        boxes: what to crop each image to; nothing when ``None``.
        in_memory: keep what was decoded.

    Raises:
        FileNotFoundError: when used, if a file is not there.
        ValueError: when used, if a file is no whole image.
    """

    def __init__(
        self, paths: Sequence[Path], size: int, boxes: Sequence[Box] | None = None, *, in_memory: bool = False
    ) -> None:
        self.paths = list(paths)
        self.size = size
        self.boxes = boxes
        self.in_memory = in_memory
        self._kept: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:  # type: ignore[override]  # no slices
        if index in self._kept:
            return self._kept[index]
        image = self._decode(self.paths[index], None if self.boxes is None else self.boxes[index])
        if self.in_memory:
            self._kept[index] = image
        return image

    def _decode(self, path: Path, box: Box | None) -> Tensor:
        try:
            with Image.open(path) as file:
                image = file.convert("RGB")
        except FileNotFoundError:
            raise
        except (UnidentifiedImageError, OSError, SyntaxError) as error:
            raise wrong(path, "an image", f"what cannot be decoded ({error})") from error
        resized = image.resize((self.size, self.size), Image.Resampling.BILINEAR, box=_inside(box, image.size))
        return torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous()


def _inside(box: Box | None, size: tuple[int, int]) -> Box | None:
    """The box as far as it lies in the image: some of the owners' boxes end a fraction of a pixel outside."""
    if box is None:
        return None
    left, top, right, bottom = box
    return max(0.0, left), max(0.0, top), min(float(size[0]), right), min(float(size[1]), bottom)
