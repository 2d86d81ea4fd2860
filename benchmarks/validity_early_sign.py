"""Whether the spindle, or what is measured beside it, rises before the gap between the losses does."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from watched_quickstart import EVERY, train

from lightning_interactions.distribution.disentangle import disentangle
from lightning_interactions.distribution.phases import end_of_normal_phase
from lightning_interactions.distribution.segmentation import segment
from lightning_interactions.distribution.strength import (
    high_order_share,
    mean_order,
    salient_counts,
    sample_order_strength,
)
from lightning_interactions.interactions import Interactions
from lightning_interactions.run_files import interactions_file

if TYPE_CHECKING:
    import argparse

    from lightning_interactions.history import History

__all__ = ["early_sign"]

WATCHED = "spindle_share"
"""With the best network so far as the reference, as the monitor has it while it watches."""
HINDSIGHT = "spindle_share, reference in hindsight"
"""With the end of the normal phase as the reference, at all epochs."""
SURE = 0.95
"""Share of the bootstrap draws in which a measure must lie above its lowest value so far."""


def early_sign(options: argparse.Namespace) -> dict[str, Any]:
    """On runs with more and less to overfit to: when does each measure first rise, and when does the gap?"""
    rows = []
    settings = [(label_noise, decay_) for label_noise in (0.0, 0.05, 0.1, 0.2) for decay_ in (5e-4, 0.0)]
    settings = (settings + settings[::2])[: options.repeats or 12]
    for seed, (label_noise, decay_) in enumerate(settings, start=10):
        with tempfile.TemporaryDirectory() as folder:
            _, monitor = train(Path(folder), seed=seed, label_noise=label_noise, weight_decay=decay_)
            history = monitor.history
            measured = [Interactions.load(interactions_file(monitor.folder, epoch)) for epoch in history.epochs]
        found = segment(history)
        rows.append(
            {"seed": seed, "label_noise": label_noise, "weight_decay": decay_, "onset": found.onset_epoch}
            | {"interval": found.onset_interval, "detected": found.detected_epoch}
            | {"rises": first_rises(history, measured, found.onset_epoch)}
        )
        print(rows[-1], flush=True)
    return {"every": EVERY, "rows": rows}


def first_rises(history: History, measured: list[Interactions], onset: float | None) -> dict[str, int | None]:
    """The first epoch at which each measure has risen for certain."""
    epochs, losses = history.epochs, history.column("held_out_loss")
    best_so_far = [end_of_normal_phase(epochs[: place + 1], losses[: place + 1]) for place in range(len(epochs))]
    end = end_of_normal_phase(epochs, losses, onset)
    found = {
        WATCHED: share_rises(epochs, measured, [epochs[0] if best is None else best for best in best_so_far]),
        HINDSIGHT: share_rises(epochs, measured, [epochs[0] if end is None else end] * len(epochs)),
    }
    return found | {name: drawn_rises(epochs, values) for name, values in companions(measured).items()}


def share_rises(epochs: list[int], measured: list[Interactions], references: list[int]) -> int | None:
    """The first epoch after its reference, where the share is 0, at which the share's interval leaves out 0."""
    for place, (epoch, reference) in enumerate(zip(epochs, references, strict=True)):
        if epoch > reference > 0:
            fit = disentangle(*sample_order_strength(measured[place]), measured[epochs.index(reference)])
            if fit.intervals["spindle_share"][0] > 0:
                return epoch
    return None


def companions(measured: list[Interactions], draws: int = 200) -> dict[str, list[torch.Tensor]]:
    """Measures that need no reference, at each epoch for the same bootstrap draws over the images."""
    images = len(measured[0].and_)
    rows = torch.randint(images, (draws, images), generator=torch.Generator().manual_seed(0))
    curves: dict[str, list[torch.Tensor]] = {"mean_order": [], "high_order_share": [], "salient_count": []}
    for found in measured:
        positive, negative = sample_order_strength(found)
        drawn = [(positive[row].mean(dim=0), negative[row].mean(dim=0)) for row in rows]
        curves["mean_order"].append(torch.tensor([mean_order(*sides) for sides in drawn]))
        curves["high_order_share"].append(torch.tensor([high_order_share(*sides) for sides in drawn]))
        curves["salient_count"].append(salient_counts(found).double()[rows].mean(dim=1))
    return curves


def drawn_rises(epochs: list[int], values: list[torch.Tensor]) -> int | None:
    """The first epoch above the lowest one so far; the same draws, so that what differs between images cancels."""
    means = [value.mean().item() for value in values]
    for later in range(1, len(epochs)):
        lowest = int(np.nanargmin(means[:later]))
        if (values[later] > values[lowest]).double().mean() >= SURE:
            return epochs[later]
    return None
