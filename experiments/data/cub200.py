"""CUB-200-2011: 11,788 photographs of birds of 200 species."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import torch

from experiments.data.dataset import check_labels
from experiments.data.files import Published
from experiments.data.photographs import Photographs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from experiments.data.dataset import Split
    from experiments.data.images import Box

__all__ = ["Cub200"]

_CLASSES = range(1, 201)


class Cub200(Photographs):
    """CUB-200-2011 from ``<root>/CUB_200_2011``, cropped to the birds' boxes and resized (Appendix I.1).

    The owners' split into training and test images is kept. Classes without a folder of images are left out, so a part
    of the data set will do; the others are numbered from 0 in their own order. With ``n_classes`` only the first so
    many of them are read. The other arguments are those of :class:`~experiments.data.photographs.Photographs`.
    """

    def read(self) -> tuple[Split, Split]:
        """See :meth:`ClassificationData.read`."""
        published, folder = _published(self.root), self.root / "CUB_200_2011"
        if not folder.is_dir():
            raise published.missing(folder)
        paths = _table(folder / "images.txt", published, "<class>/<file>", _path)
        labels = _table(folder / "image_class_labels.txt", published, "its class", int, like=paths)
        is_train = _table(folder / "train_test_split.txt", published, "0 or 1", _is_train, like=paths)
        boxes = _table(folder / "bounding_boxes.txt", published, "left, top, width and height", _box, like=paths)
        _check_classes(labels, paths, folder / "image_class_labels.txt", published)
        chosen = self._chosen_classes(folder, paths, labels, published)
        train, test = (
            self.split(
                [folder / "images" / paths[key] for key in keys],
                published,
                [chosen[labels[key]] for key in keys],
                [boxes[key] for key in keys],
            )
            for keys in (
                [key for key in paths if labels[key] in chosen and is_train[key] is part] for part in (True, False)
            )
        )
        for part, split in (("training", train), ("test", test)):
            if not len(split):
                raise published.wrong(folder / "train_test_split.txt", f"{part} images of the classes present", "none")
        return train, test

    def _chosen_classes(
        self, folder: Path, paths: dict[int, str], labels: dict[int, int], published: Published
    ) -> dict[int, int]:
        """The classes that are present, as many as are wanted of them: the owners' number and the one from 0 on."""
        present = sorted({labels[key] for key in paths if (folder / "images" / paths[key]).parent.is_dir()})
        if not present:
            raise published.missing(folder / "images" / next(iter(paths.values())))
        count = len(present) if self.n_classes is None else self.n_classes
        if not 1 <= count <= len(present):
            msg = (
                f"`n_classes` must lie in 1 … {len(present)}, the classes in '{folder / 'images'}', got {count}."
                f" HINT: for more classes {published.how_to_get}"
            )
            raise ValueError(msg)
        return {label: position for position, label in enumerate(present[:count])}


def _published(root: Path) -> Published:
    return Published(
        "CUB-200-2011",
        f"get CUB_200_2011.tgz from https://www.vision.caltech.edu/datasets/cub_200_2011/ and unpack it in '{root}', or"
        f" give the folder that holds CUB_200_2011 by --data.init_args.root.",
    )


def _table(
    path: Path, published: Published, entry: str, read: Callable[[str], Any], like: dict[int, str] | None = None
) -> dict[int, Any]:
    """One of the owners' tables: in each line an image's number and what is said of it."""
    found: dict[int, Any] = {}
    for number, line in enumerate(published.lines(path), start=1):
        try:
            text, value = line.split(maxsplit=1)
            key, said = int(text), read(value)
        except ValueError as error:
            raise published.wrong_line(path, f"an image's number and {entry}", line, number) from error
        if key in found:
            raise published.wrong(path, f"image {key} once", f"{line!r} again in line {number}")
        found[key] = said
    if not found:
        raise published.wrong(path, f"images' numbers, each with {entry}", "none")
    if like is not None and found.keys() != like.keys():
        key = min(found.keys() ^ like.keys())
        got = f"none for {key}" if key in like else f"one for {key}"
        raise published.wrong(path, f"an entry for each of the {len(like)} images of images.txt", got)
    return found


def _path(text: str) -> str:
    if not re.fullmatch(r"\d+\.[^/]+/[^/]+", text):
        raise ValueError
    return text


def _is_train(text: str) -> bool:
    return bool(("0", "1").index(text.strip()))


def _box(text: str) -> Box:
    left, top, width, height = (float(part) for part in text.split())
    if not (width > 0 and height > 0 and math.isfinite(left + top + width + height)):
        raise ValueError
    return left, top, left + width, top + height


def _check_classes(labels: dict[int, int], paths: dict[int, str], path: Path, published: Published) -> None:
    """Classes that there are, and the same as the folders' names say."""
    check_labels(torch.tensor(list(labels.values())), _CLASSES, path, published)
    for key, label in labels.items():
        folder = paths[key].partition("/")[0]
        expected = int(folder.partition(".")[0])
        if label != expected:
            raise published.wrong(path, f"class {expected} for image {key}, which lies in {folder}/", f"{label}")
