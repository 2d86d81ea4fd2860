"""What a monitor writes into TensorBoard's event files for the Interactions tab."""

from __future__ import annotations

import base64
import io
import math
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from torch import Tensor

from lightning_interactions.callback.record import PREFIX
from lightning_interactions.distribution.reference import FIT_LISTS, FIT_NUMBERS
from lightning_interactions.interactions import SHOWN_SAMPLES, strongest_effects
from lightning_interactions.masking.batches import take_rows
from lightning_interactions.masking.variables import usable_draws
from lightning_interactions.tensorboard_plugin.documents import PLUGIN_NAME, encode, record_tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lightning_interactions.interactions import Interactions
    from lightning_interactions.masking.variables import Draw, Variables

__all__ = ["log_measurement", "log_refit", "log_samples", "samples_document"]

_LARGEST_SIDE = 96
_CHANNELS = (1, 3)
# What a new reference changes.
_REFITTED = ("epoch", *FIT_NUMBERS, *FIT_LISTS)
# The page computes the residual itself: it is what decay and spindle leave of the strength.
_NOT_SHOWN = (
    "normalized_positive",
    "normalized_negative",
    "cancellation",
    "residual_positive",
    "residual_negative",
    "noise_floor",
)


def log_measurement(
    logger: Any, record: dict[str, Any], interactions: Interactions | None, step: int, prefix: str = PREFIX
) -> None:
    """Give the tab one measurement: its record and the strongest effects of the first samples.

    Args:
        logger: one of the Trainer's loggers; one that is not TensorBoard's is passed over.
        record: the measurement as plain data.
        interactions: what was measured; ``None`` for a measurement that failed.
        step: the step of the measurement on the logger's axis.
        prefix: what every tag starts with.
    """
    content = {key: value for key, value in record.items() if key not in _NOT_SHOWN}
    strongest = [] if interactions is None else _strongest(interactions)
    _write(logger, record_tag(prefix, record["epoch"]), step, {"record": content}, {"strongest": strongest})


def log_refit(
    logger: Any, records: Iterable[dict[str, Any]], step: int, prefix: str = PREFIX, *, whole: bool = False
) -> None:
    """Give the tab records whose fit has changed, in the place of what it knew of them.

    Args:
        logger: one of the Trainer's loggers; one that is not TensorBoard's is passed over.
        records: all records so far, since the tab forgets an earlier call; of each only the keys of the fit are
            written.
        step: the step on the logger's axis.
        prefix: what every tag starts with.
        whole: write all keys; for a resumed training, whose new event file lacks the earlier measurements.
    """
    kept = [
        {key: value for key, value in record.items() if key not in _NOT_SHOWN and (whole or key in _REFITTED)}
        for record in records
    ]
    _write(logger, f"{prefix}{'history' if whole else 'refit'}", step, {"records": kept})


def log_samples(logger: Any, document: dict[str, Any], step: int, prefix: str = PREFIX) -> None:
    """Give the tab what the samples look like; once a run is enough.

    Args:
        logger: one of the Trainer's loggers; one that is not TensorBoard's is passed over.
        document: what :func:`samples_document` returned.
        step: the step on the logger's axis.
        prefix: what every tag starts with.
    """
    _write(logger, f"{prefix}samples", step, document)


def samples_document(inputs: Any, variables: Variables, targets: Tensor | None = None) -> dict[str, Any]:
    """What the first samples look like, as plain data: small images with the variables' cells, or words.

    Images ``(B, C, H, W)`` become PNG files of at most 96 pixels a side, each stretched to its own range. Cells of a
    feature map are drawn where they lie in the map, as shares of the image. Sentences are cut into the variables' words
    and what stands between them. For anything else only the variables' names are kept.

    Args:
        inputs: the explained samples, as the network takes them.
        variables: what their input variables are.
        targets: true classes, for the titles; targets that are no classes are not shown.

    Example:
        >>> from lightning_interactions import InputPatches
        >>> document = samples_document(torch.zeros(1, 1, 8, 8), InputPatches(grid=2, border=0, n_variables=1))
        >>> document["samples"][0]["cells"]
        [[0.5, 0.5, 0.5, 0.5]]
    """
    drawn = usable_draws(variables.draw(inputs))[:SHOWN_SAMPLES]
    some = take_rows(inputs, [row for row, _ in drawn])
    samples = []
    for position, (row, draw) in enumerate(drawn):
        title = f"sample {row}" if targets is None else f"sample {row}{_class(targets[row])}"
        samples.append(
            {"sample": row, "title": title, "names": list(draw.names)} | _picture(some, position, draw, variables)
        )
    return {"samples": samples}


