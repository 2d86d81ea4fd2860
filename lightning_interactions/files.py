"""Write a file whole or not at all, plain data as strict JSON, and read an archive of arrays that may be hostile."""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["unpack_arrays", "with_nan", "without_nan", "write_json", "write_whole"]

_ALWAYS_ALLOWED = 2**28
"""Bytes that any archive may unpack to: interactions of 60 samples with n = 16 fill a third of it."""

_LARGEST_RATIO = 32
"""Bytes to which each byte of a larger archive may unpack; a zip bomb needs hundreds. Network outputs hardly shrink, so
interactions unpack to less than ten times their file."""

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@contextmanager
def write_whole(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file for writing that appears under ``path`` only when the block ends without an error.

    Missing folders are created. Nobody ever sees part of a file, even of a process that is killed half-way; what that
    leaves is removed when the file is next written.

    Raises:
        IsADirectoryError: if ``path`` is a folder.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "new" / "file.txt"
        >>> with write_whole(path) as file:
        ...     _ = file.write(b"all")
        >>> path.read_bytes()
        b'all'
    """
    path = Path(path)
    if path.is_dir():
        msg = f"A file is to be written, got the folder '{path}'. HINT: add the file's name, as in '{path / 'name'}'."
        raise IsADirectoryError(msg)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _remove_leftovers(path: Path) -> None:
    """Remove what processes that are no more have begun to write under this name."""
    if os.name != "posix":  # elsewhere there is no way to ask that hurts no process
        return
    for leftover in path.parent.glob(f".{escape(path.name)}.*.tmp"):
        process = leftover.name.split(".")[-2]
        if process.isdigit() and not _is_running(int(process)):
            leftover.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def write_json(path: str | os.PathLike[str], content: Any, *, indent: int | None = 1) -> None:
    """Write plain data as strict JSON, whole or not at all; what is not finite becomes ``null``.

    Args:
        path: where to; missing folders are created.
        content: dictionaries, lists, texts and numbers.
        indent: spaces before each level; ``None`` writes one line without spaces.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "shares.json"
        >>> write_json(path, {"share": [0.5, math.nan]}, indent=None)
        >>> path.read_text()
        '{"share":[0.5,null]}'
    """
    separators = (",", ":") if indent is None else None
    text = json.dumps(without_nan(content), indent=indent, separators=separators, allow_nan=False)
    with write_whole(path) as file:
        file.write(text.encode())


def without_nan(value: Any) -> Any:
    """Plain data with ``None`` for every number that is not finite, as strict JSON wants it.

    Example:
        >>> without_nan({"share": [0.5, math.nan]})
        {'share': [0.5, None]}
    """
    if isinstance(value, dict):
        return {key: without_nan(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def with_nan(value: Any) -> Any:
    """The inverse of :func:`without_nan`: NaN for every ``None``, where only numbers can be missing.

    Example:
        >>> with_nan({"share": [0.5, None]})
        {'share': [0.5, nan]}
    """
    if isinstance(value, dict):
        return {key: with_nan(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [with_nan(entry) for entry in value]
    return math.nan if value is None else value


def unpack_arrays(content: bytes) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of a NumPy ``.npz`` archive. Nothing in it is executed, and no memory is spent on claims.

    What every array claims to be is compared with the bytes there are, before the first is unpacked.

    Args:
        content: the archive.

    Raises:
        ValueError: if the archive holds anything but plain arrays, or unpacks to far more than an honest one.
        zipfile.BadZipFile: if it is damaged or none.

    Example:
        >>> archive = io.BytesIO()
        >>> np.savez(archive, numbers=np.arange(3))
        >>> unpack_arrays(archive.getvalue())["numbers"].tolist()
        [0, 1, 2]
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        unpacked = sum(_checked_size(archive, entry) for entry in entries)
        allowed = max(_ALWAYS_ALLOWED, _LARGEST_RATIO * len(content))
        if unpacked > allowed:
            msg = f"it must unpack to at most {allowed} bytes, got {unpacked} from a file of {len(content)}"
            raise ValueError(msg)
        arrays = {}
        for entry in entries:
            with archive.open(entry) as file:
                arrays[entry.filename.removesuffix(".npy")] = np.lib.format.read_array(file, allow_pickle=False)
        return arrays


def _checked_size(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """The size of an array in bytes, where it is one and as large as its shape says."""
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            msg = f"'{entry.filename}' must have one of the formats {list(_HEADERS)}, got {version}"
            raise ValueError(msg)
        shape, _, dtype = _HEADERS[version](file)
        start = file.tell()
    if dtype.hasobject:
        msg = f"'{entry.filename}' must hold plain data, got objects, which are never unpickled"
        raise ValueError(msg)
    size = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or start + size != entry.file_size:
        msg = f"'{entry.filename}' must be as large as its shape {shape} says, got {entry.file_size - start} bytes"
        raise ValueError(msg)
    return size
