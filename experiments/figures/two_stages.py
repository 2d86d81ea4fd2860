"""Fig. 2: the two stages of a training, and what newly emerges in the second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from matplotlib.figure import Figure

from experiments.figures.draw import distribution, early_epochs_wide, same_scale
from experiments.figures.fits import decay_as_record, peak_order, spindle_as_record
from lightning_interactions.distribution.emerged import emerged_between, emerged_under_noise
from lightning_interactions.plots import loss_curves

if TYPE_CHECKING:
    from experiments.figures.run_folder import RunFolder

__all__ = ["draw", "numbers"]

_LOSSES = ("epoch", "train_loss", "held_out_loss", "loss_gap", "onset_epoch")


def numbers(run: RunFolder) -> dict[str, Any]:
    r"""Normalised strength at four time points, and :math:`\Delta A` between the end of the normal phase and later.

    :math:`\Delta A^{(m),\pm} = |A^{(m),\pm}_{later} - A^{(m),\pm}_{end}|` per order (Section 2.2.1), of the normalised
    strength (Appendix I.3), to which the spindle of Eq. 6 and the decay of Eq. 8 are fitted each on its own.
    """
    history, end = run.history, run.reference_epoch
    emerged = [_emerged(run, epoch) for epoch in run.time_points() if epoch > end]
    return {
        "n_variables": run.n_variables,
        "reference_epoch": end,
        "onset_epoch": run.onset_epoch,
        "points": [_point(history[epoch]) for epoch in (run.time_points() if end else [0, *run.time_points()])],
        "emerged": [step for step in emerged if step],
        "losses": [{key: record[key] for key in _LOSSES} for record in history],
    }


def draw(found: dict[str, Any]) -> Figure:
    """Time points, losses, and the newly emerged strength with the fitted spindle."""
    points, emerged = found["points"], found["emerged"]
    columns = len(points) + len(emerged)
    figure = Figure(figsize=(2.0 * columns + 3.4, 2.6), layout="constrained")
    axes = list(figure.subplots(1, columns + 1, width_ratios=[1.0] * len(points) + [1.7] + [1.0] * len(emerged)))
    for letter, ax, point in zip("ABCD", axes, points, strict=False):
        title = f"{letter}: epoch {point['epoch']}, mean order {point['mean_order']:.2f}"
        distribution(ax, point["normalized_positive"], point["normalized_negative"], title)
        ax.set_xlabel("order", fontsize=7)
    axes[0].set_ylabel("strength / order-1 strength", fontsize=8)
    middle = axes[len(points)]
    loss_curves(found["losses"], middle, mark=[point["epoch"] for point in points])
    middle.tick_params(labelsize=7)
    early_epochs_wide(middle, [record["epoch"] for record in found["losses"]])
    for ax, step in zip(axes[len(points) + 1 :], emerged, strict=True):
        curve = step["spindle"]["curve"]
        title = f"ΔA, epoch {found['reference_epoch']} → {step['epoch']}\nspindle R² {step['spindle']['r_squared']:.2f}"
        distribution(ax, step["positive"], step["negative"], title, (curve, curve))
        ax.set_xlabel("order", fontsize=7)
    same_scale(axes[len(points) + 1 :])
    return figure


def _emerged(run: RunFolder, epoch: int) -> dict[str, Any]:
    """What has emerged since the end of the normal phase; empty where nothing has or the strength has no scale."""
    reference, later = run.interactions(run.reference_epoch), run.interactions(epoch)
    try:
        found = emerged_between(reference, later, normalize=True, reference=reference)
    except ValueError:
        return {}
    if found.spindle is None:
        return {}
    plain = emerged_between(reference, later, reference=reference)
    single = emerged_under_noise(reference, later, reference=reference)
    return {
        "epoch": epoch,
        "positive": found.positive.tolist(),
        "negative": found.negative.tolist(),
        "peak_order": peak_order(found.positive, found.negative),
        "spindle": spindle_as_record(found.spindle),
        "decay": decay_as_record(found.decay),
        # The same question asked in two other ways: without normalising, and effect by effect as in Eq. 5.
        "others": {
            name: {
                "peak_order": peak_order(other.positive, other.negative),
                "spindle": spindle_as_record(other.spindle),
                "decay": decay_as_record(other.decay),
            }
            for name, other in (("not normalised", plain), ("effect by effect", single))
        },
    }


def _point(record: dict[str, Any]) -> dict[str, Any]:
    keys = ("epoch", "mean_order", "positive", "negative", "normalized_positive", "normalized_negative", "loss_gap")
    peak = peak_order(torch.tensor(record["positive"]), torch.tensor(record["negative"]))
    return {key: record[key] for key in keys} | {"peak_order": peak}
