"""Tiny-ImageNet: photographs of 64 × 64 pixels in 200 classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from experiments.data.files import missing, wrong
from experiments.data.photographs import Photographs

if TYPE_CHECKING:
    from pathlib import Path

    from experiments.data.dataset import Split

__all__ = ["TinyImageNet", "equal_intervals"]

_HINT = (
    "get tiny-imagenet-200.zip from http://cs231n.stanford.edu/tiny-imagenet-200.zip and unpack it, or give the folder"
    " that holds tiny-imagenet-200 by --data.init_args.root."
)


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
        folder = self.root / "tiny-imagenet-200"
        if not folder.exists():
            raise missing(folder, "Tiny-ImageNet", _HINT)
        names = sorted(_lines(folder / "wnids.txt"))
        chosen = names if self.n_classes is None else equal_intervals(names, self.n_classes)
        number = {name: label for label, name in enumerate(chosen)}
        train = [(path, number[name]) for name in chosen for path in _images(folder / "train" / name / "images")]
        test = []
        annotations = folder / "val" / "val_annotations.txt"
        for line, text in enumerate(_lines(annotations), start=1):
            entries = text.split("\t")
            if len(entries) < 2:  # noqa: PLR2004
                raise wrong(annotations, "a file and its class in every line", f"{text!r} in line {line}")
            if entries[1] in number:
                test.append((folder / "val" / "images" / entries[0], number[entries[1]]))
        if not test:
            raise wrong(annotations, "images of the classes of wnids.txt", "none")
        return self._labelled(train), self._labelled(test)

    def _labelled(self, images: list[tuple[Path, int]]) -> Split:
        return self.split([path for path, _ in images], [label for _, label in images])


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


def _lines(path: Path) -> list[str]:
    if not path.exists():
        raise missing(path, "Tiny-ImageNet", _HINT)
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _images(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.JPEG"))
    if not found:
        raise missing(folder / "*.JPEG", "Tiny-ImageNet", _HINT)
    return found
