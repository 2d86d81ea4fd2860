"""What the monitor has measured so far, as plain data: one record an epoch."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_interactions.files import with_nan, write_json

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

__all__ = ["History"]

_SCHEMA = 1
_PLAIN = (int, float, str, type(None))
_LONGEST = 80  # of a value shown in a message


class History:
    """Records of measurements, at most one an epoch, in the order of the epochs.

    A record is a flat dictionary of numbers, strings and lists of numbers with the key ``"epoch"``: the number of
    completed training epochs, 0 for the untrained network.

    Example:
        >>> history = History()
        >>> history.add({"epoch": 10, "mean_order": 2.1})
        >>> history.add({"epoch": 0, "mean_order": 3.6})
        >>> history.column("mean_order")
        [3.6, 2.1]
    """

    def __init__(self, records: Iterable[dict[str, Any]] = ()) -> None:
        self._records: dict[int, dict[str, Any]] = {}
        for record in records:
            self.add(record)

    def add(self, record: dict[str, Any]) -> None:
        """Keep a record; one of the same epoch is replaced, because a resumed training may measure an epoch again."""
        self._records[record["epoch"]] = dict(record)
        self._records = dict(sorted(self._records.items()))

    def update(self, epoch: int, changes: dict[str, Any]) -> dict[str, Any]:
        """Change some keys of the record of an epoch.

        Args:
            epoch: one that was measured.
            changes: the keys and their new values, plain data.

        Returns:
            the whole record.

        Raises:
            KeyError: if that epoch was not measured.
        """
        self._records[epoch] = self._records[epoch] | changes
        return self._records[epoch]

    def column(self, key: str) -> list[Any]:
        """The values of one key, epoch by epoch; NaN where a record lacks it.

        Example:
            >>> History([{"epoch": 0, "l1": 2.5}, {"epoch": 5}]).column("l1")
            [2.5, nan]
        """
        return [record.get(key, math.nan) for record in self]

    @property
    def epochs(self) -> list[int]:
        """The measured epochs, ascending."""
        return list(self._records)

    def __getitem__(self, epoch: int) -> dict[str, Any]:
        return self._records[epoch]

    def __contains__(self, epoch: int) -> bool:
        return epoch in self._records

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._records.values())

    def __len__(self) -> int:
        return len(self._records)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a JSON file, whole or not at all; what is not finite becomes ``null``."""
        write_json(path, {"schema": _SCHEMA, "records": list(self)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> History:
        """Read a file that :meth:`save` wrote.

        Args:
            path: of the file.

        Returns:
            the history; what had become ``null`` is NaN.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is damaged, foreign, or written by a newer version.

        Example:
            >>> import tempfile
            >>> path = Path(tempfile.mkdtemp(), "history.json")
            >>> History([{"epoch": 3, "loss_gap": 0.1}]).save(path)
            >>> History.load(path)[3]
            {'epoch': 3, 'loss_gap': 0.1}
        """
        try:
            content = json.loads(Path(path).read_bytes())
            _check_content(content)
            return cls(with_nan(record) for record in content["records"])
        except (ValueError, RecursionError) as error:
            msg = (
                f"'{path}' is no readable history of an InteractionMonitor: {error}."
                f" HINT: the monitor writes it as 'history.json' into the run's folder 'interactions'."
            )
            raise ValueError(msg) from error


def _check_content(content: Any) -> None:
    """Refuse what no version has written: each part would hurt only later, where it is read."""
    if not isinstance(content, dict) or not {"schema", "records"} <= content.keys():
        msg = f"it must be an object with 'schema' and 'records', got a {type(content).__name__}"
        raise ValueError(msg)
    schema, records = content["schema"], content["records"]
    if not _is_whole(schema) or schema > _SCHEMA:
        msg = f"it has schema {schema!r}, this version reads up to {_SCHEMA}"
        raise ValueError(msg)
    if not isinstance(records, list):
        msg = f"'records' must be a list, got a {type(records).__name__}"
        raise ValueError(msg)  # noqa: TRY004  # what a file holds, not a programmer
    for record in records:
        if not isinstance(record, dict) or not _is_whole(record.get("epoch")):
            msg = f"a record must be an object with a whole number as 'epoch', got {_shortened(record)}"
            raise ValueError(msg)
        for key, value in record.items():
            if not all(isinstance(entry, _PLAIN) for entry in (value if isinstance(value, list) else [value])):
                msg = f"'{key}' of epoch {record['epoch']} must be plain data or a list of it, got {_shortened(value)}"
                raise ValueError(msg)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
