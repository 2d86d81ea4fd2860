"""SST-2: sentences from film reviews, positive or negative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from experiments.data.classification import ClassificationData
from experiments.data.dataset import Split
from experiments.data.files import Published, short
from experiments.models.pretrained import load_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Sst2"]

_CLASSES = ("0", "1")


class Sst2(ClassificationData):
    """SST-2 from ``<root>/train.tsv`` and ``dev.tsv``, in GLUE's layout: a head, then a sentence, a tab and 0 or 1.

    The development set is the test set; the labels of GLUE's test set are not public. A batch holds what the tokenizer
    returns, padded to its longest sentence.

    Args:
        root: folder of the two files.
        tokenizer: folder or hub name of a Hugging Face tokenizer; on the command line, that of a pretrained network
            where there is one.
        max_length: longest sentence in tokens; what is longer is cut.
        batch_size: training sentences in a batch.
        **options: as for :class:`ClassificationData`.

    Raises:
        FileNotFoundError: if neither the disk nor the hub has the tokenizer.
        ValueError: if the tokenizer has no vocabulary.
    """

    def __init__(
        self,
        root: str = "data/sst2",
        tokenizer: str = "data/models/minilm-l6",
        *,
        max_length: int = 128,
        batch_size: int = 32,
        **options: Any,
    ) -> None:
        super().__init__(root, batch_size=batch_size, **options)
        self.tokenizer = load_tokenizer(tokenizer)
        self.max_length = max_length

    def read(self) -> tuple[Split, Split]:
        """See :meth:`ClassificationData.read`."""
        return _read_sentences(self.root / "train.tsv"), _read_sentences(self.root / "dev.tsv")

    def prepare(self, raw: Any) -> Any:
        """A sentence as token ids."""
        return self.tokenizer(raw, truncation=True, max_length=self.max_length)

    def collate(self, rows: list[tuple[Any, Tensor]]) -> Any:
        """Sentences padded to the longest, and their classes."""
        padded = self.tokenizer.pad([row[0] for row in rows], return_tensors="pt")
        return dict(padded), torch.stack([row[1] for row in rows])


def _read_sentences(path: Path) -> Split:
    published = Published(
        "SST-2",
        f"get SST-2 (SST-2.zip) from https://gluebenchmark.com/tasks and put its train.tsv and dev.tsv into"
        f" '{path.parent}', or give the folder that holds them by --data.init_args.root.",
    )
    # Split by hand, because a quotation mark is a word like any other.
    lines = [line.split("\t") for line in published.lines(path)]
    head, rows = (lines[0], lines[1:]) if lines else ([], [])
    if head != ["sentence", "label"]:
        raise published.wrong(path, "the columns 'sentence' and 'label'", short(head))
    for number, row in enumerate(rows, start=2):
        if len(row) != len(head) or not row[0].strip() or row[1] not in _CLASSES:
            raise published.wrong_line(path, f"a sentence and {' or '.join(_CLASSES)}", row, number)
    if not rows:
        raise published.wrong(path, "sentences", "none")
    return Split([row[0] for row in rows], torch.tensor([int(row[1]) for row in rows]))