def _class(target: Tensor) -> str:
    """What a title says of a target: its class, or nothing where it is a number of another kind, or many."""
    if target.numel() != 1 or not (target >= 0 and float(target).is_integer()):
        return ""
    return f", class {int(target)}"


def _strongest(interactions: Interactions) -> list[dict[str, Any]]:
    """The strongest effects, written short: event files keep them of every epoch."""
    return [
        shown
        | {"effects": [[one["kind"], one["variables"], float(f"{one['effect']:.4g}")] for one in shown["effects"]]}
        for shown in strongest_effects(interactions)
    ]


def _picture(inputs: Any, row: int, draw: Draw, variables: Variables) -> dict[str, Any]:
    tokenizer = getattr(variables, "tokenizer", None)
    if tokenizer is not None:
        return {"words": _words(inputs, row, draw, tokenizer)}
    grid = getattr(variables, "grid", None)
    if grid is not None and isinstance(inputs, Tensor) and inputs.ndim == 4:  # noqa: PLR2004
        return {"image": _thumbnail(inputs[row]), "cells": [_cell(position, grid) for position in draw.positions]}
    return {}


def _words(inputs: Any, row: int, draw: Draw, tokenizer: Any) -> list[dict[str, Any]]:
    """The sentence in pieces: each variable's word, and the text between them."""
    ids = inputs["input_ids"][row].tolist()
    variable_of = {token: variable for variable, tokens in enumerate(draw.positions) for token in tokens}
    pieces: list[tuple[int | None, list[str]]] = []
    for position, token in enumerate(tokenizer.convert_ids_to_tokens(ids)):
        if ids[position] in tokenizer.all_special_ids:
            continue
        variable = variable_of.get(position)
        if pieces and pieces[-1][0] == variable:
            pieces[-1][1].append(token)
        else:
            pieces.append((variable, [token]))
    return [
        {
            "text": tokenizer.convert_tokens_to_string(tokens).strip() if variable is None else draw.names[variable],
            "variable": variable,
        }
        for variable, tokens in pieces
    ]


def _cell(position: Sequence[int], grid: int) -> list[float]:
    """Left, top, width and height of a cell as shares of the image."""
    row, column = position
    return [column / grid, row / grid, 1 / grid, 1 / grid]


def _thumbnail(image: Tensor) -> dict[str, Any]:
    image = image.detach().cpu().double()
    if len(image) not in _CHANNELS:
        image = image.mean(dim=0, keepdim=True)
    image = image.nan_to_num(0.0, 0.0, 0.0)
    low, high = image.amin().item(), image.amax().item()
    pixels = ((image - low) / (high - low or 1.0) * 255).round().to(torch.uint8).movedim(0, -1).squeeze(-1)
    picture = Image.fromarray(pixels.numpy())
    scale = min(1.0, _LARGEST_SIDE / max(picture.size))
    picture = picture.resize(
        (max(1, math.ceil(picture.width * scale)), max(1, math.ceil(picture.height * scale))), Image.Resampling.BOX
    )
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return {
        "png": base64.b64encode(file.getvalue()).decode(),
        "width": picture.width,
        "height": picture.height,
    }


def _write(logger: Any, tag: str, step: int, *documents: dict[str, Any]) -> None:
    writer = getattr(getattr(logger, "experiment", None), "_get_file_writer", None)
    if writer is None:
        return
    metadata = SummaryMetadata(
        plugin_data=SummaryMetadata.PluginData(plugin_name=PLUGIN_NAME), data_class="DATA_CLASS_TENSOR"
    )
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=len(documents))])
    tensor = TensorProto(dtype=DT_STRING, tensor_shape=shape, string_val=map(encode, documents))
    writer().add_summary(Summary(value=[Summary.Value(tag=tag, tensor=tensor, metadata=metadata)]), step)
