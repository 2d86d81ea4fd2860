"""Fig. 6: the similarity between interactions of training and of test samples, order by order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from matplotlib.figure import Figure

from experiments.figures.fits import spearman
from lightning_interactions.distribution.similarity import similarity
from lightning_interactions.distribution.strength import salient_effects
from lightning_interactions.lattice import subset_order
from lightning_interactions.plots.style import HELD_OUT, POSITIVE

if TYPE_CHECKING:
    from experiments.figures.run_folder import RunFolder
    from lightning_interactions import Interactions

__all__ = ["draw", "numbers"]

_EACH_CLASS = "#555555"
_HALVES = {"between": "training and test", "within": "training and training"}


def numbers(run: RunFolder) -> dict[str, Any]:
    """The Jaccard similarity of each order (Definition 2.2), the mean over the classes, at each epoch measured.

    An order without any salient effect on either side has no similarity; it is left out of means and correlation.

    Samples of one class differ among themselves too, and the more the higher the order. ``halves`` therefore compares
    half as many samples on each side: those of the two sets ``"between"`` them, and the training samples ``"within"``
    themselves. What training and test samples share less than training samples do is the difference of the two.
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
    pairs = [tuple(_of_class(sides[part], classes[part], label) for part in ("train", "test")) for label in common]
    salient = torch.stack([_has_salient(side) for side in sides.values()]).any(dim=0)
    per_class = torch.stack([similarity(*pair) for pair in pairs]).where(salient, math.nan)
    mean = per_class.nanmean(dim=0).tolist()
    orders = [order for order, value in enumerate(mean, start=1) if math.isfinite(value)]
    return {
        "epoch": epoch,
        "classes": common,
        "samples_per_class": round(len(classes["test"]) / len(common)),
        "per_class": per_class.tolist(),
        "similarity": mean,
        "last_order": max(orders, default=0),
        "spearman": spearman(orders, [mean[order - 1] for order in orders]),
        "halves": _halves(pairs, salient),
    }


def _has_salient(interactions: Interactions) -> torch.Tensor:
    """Of each order 1 … n, whether any sample has a salient effect of it."""
    and_, or_ = salient_effects(interactions, threshold=None)
    orders = subset_order(interactions.n_variables)[((and_ != 0) | (or_ != 0)).any(dim=0)]
    return torch.isin(torch.arange(1, interactions.n_variables + 1), orders)


def _halves(pairs: list[tuple[Interactions, ...]], salient: torch.Tensor) -> dict[str, Any]:
    """The similarity of half as many samples, between the sets and within the training samples; means over classes."""
    size = min(len(side) for pair in pairs for side in pair) // 2
    if size == 0:
        return {}
    found: dict[str, list[torch.Tensor]] = {"between": [], "within": []}
    for train, test in pairs:
        (first, second), others = _two_of(train, size), _two_of(test, size)
        found["within"].append(similarity(first, second))
        found["between"] += [similarity(mine, other) for mine in (first, second) for other in others]
    means = {kind: torch.stack(values).nanmean(dim=0).where(salient, math.nan) for kind, values in found.items()}
    return {"samples": size} | {kind: mean.tolist() for kind, mean in means.items()}


def _two_of(interactions: Interactions, size: int) -> tuple[Interactions, Interactions]:
    return interactions.rows(range(size)), interactions.rows(range(size, 2 * size))


def _of_class(interactions: Interactions, classes: list[int], label: int) -> Interactions:
    """The rows of one class, of the samples that could be explained."""
    samples = interactions.sample_numbers
    return interactions.rows([row for row, sample in enumerate(samples) if classes[sample] == label])


def draw(found: dict[str, Any]) -> Figure:
    """At each epoch the mean over the classes as bars, each class as a thin line; the halves as thick ones."""
    points = found["points"]
    figure = Figure(figsize=(3.2 * len(points) + 0.4, 2.8), layout="constrained")
    orders = range(1, found["n_variables"] + 1)
    for ax, point in zip(figure.subplots(1, len(points), squeeze=False, sharey=True)[0], points, strict=True):
        ax.bar(orders, point["similarity"], color=POSITIVE)
        for values in point["per_class"]:
            ax.plot(orders, values, color=_EACH_CLASS, linewidth=0.5)
        for (kind, label), style in zip(_HALVES.items(), ("-", ":"), strict=True):
            if point["halves"]:
                ax.plot(orders, point["halves"][kind], color=HELD_OUT, linestyle=style, marker=".", label=label)
        ax.set_xticks(orders)
        ax.set_xlabel("order")
        ax.tick_params(labelsize=7)
        each = point["samples_per_class"]
        ax.set_title(
            f"epoch {point['epoch']}: {len(point['classes'])} classes, {each} + {each} samples each\n"
            f"Spearman {point['spearman']:.2f}",
            fontsize=8,
        )
        ax.set_ylabel("Jaccard similarity", fontsize=8)
    if points[-1]["halves"]:
        ax.legend(
            fontsize=7, frameon=False, title=f"of {points[-1]['halves']['samples']} samples each", title_fontsize=7
        )
    return figure
