"""From one measurement's interactions to a record of plain data, and from a record to logged scalars."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lightning_interactions.distribution.conditions import conditions
from lightning_interactions.distribution.reference import FIT_LISTS, FIT_NUMBERS
from lightning_interactions.distribution.strength import (
    cancellation,
    high_order_share,
    mean_order,
    order_strength,
    salient_counts,
)
from lightning_interactions.tensorboard_plugin.documents import tag_prefix

if TYPE_CHECKING:
    from lightning_interactions.interactions import Interactions

__all__ = ["PREFIX", "failed", "scalars", "summarize"]

PREFIX = tag_prefix()
"""What every logged key of a monitor without a name starts with."""

_PER_ORDER = ("positive", "negative", "normalized_positive", "normalized_negative", "cancellation", "noise_floor")
_NUMBERS = (
    "mean_order",
    "high_order_share",
    "salient_count",
    "l1",
    "threshold",
    "noise_bound",
    "matching_error",
    "solver_gap",
    "n_samples",
    "n_dropped",
)
_CONDITIONS = tuple(f"condition_{number}{end}" for number in (1, 2, 3) for end in ("", "_holds"))
_ALSO_LOGGED = ("train_loss", "held_out_loss", "loss_gap", "overfitting", "onset_epoch", "failures", "seconds")


def summarize(interactions: Interactions) -> dict[str, Any]:
    """What one set of interactions says, as plain data.

    Args:
        interactions: of one measurement.

    Returns:
        the keys of a record that come from the interactions alone; see the table of
        :class:`~lightning_interactions.InteractionMonitor` for their meaning and unit. Keys with one number for each
        order hold a list of ``n``.

    Example:
        >>> import torch
        >>> from lightning_interactions import sparsify
        >>> record = summarize(sparsify(torch.tensor([[0.0, 1.0, 2.0, 5.0]])))
        >>> record["n_samples"], len(record["positive"])
        (1, 2)
    """
    positive, negative = order_strength(interactions)
    normalized_positive, normalized_negative = order_strength(interactions, normalize=True)
    return {
        "n_variables": interactions.n_variables,
        "positive": positive.tolist(),
        "negative": negative.tolist(),
        "normalized_positive": normalized_positive.tolist(),
        "normalized_negative": normalized_negative.tolist(),
        "cancellation": cancellation(positive, negative).tolist(),
        "mean_order": mean_order(positive, negative),
        "high_order_share": high_order_share(positive, negative),
        "salient_count": salient_counts(interactions).double().mean().item(),
        "l1": interactions.l1.mean().item(),
        "threshold": interactions.threshold,
        "noise_bound": interactions.noise_bound.mean().item(),
        "matching_error": interactions.matching_error().max().item(),
        "solver_gap": interactions.gap.max().item(),
        "n_samples": len(interactions),
        "n_dropped": len(interactions.provenance.get("dropped", [])),
        **conditions(interactions).as_record(),
    }


def failed(n_variables: int) -> dict[str, Any]:
    """The same keys for a measurement that failed: NaN everywhere.

    Args:
        n_variables: number ``n`` of input variables of a sample.

    Example:
        >>> failed(2)["positive"], failed(2)["n_samples"]
        ([nan, nan], 0)
    """
    per_order = {key: [math.nan] * n_variables for key in _PER_ORDER}
    return (
        {"n_variables": n_variables} | per_order | dict.fromkeys((*_NUMBERS, *_CONDITIONS), math.nan) | {"n_samples": 0}
    )


def scalars(record: dict[str, Any], prefix: str = PREFIX) -> dict[str, float]:
    """The numbers of a record under the keys that are logged.

    Args:
        record: one measurement as plain data; keys that it lacks, as those of an earlier version do, are NaN.
        prefix: what every key starts with.

    Returns:
        one number a key; a list becomes ``…/order_01``, ``…/order_02`` and so on.

    Example:
        >>> logged = scalars({"n_variables": 2, "mean_order": 1.2, "positive": [0.3, 0.1]})
        >>> logged["interactions/mean_order"], logged["interactions/positive/order_02"]
        (1.2, 0.1)
    """
    # Records of an earlier version lack some keys.
    logged = {key: float(record.get(key, math.nan)) for key in (*_NUMBERS, *_CONDITIONS, *FIT_NUMBERS, *_ALSO_LOGGED)}
    for key in (*_PER_ORDER, *FIT_LISTS):
        values = record.get(key, [math.nan] * record["n_variables"])
        logged |= {f"{key}/order_{order:02d}": value for order, value in enumerate(values, start=1)}
    return {f"{prefix}{key}": value for key, value in logged.items()}
