"""What every data module of the experiments does once its files are read: subsets, label noise, loaders."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from experiments.data.dataset import Examples, Split, draw_subset
from experiments.data.labels import reset_labels

__all__ = ["ClassificationData"]

_HELD_OUT_BATCH = 500


class ClassificationData(LightningDataModule):
    """A training and a test set, read from the files that their owners publish.

    To add a data set, subclass this and write :meth:`read`; where the inputs are no images of bytes, :meth:`prepare` as
    well, and :meth:`collate` where they are no arrays of one shape.

    Args:
        root: folder under which the data lie.
        n_train: training samples, drawn at random; all when ``None``.
        n_test: test samples, drawn at random; all when ``None``.
        label_noise: share of the training labels that are reset at random.
        batch_size: training samples in a batch.
        seed: decides the subsets and the label noise; the run's own seed when ``None``.
        num_workers: processes that prepare samples.
    """

    def __init__(
        self,
        root: str = "data",
        *,
        n_train: int | None = None,
        n_test: int | None = None,
        label_noise: float = 0.0,
        batch_size: int = 128,
        seed: int | None = None,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        self.root = Path(root)
        self.n_train = n_train
        self.n_test = n_test
        self.label_noise = label_noise
        self.batch_size = batch_size
        self.seed = torch.initial_seed() % 2**32 if seed is None else seed
        self.num_workers = num_workers
        self.train: Examples | None = None
        """The training samples, after :meth:`setup`."""
        self.test: Examples | None = None
        """The test samples, after :meth:`setup`."""
        self.reset_indices: list[int] = []
        """Positions in the training samples whose label was reset."""

    @abstractmethod
    def read(self) -> tuple[Split, Split]:
        """The training and the test set.

        Raises:
            FileNotFoundError: if there is no such data; the message says what to get, from where.
            ValueError: if a file is not what it should be.
        """

    def subsets(self, train: Split, test: Split) -> tuple[Tensor, Tensor]:
        """Which rows of the two sets are used, and in which order."""
        return (
            draw_subset(len(train), self.n_train, self.seed, "n_train"),
            draw_subset(len(test), self.n_test, self.seed, "n_test"),
        )

    def prepare(self, raw: Any) -> Any:
        """What the network takes, from one raw input: of an image's bytes numbers 0 … 1."""
        return raw / 255.0

    def collate(self, rows: list[tuple[Any, Tensor]]) -> Any:
        """A batch from rows of :attr:`train` or :attr:`test`."""
        return default_collate(rows)

    def setup(self, stage: str) -> None:  # noqa: ARG002  # Lightning's signature
        """Read the files, draw the subsets, reset some labels; once for all stages."""
        if self.train is not None:
            return
        train, test = self.read()
        n_classes = int(train.targets.max()) + 1
        train_rows, test_rows = self.subsets(train, test)
        noisy, changed = reset_labels(train.targets[train_rows], self.label_noise, n_classes, self.seed)
        self.reset_indices = changed.tolist()
        self.train = Examples(train, train_rows, noisy, self.prepare)
        self.test = Examples(test, test_rows, test.targets[test_rows], self.prepare)

    def train_dataloader(self) -> DataLoader:
        """The training samples, shuffled."""
        return self._loader(self.train, batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        """The test samples."""
        return self._loader(self.test, batch_size=_HELD_OUT_BATCH)

    def _loader(self, examples: Examples | None, **options: Any) -> DataLoader:
        if examples is None:
            msg = f"{type(self).__name__} holds no data before `setup`."
            raise RuntimeError(msg)
        return DataLoader(
            examples,
            collate_fn=self.collate,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            **options,
        )
