"""From the documents of an experiment to what the page shows: one merged history for each run and monitor."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from lightning_interactions.tensorboard_plugin.documents import PLUGIN_NAME, Tag, decode, parse_tag, record_tag

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["list_runs", "read_effects", "read_run"]

_LONGEST_TEXT = 2_000
_LONGEST_LIST = 256
_MOST_SAMPLES = 64
_LONGEST_IMAGE = 1_000_000
_NUMBERS = {int, float, type(None)}


def list_runs(provider: Any, context: Any, experiment: str) -> list[dict[str, Any]]:
    """The runs that have measurements.

    Args:
        provider: TensorBoard's data provider.
        context: TensorBoard's context of the request.
        experiment: TensorBoard's id of the experiment.

    Returns:
        for each run and tag prefix, in alphabetical order: ``run``, ``prefix``, ``epochs`` (how many are measured),
        ``changed`` (when the last document was written, in seconds) and ``version``, which changes whenever there is
        something new.
    """
    series = provider.list_tensors(context, experiment_id=experiment, plugin_name=PLUGIN_NAME)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for run, tags in series.items():
        for name, entry in tags.items():
            tag = parse_tag(name)
            if tag is None:
                continue
            one = found.setdefault(
                (run, tag.prefix), {"run": run, "prefix": tag.prefix, "epochs": 0, "tags": 0, "changed": 0.0}
            )
            one["epochs"] += tag.kind == "record"
            one["tags"] += 1
            one["changed"] = max(one["changed"], entry.max_wall_time or 0.0)
    return [
        {key: one[key] for key in ("run", "prefix", "epochs", "changed")} | {"version": _version(one)}
        for _, one in sorted(found.items())
        if one["epochs"]
    ]


def read_run(provider: Any, context: Any, experiment: str, run: str, prefix: str) -> dict[str, Any] | None:
    """Everything about one run and monitor but the effects of single samples.

    Args:
        provider: TensorBoard's data provider.
        context: TensorBoard's context of the request.
        experiment: TensorBoard's id of the experiment.
        run: name of the run.
        prefix: what the monitor's tags start with.

    Returns:
        ``records`` by epoch, with refitted keys in place; ``samples``, what they look like; ``unreadable``, how many
        documents could not be used. ``None`` when there is no such run.
    """
    series = _series(provider, context, experiment, run)
    documents = {tag: _read(tag.kind, _part(content, 0)) for tag, content in series if tag.prefix == prefix}
    if not documents:
        return None
    records = {
        tag.epoch: document | {"epoch": tag.epoch}
        for tag, document in documents.items()
        if tag.epoch is not None and document is not None
    }
    for record in documents.get(Tag(prefix, "history", None)) or []:
        records.setdefault(record["epoch"], dict(record))
    for record in documents.get(Tag(prefix, "refit", None)) or []:
        if record["epoch"] in records:
            records[record["epoch"]] |= record
    return {
        "records": [records[epoch] for epoch in sorted(records)],
        "samples": documents.get(Tag(prefix, "samples", None)) or [],
        "unreadable": sum(document is None for document in documents.values()),
    }


def read_effects(
    provider: Any, context: Any, experiment: str, run: str, prefix: str, epoch: int
) -> list[dict[str, Any]] | None:
    """The strongest effects of some samples at one epoch.

    Args:
        provider: TensorBoard's data provider.
        context: TensorBoard's context of the request.
        experiment: TensorBoard's id of the experiment.
        run: name of the run.
        prefix: what the monitor's tags start with.
        epoch: a measured epoch.

    Returns:
        for each sample its number ``sample`` and ``effects``: ``kind``, ``variables`` and ``effect`` of each. ``None``
        when nothing can be read.
    """
    for _, content in _series(provider, context, experiment, run, record_tag(prefix, epoch)):
        return _read("strongest", _part(content, 1))
    return None


def _version(one: dict[str, Any]) -> str:
    return f"{one['tags']}-{one['changed']:.6f}"


def _series(
    provider: Any, context: Any, experiment: str, run: str, tag: str | None = None
) -> Iterator[tuple[Tag, Any]]:
    """The tags of a run, or one of them, and the last entry of each; ``None`` for one that cannot be unpacked."""
    # Imported here, because TensorBoard imports this file when it starts.
    from tensorboard.data.provider import RunTagFilter  # noqa: PLC0415

    where = {"experiment_id": experiment, "plugin_name": PLUGIN_NAME}

    def read(tags: list[str] | None) -> dict[str, Any]:
        wanted = RunTagFilter(runs=[run], tags=tags)
        found = provider.read_tensors(context, run_tag_filter=wanted, downsample=1, **where).get(run, {})
        return {name: entries[-1].numpy for name, entries in found.items() if entries}

    def read_alone(name: str) -> dict[str, Any]:
        try:
            return read([name])
        except Exception:  # noqa: BLE001  # whatever TensorBoard stumbles over in foreign data
            return {name: None}

    try:
        arrays = read(None if tag is None else [tag])
    except Exception:  # noqa: BLE001  # TensorBoard unpacks all or none: find the tag that it cannot unpack
        listed = provider.list_tensors(context, run_tag_filter=RunTagFilter(runs=[run]), **where).get(run, {})
        names = [name for name in listed if tag in {None, name}]
        arrays = {key: value for name in names for key, value in read_alone(name).items()}
    for name, array in arrays.items():
        parsed = parse_tag(name)
        if parsed is not None:
            yield parsed, array


def _part(content: Any, index: int) -> bytes:
    """One of the texts in a tensor; nothing where it holds something else."""
    parts = [] if content is None else content.reshape(-1)
    part = parts[index] if index < len(parts) else b""
    return part if isinstance(part, bytes) else b""


# A running training adds one measurement to hundreds that have been read before.
@lru_cache(maxsize=4096)
def _read(kind: str, content: bytes) -> Any:
    """What the page needs of a document, each part of the right form; ``None`` when it is of no use."""
    try:
        document = decode(content)
        if kind == "record":
            return _record(document["record"])
        if kind in {"refit", "history"}:
            return [_record(record) | {"epoch": int(record["epoch"])} for record in document["records"]]
        if kind == "strongest":
            return _strongest(document["strongest"])
        return _samples(document["samples"])
    # Damaged, of a newer version, or written by somebody else under our name.
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None


def _record(record: dict[str, Any]) -> dict[str, Any]:
    """The entries of a record that are a number, a short text or a list of numbers."""
    return {
        key: value
        for key, value in record.items()
        if (isinstance(value, str) and len(value) <= _LONGEST_TEXT)
        or (isinstance(value, list) and len(value) <= _LONGEST_LIST and _are_numbers(value))
        or _are_numbers([value])
    }


def _strongest(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "sample": int(sample["sample"]),
            "effects": [
                {
                    "kind": "OR" if kind == "OR" else "AND",
                    "variables": [int(variable) for variable in variables][:_LONGEST_LIST],
                    "effect": _finite(effect),
                }
                for kind, variables, effect in sample["effects"][:_LONGEST_LIST]
            ],
        }
        for sample in samples[:_MOST_SAMPLES]
    ]


def _samples(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the samples look like: names of their variables, and an image with cells or a sentence with words."""
    return [
        {
            "sample": int(sample["sample"]),
            "title": str(sample.get("title", ""))[:_LONGEST_TEXT],
            "names": [str(name)[:_LONGEST_TEXT] for name in sample["names"]][:_LONGEST_LIST],
            "image": _image(sample.get("image")),
            "cells": [[_finite(edge) for edge in cell][:4] for cell in sample.get("cells") or []][:_LONGEST_LIST],
            "words": [
                {"text": str(word["text"])[:_LONGEST_TEXT], "variable": _index(word.get("variable"))}
                for word in sample.get("words") or []
            ],
        }
        for sample in samples[:_MOST_SAMPLES]
    ]


def _image(image: Any) -> dict[str, Any] | None:
    """A PNG in base64 and its size in pixels."""
    if not isinstance(image, dict) or len(str(image["png"])) > _LONGEST_IMAGE:
        return None
    return {"png": str(image["png"]), "width": int(image["width"]), "height": int(image["height"])}


def _index(value: Any) -> int | None:
    return None if value is None else int(value)


def _finite(value: Any) -> float:
    """A number that JSON can say."""
    number = float(value)
    if not math.isfinite(number):
        msg = f"a number must be finite, got {number}"
        raise ValueError(msg)
    return number


def _are_numbers(values: list[Any]) -> bool:
    """Whether all are finite numbers or missing; JSON reads 1e999 as infinity."""
    return {*map(type, values)} <= _NUMBERS and all(map(math.isfinite, filter(None, values)))
