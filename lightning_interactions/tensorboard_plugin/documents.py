"""The documents that a monitor writes into event files for the tab, and how they are packed.

A document is a compressed JSON object. There are five kinds, under four kinds of tags:

- ``<prefix>record/<epoch>``: two documents, the record of one measurement and the strongest effects of some samples;
- ``<prefix>refit``: keys of all records that have changed since they were written; only the latest counts;
- ``<prefix>history``: what a resumed training had measured before, in other event files;
- ``<prefix>samples``: what the samples look like.

TensorBoard keeps only the last ten entries of a tag that it does not know, so every epoch has a tag of its own.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from typing import Any, NamedTuple

__all__ = ["PLUGIN_NAME", "SCHEMA", "Tag", "decode", "encode", "parse_tag", "record_tag", "rounded", "tag_prefix"]

PLUGIN_NAME = "interactions"
"""Under which name TensorBoard knows the plugin and its data."""

SCHEMA = 1
"""Version of the documents; a reader passes over documents of a newer one."""

_DIGITS = 5
_LARGEST = 1 << 24
_TAG = re.compile(r"(?P<prefix>.*/)(?:(?P<kind>refit|history|samples)|record/(?P<epoch>\d{1,9}))", re.DOTALL)


class Tag(NamedTuple):
    """What a tag says about its document."""

    prefix: str
    kind: str
    epoch: int | None


def tag_prefix(monitor: str | None = None) -> str:
    """What every tag and every logged key of a monitor starts with.

    Args:
        monitor: its name, for one that has a name.

    Example:
        >>> tag_prefix(), tag_prefix("layer 4")
        ('interactions/', 'interactions/layer 4/')
    """
    return f"{PLUGIN_NAME}/{monitor}/" if monitor else f"{PLUGIN_NAME}/"


def record_tag(prefix: str, epoch: int) -> str:
    """The tag of one epoch's measurement.

    Example:
        >>> record_tag("interactions/", 25)
        'interactions/record/000025'
    """
    return f"{prefix}record/{epoch:06d}"


def parse_tag(tag: str) -> Tag | None:
    """What a tag means; ``None`` for a tag of some other origin.

    Example:
        >>> parse_tag("interactions/layer 4/record/000025")
        Tag(prefix='interactions/layer 4/', kind='record', epoch=25)
        >>> parse_tag("loss") is None
        True
    """
    found = _TAG.fullmatch(tag)
    if found is None:
        return None
    epoch = found["epoch"]
    return Tag(found["prefix"], found["kind"] or "record", None if epoch is None else int(epoch))


def rounded(value: Any) -> Any:
    """Plain data with five significant digits, and ``None`` for what is not finite.

    Example:
        >>> rounded({"loss": 0.123456789, "gap": (float("nan"), 2)})
        {'loss': 0.12346, 'gap': [None, 2]}
    """
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(entry) for entry in value]
    return value


def encode(document: dict[str, Any]) -> bytes:
    """Pack a document: five significant digits, ``null`` for what is not finite, compressed.

    Args:
        document: plain data; the schema's number is added.

    Example:
        >>> decode(encode({"loss": 0.123456789}))
        {'schema': 1, 'loss': 0.12346}
    """
    content = json.dumps(rounded({"schema": SCHEMA} | document), allow_nan=False, separators=(",", ":"))
    return zlib.compress(content.encode(), level=9)


def decode(content: bytes) -> dict[str, Any]:
    """Unpack what :func:`encode` packed.

    Raises:
        ValueError: if it is damaged, foreign, larger than 16 MiB or written by a newer version.
    """
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(content, _LARGEST)
        if not unpacker.eof:
            msg = "it is cut off or too large"
            raise ValueError(msg)  # noqa: TRY301
        document = json.loads(text, parse_constant=lambda _: None)
        schema = document["schema"]
    except (zlib.error, ValueError, TypeError, KeyError, RecursionError) as error:
        msg = f"This is no document of an InteractionMonitor: {error}."
        raise ValueError(msg) from error
    if not isinstance(schema, int) or schema > SCHEMA:
        msg = f"`schema` must be at most {SCHEMA}, got {schema!r}. HINT: update lightning-interactions."
        raise ValueError(msg)
    return document
