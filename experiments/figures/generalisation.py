"""Fig. 6: the similarity between interactions of training and of test samples, order by order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from matplotlib.figure import Figure

from experiments.figures.fits import spearman
from lightning_interactions import Interactions
from lightning_interactions.distribution.similarity import similarity
from lightning_interactions.plots.style import POSITIVE

if TYPE_CHECKING:
    from experiments.figures.run_folder import RunFolder

__all__ = ["draw", "numbers"]

_EACH_CLASS = "#555555"
_ARRAYS = ("values", "and_", "or_", "l1", "gap", "noise_bound")


def numbers(run: RunFolder) -> dict[str, Any]:
    """The Jaccard similarity of each order (Definition 2.2), the mean over the classes, at each epoch measured.

    An order without any salient effect on either side has no similarity; it is left out of means and correlation.
    """
    measured = [_at_epoch(run, epoch) for epoch in run.similarity_epochs()]
    if not measured:
        msg = f"The run '{run.path}' has not measured training and test samples. HINT: set `similarity.at_epochs`."
        raise FileNotFoundError(msg)
    return {"n_variables": run.n_variables, "reference_epoch": run.reference_epoch, "points": measured}


def _at_epoch(run: RunFolder, epoch: int) -> dict[str, Any]:
    classes = run.similarity_classes
    sides = {part: run.interactions(epoch, part) for part in ("train", "test")}
    common = sorted(set(classes["train"]) & set(classes["test"]))
    per_class = [
        similarity(*(_of_class(sides[part], classes[part], label) for part in ("train", "test"))).tolist()
        for label in common
    ]
    mean = torch.tensor(per_class, dtype=torch.float64).nanmean(dim=0).tolist()
    orders = [order for order, value in enumerate(mean, start=1) if math.isfinite(value)]
    return {
        "epoch": epoch,
        "classes": common,
        "samples_per_class": round(len(classes["test"]) / len(common)),
        "per_class": per_class,
        "similarity": mean,
        "last_order": max(orders, default=0),
        "spearman": spearman(orders, [mean[order - 1] for order in orders]),
    }


def _of_class(interactions: Interactions, classes: list[int], label: int) -> Interactions:
    """The rows of one class; ``provenance`` says which of the samples could be explained."""
    kept = interactions.provenance.get("samples", range(len(interactions)))
    rows = [row for row, sample in enumerate(kept) if classes[sample] == label]
    arrays = {name: getattr(interactions, name)[rows] for name in _ARRAYS}
    return Interactions(**arrays, threshold=interactions.threshold)


def draw(found: dict[str, Any]) -> Figure:
    """At each epoch the mean over the classes as bars, each class as a thin line."""
    points = found["points"]
    figure = Figure(figsize=(3.2 * len(points) + 0.4, 2.8), layout="constrained")
    orders = range(1, found["n_variables"] + 1)
    for ax, point in zip(figure.subplots(1, len(points), squeeze=False, sharey=True)[0], points, strict=True):
        ax.bar(orders, point["similarity"], color=POSITIVE)
        for values in point["per_class"]:
            ax.plot(orders, values, color=_EACH_CLASS, linewidth=0.5)
        ax.set_xlabel("order")
        ax.tick_params(labelsize=7)
        each = point["samples_per_class"]
        ax.set_title(
            f"epoch {point['epoch']}: {len(point['classes'])} classes, {each} + {each} samples each\n"
            f"Spearman {point['spearman']:.2f}",
            fontsize=8,
        )
        ax.set_ylabel("Jaccard similarity", fontsize=8)
    return figure
