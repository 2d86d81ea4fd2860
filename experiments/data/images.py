"""Image files as a sequence of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

if TYPE_CHECKING:
    from pathlib import Path

    from experiments.data.files import Published

__all__ = ["Box", "ImageFiles"]

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""


class ImageFiles(Sequence[Tensor]):
    """Images cropped, resized and decoded when they are asked for: uint8 ``(3, size, size)``.

    Args:
        paths: the files.
        published: whose data these are.
        size: height and width in pixels; the aspect is not kept, as in the paper.
        boxes: what to crop each image to; nothing when ``None``.
        in_memory: keep what was decoded.

    Raises:
        FileNotFoundError: when made or used, if a file is not there.
        ValueError: when used, if a file is no whole image, or its box lies beside it.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        published: Published,
        size: int,
        boxes: Sequence[Box] | None = None,
        *,
        in_memory: bool = False,
    ) -> None:
        self.paths = list(paths)
        self.published = published
        self.size = size
        self.boxes = boxes
        self.in_memory = in_memory
        self._kept: dict[int, Tensor] = {}
        for path in self.paths:  # before a training has run for hours
            if not path.is_file():
                raise published.missing(path)

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
        except FileNotFoundError as error:
            raise self.published.missing(path) from error
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise self.published.wrong(path, "an image", f"what cannot be decoded ({error})") from error
        inside = None if box is None else _inside(box, image.size)
        if box is not None and inside is None:
            width, height = image.size
            expected = f"the box {', '.join(f'{edge:g}' for edge in box)} (left, top, right, bottom)"
            raise self.published.wrong(path, expected, f"an image of {width} × {height} pixels")
        resized = image.resize((self.size, self.size), Image.Resampling.BILINEAR, box=inside)
        return torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous()


def _inside(box: Box, size: tuple[int, int]) -> Box | None:
    """The part of a box that lies in the image, if any: some of the owners' boxes end a fraction of a pixel outside."""
    left, top = max(0.0, box[0]), max(0.0, box[1])
    right, bottom = min(float(size[0]), box[2]), min(float(size[1]), box[3])
    return (left, top, right, bottom) if left < right and top < bottom else None
