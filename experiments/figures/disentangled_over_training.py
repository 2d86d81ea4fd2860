"""Figs. 5 and 9: decay and spindle at the time points of a training, with the loss gap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from experiments.figures.draw import distribution, early_epochs_wide, residual, same_scale
from experiments.figures.fits import share_in_words
from lightning_interactions import disentangle
from lightning_interactions.distribution.strength import sample_order_strength
from lightning_interactions.plots.style import GAP, POSITIVE, shade_overfitting

if TYPE_CHECKING:
    from experiments.figures.run_folder import RunFolder

__all__ = ["draw", "numbers"]


def numbers(run: RunFolder) -> dict[str, Any]:
    """Eq. 9 fitted at every measured epoch, with the end of the normal phase as the reference.

    At the reference itself the fit is perfect and the share 0 by construction.
    """
    reference = run.interactions(run.reference_epoch)
    epochs, fits = [], []
    for record in run.history:
        up, down = sample_order_strength(run.interactions(record["epoch"]))
        if (up + down).sum() > 0:
            epochs.append(record["epoch"])
            fits.append(disentangle(up, down, reference))
    history = run.history
    return {
        "n_variables": run.n_variables,
        "reference_epoch": run.reference_epoch,
        "onset_epoch": run.onset_epoch,
        "epochs": epochs,
        "time_points": run.time_points(),
        "loss_gap": [history[epoch]["loss_gap"] for epoch in epochs],
        "mean_order": [history[epoch]["mean_order"] for epoch in epochs],
        "spindle_share": [fit.spindle_share for fit in fits],
        "spindle_share_low": [fit.intervals["spindle_share"][0] for fit in fits],
        "spindle_share_high": [fit.intervals["spindle_share"][1] for fit in fits],
        "identified": [int(fit.identified) for fit in fits],
        "r_squared": [fit.r_squared for fit in fits],
        "relative_l1": [fit.relative_l1 for fit in fits],
        **{name: [getattr(fit, name) for fit in fits] for name in ("alpha", "beta", "gamma", "delta")},
        "decay": [fit.decay.tolist() for fit in fits],
        "spindle": [fit.spindle.tolist() for fit in fits],
        "residual": [fit.residual.tolist() for fit in fits],
    }


def draw(found: dict[str, Any]) -> Figure:
    """Measured strength, decay, spindle and residual at the time points; the share and the loss gap at all epochs."""
    points = [epoch for epoch in found["time_points"] if epoch in found["epochs"]]
    figure = Figure(figsize=(2.0 * len(points) + 4.4, 7.2), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=[2.0 * len(points), 4.0])
    left, right = halves
    axes = left.subplots(4, len(points), squeeze=False)
    for column, (letter, epoch) in enumerate(zip("ABCD", points, strict=False)):
        place = found["epochs"].index(epoch)
        curve, rest = found["spindle"][place], found["residual"][place]
        decays = found["decay"][place]
        up, down = ([d + s + r for d, s, r in zip(decays[side], curve, rest[side], strict=True)] for side in (0, 1))
        distribution(axes[0][column], up, down, f"{letter}: epoch {epoch}\nmeasured")
        title = f"decay, γ = {found['gamma'][place]:.2f}, δ = {found['delta'][place]:.1e}"
        distribution(axes[1][column], decays[0], decays[1], title)
        low, share, high = (found[f"spindle_share{end}"][place] for end in ("_low", "", "_high"))
        distribution(
            axes[2][column],
            curve,
            curve,
            f"spindle, α = {found['alpha'][place]:.2f}\nshare {share_in_words(share, low, high)}",
        )
        residual(axes[3][column], rest[0], rest[1], found["relative_l1"][place])
        axes[3][column].set_xlabel("order", fontsize=7)
        same_scale([axes[row][column] for row in range(3)])
        axes[3][column].set_ylim(axes[0][column].get_ylim())
    axes[3][0].legend(fontsize=7, frameon=False)
    axes[0][0].set_ylabel("strength (nats)", fontsize=8)
    _curves(right, found, points)
    return figure


def _curves(figure: Any, found: dict[str, Any], points: list[int]) -> None:
    upper, lower = figure.subplots(2, 1, sharex=True)
    epochs = found["epochs"]
    upper.fill_between(epochs, found["spindle_share_low"], found["spindle_share_high"], color=POSITIVE, alpha=0.2)
    upper.plot(epochs, found["spindle_share"], marker=".", color=POSITIVE)
    upper.set_ylabel("spindle share with its interval", fontsize=8)
    upper.set_ylim(-0.03, 1.03)
    lower.plot(epochs, found["loss_gap"], marker=".", color=GAP)
    lower.set_ylabel("loss gap (nats)", fontsize=8)
    lower.set_xlabel("epoch", fontsize=8)
    for ax in (upper, lower):
        ax.tick_params(labelsize=7)
        early_epochs_wide(ax, epochs)
        for epoch in points:
            ax.axvline(epoch, color="black", linewidth=0.8, linestyle=":")
        shade_overfitting(ax, [{"epoch": epochs[-1], "onset_epoch": found["onset_epoch"]}])
    upper.set_title(f"reference: epoch {found['reference_epoch']}; shaded: overfitting phase", fontsize=8)
