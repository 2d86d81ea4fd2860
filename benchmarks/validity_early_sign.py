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

__all__ = ["early_sign"]


COMPANIONS = ("spindle_share", "mean_order", "high_order_share", "salient_count")


def early_sign(options: argparse.Namespace) -> dict[str, Any]:
    """On runs with more and less to overfit to: when does each measure first rise, and when does the gap?"""
    rows = []
    settings = [(label_noise, decay_) for label_noise in (0.0, 0.05, 0.1, 0.2) for decay_ in (5e-4, 0.0)]
    settings = (settings + settings[::2])[: options.repeats or 12]
    for number, (label_noise, decay_) in enumerate(settings):
        with tempfile.TemporaryDirectory() as folder:
            _, monitor = train(Path(folder), seed=10 + number, label_noise=label_noise, weight_decay=decay_)
            epochs = monitor.history.epochs
            measured = [Interactions.load(interactions_file(monitor.folder, epoch)) for epoch in epochs]
        found = segment(monitor.history)
        end = end_of_normal_phase(epochs, monitor.history.column("held_out_loss"), found.onset_epoch)
        reference = measured[epochs.index(end)]
        rises = first_rises(epochs, measured, reference)
        rows.append(
            {"label_noise": label_noise, "weight_decay": decay_, "onset": found.onset_epoch}
            | {"interval": found.onset_interval, "detected": found.detected_epoch, "rises": rises}
        )
        print(rows[-1], flush=True)
    return {"every": EVERY, "rows": rows}


def first_rises(
    epochs: list[int], measured: list[Interactions], reference: Interactions, draws: int = 200
) -> dict[str, int | None]:
    """First epoch at which a measure lies above its lowest value so far in 95 % of bootstrap draws over the images."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(len(reference.and_), (draws, len(reference.and_)), generator=generator)
    curves: dict[str, list[torch.Tensor]] = {name: [] for name in COMPANIONS[1:]}
    ends, points = [], []
    for found in measured:
        positive, negative = sample_order_strength(found)
        counts = salient_counts(found).double()
        drawn = [(positive[row].mean(dim=0), negative[row].mean(dim=0)) for row in rows]
        curves["mean_order"].append(torch.tensor([mean_order(*sides) for sides in drawn]))
        curves["high_order_share"].append(torch.tensor([high_order_share(*sides) for sides in drawn]))
        curves["salient_count"].append(counts[rows].mean(dim=1))
        fit = disentangle(positive, negative, reference)
        ends.append(fit.intervals["spindle_share"])
        points.append(fit.spindle_share)
    rises: dict[str, int | None] = dict.fromkeys(COMPANIONS)
    for name, values in curves.items():
        # The same images in every draw, so that what differs between images cancels.
        means = [value.mean().item() for value in values]
        for later in range(1, len(epochs)):
            lowest = int(np.nanargmin(means[:later]))
            if (values[later] > values[lowest]).double().mean() >= 0.95:  # noqa: PLR2004
                rises[name] = epochs[later]
                break
    for later in range(1, len(epochs)):
        # Two intervals that do not overlap.
        if ends[later][0] > ends[int(np.nanargmin(points[:later]))][1]:
            rises["spindle_share"] = epochs[later]
            break
    return rises
