"""Tiny-ImageNet: photographs of 64 × 64 pixels in 200 classes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from experiments.data.files import Published, short
from experiments.data.photographs import Photographs

if TYPE_CHECKING:
    from pathlib import Path

    from experiments.data.dataset import Split

__all__ = ["TinyImageNet", "equal_intervals"]

_ANNOTATIONS = "val_annotations.txt"


class TinyImageNet(Photographs):
    """Tiny-ImageNet from ``<root>/tiny-imagenet-200``, some classes at equal intervals, resized (Appendix I.1).

    The owners' validation images are the test images; those that they call test images have no public labels. The
    originals have 64 × 64 pixels.

    Args:
        root: folder under which the data lie.
        n_classes: so many classes at equal intervals; see :func:`equal_intervals`. All when ``None``.
        **options: as for :class:`~experiments.data.photographs.Photographs`.
    """

    def __init__(self, root: str = "data", *, n_classes: int | None = 50, **options: Any) -> None:
        super().__init__(root, n_classes=n_classes, **options)

    def read(self) -> tuple[Split, Split]:
        """See :meth:`ClassificationData.read`."""
        published, folder = _published(self.root), self.root / "tiny-imagenet-200"
        if not folder.is_dir():
            raise published.missing(folder)
        names = _classes(folder / "wnids.txt", published)
        chosen = names if self.n_classes is None else equal_intervals(names, self.n_classes)
        class_of = _annotations(folder / "val", names, published)
        train = [(path, name) for name in chosen for path in _images(folder / "train" / name / "images", published)]
        test = [(folder / "val" / "images" / file, name) for file, name in class_of.items() if name in chosen]
        for name in chosen:
            if name not in class_of.values():
                raise published.wrong(folder / "val" / _ANNOTATIONS, "images of every class", f"none of {name}")
        return self._labelled(train, chosen, published), self._labelled(test, chosen, published)

    def _labelled(self, images: list[tuple[Path, str]], names: list[str], published: Published) -> Split:
        number = {name: label for label, name in enumerate(names)}
        return self.split([path for path, _ in images], published, [number[name] for _, name in images])


def equal_intervals(names: list[str], count: int) -> list[str]:
    """The last of every ``len(names) / count`` names: of 200 classes 50 are the 4th, the 8th … the 200th, as published.

    Args:
        names: all classes, in alphabetical order.
        count: how many to take.

    Raises:
        ValueError: if there are not so many.

    Example:
        >>> equal_intervals(["a", "b", "c", "d", "e", "f"], 3)
        ['b', 'd', 'f']
    """
    if not 1 <= count <= len(names):
        msg = f"`n_classes` must lie in 1 … {len(names)}, the number of classes there are, got {count}."
        raise ValueError(msg)
    return [names[(position + 1) * len(names) // count - 1] for position in range(count)]


def _published(root: Path) -> Published:
    return Published(
        "Tiny-ImageNet",
        f"get tiny-imagenet-200.zip from http://cs231n.stanford.edu/tiny-imagenet-200.zip and unpack it in '{root}', or"
        f" give the folder that holds tiny-imagenet-200 by --data.init_args.root.",
    )


def _classes(path: Path, published: Published) -> list[str]:
    """All classes, in alphabetical order."""
    found: set[str] = set()
    for number, line in enumerate(published.lines(path), start=1):
        if not re.fullmatch(r"n\d{8}", line):
            raise published.wrong_line(path, "the name of a class, such as n01443537,", line, number)
        if line in found:
            raise published.wrong(path, f"{line} once", f"it again in line {number}")
        found.add(line)
    if not found:
        raise published.wrong(path, "the name of a class in every line", "none")
    return sorted(found)


def _annotations(folder: Path, names: list[str], published: Published) -> dict[str, str]:
    """The class of each image of the owners' validation set, in their order."""
    path = folder / _ANNOTATIONS
    found: dict[str, str] = {}
    for number, line in enumerate(published.lines(path), start=1):
        file, *entries = line.split("\t")
        if not entries:
            raise published.wrong_line(path, "a file and its class", line, number)
        if entries[0] not in names:
            raise published.wrong(path, "a class of wnids.txt", f"{short(entries[0])} in line {number}")
        if file in found:
            raise published.wrong(path, f"{file} once", f"it again in line {number}")
        found[file] = entries[0]
    for image in _images(folder / "images", published):
        if image.name not in found:
            raise published.wrong(path, "a line for each image of val/images", f"none for {image.name}")
    return found


def _images(folder: Path, published: Published) -> list[Path]:
    found = sorted(folder.glob("*.JPEG"))
    if not found:
        raise published.missing(folder / "*.JPEG")
    return found
