"""CUB-200-2011: 11,788 photographs of birds of 200 species."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from experiments.data.files import missing, wrong
from experiments.data.photographs import Photographs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from experiments.data.dataset import Split

__all__ = ["Cub200"]

_HINT = (
    "get CUB_200_2011.tgz from https://www.vision.caltech.edu/datasets/cub_200_2011/ and unpack it, or give the folder"
    " that holds CUB_200_2011 by --data.init_args.root."
)


class Cub200(Photographs):
    """CUB-200-2011 from ``<root>/CUB_200_2011``, cropped to the birds' boxes and resized (Appendix I.1).

    The owners' split into training and test images is kept. Classes without a folder of images are left out, so a part
    of the data set will do; the others are numbered from 0 in their own order. With ``n_classes`` only the first so
    many of them are read. The other arguments are those of :class:`~experiments.data.photographs.Photographs`.
    """

    def read(self) -> tuple[Split, Split]:
        """See :meth:`ClassificationData.read`."""
        folder = self.root / "CUB_200_2011"
        if not folder.exists():
            raise missing(folder, "CUB-200-2011", _HINT)
        paths = _table(folder / "images.txt", str)
        labels = _table(folder / "image_class_labels.txt", int, like=paths)
        is_train = _table(folder / "train_test_split.txt", int, like=paths)
        boxes = _table(folder / "bounding_boxes.txt", _box, like=paths)
        present = sorted({labels[key] for key in paths if (folder / "images" / paths[key]).parent.is_dir()})
        if not present:
            raise missing(folder / "images" / next(iter(paths.values())), "CUB-200-2011", _HINT)
        number = {label: position for position, label in enumerate(present[: self.n_classes])}
        chosen = [key for key in paths if labels[key] in number]
        train, test = (
            self.split(
                [folder / "images" / paths[key] for key in keys],
                [number[labels[key]] for key in keys],
                [boxes[key] for key in keys],
            )
            for keys in ([key for key in chosen if is_train[key] == wanted] for wanted in (1, 0))
        )
        return train, test


def _table(path: Path, read: Callable[[str], Any], like: dict[int, Any] | None = None) -> dict[int, Any]:
    """One of the owners' tables: in each line an image's number and what is said of it."""
    if not path.exists():
        raise missing(path, "CUB-200-2011", _HINT)
    number, line = 0, ""
    found = {}
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):  # noqa: B007
            key, value = line.split(maxsplit=1)
            found[int(key)] = read(value)
    except ValueError as error:
        raise wrong(path, "an image's number and its entry in every line", f"{line!r} in line {number}") from error
    if not found or (like is not None and found.keys() != like.keys()):
        expected = "entries" if like is None else f"an entry for each of the {len(like)} images of images.txt"
        raise wrong(path, expected, f"{len(found)} entries")
    return found


def _box(text: str) -> tuple[float, float, float, float]:
    left, top, width, height = (float(part) for part in text.split())
    return left, top, left + width, top + height
