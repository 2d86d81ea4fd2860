"""Fig. 7: Theorem 2.3 applied to the overfitted network, against what was measured before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from experiments.figures.draw import distribution, page, same_scale
from experiments.figures.fits import decay_as_record, r_squared
from lightning_interactions import order_strength
from lightning_interactions.distribution.emerged import fit_decay

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from experiments.figures.run_folder import RunFolder

__all__ = ["draw", "numbers"]

_APPENDIX_H = (1e-6, 1e-3)
"""The δ that the paper allows in its experiments; Theorem 2.3 itself has no upper end."""


def numbers(run: RunFolder) -> dict[str, Any]:
    r"""The best :math:`\gamma M(\delta) I^*` with :math:`I^*` of the last checkpoint, at three earlier time points.

    The time points are the first, the middle and the last but one measurement of the overfitting phase. Beside the fit
    stands that of :math:`\gamma` alone (:math:`\delta = 0`): what the theorem adds is the difference. A third one keeps
    to :math:`\delta \le 10^{-3}`, as Appendix H does.
    """
    epochs = run.history.epochs
    last = run.interactions(epochs[-1])
    up_last, down_last = order_strength(last)
    ends = torch.cat([up_last, down_last])
    points = []
    for epoch in _three([epoch for epoch in epochs[:-1] if epoch >= run.onset_epoch]):
        up, down = order_strength(run.interactions(epoch))
        observed = torch.cat([up, down])
        scale = max((ends @ observed / ends.square().sum()).item(), 0.0)
        points.append(
            {"epoch": epoch, "real_positive": up.tolist(), "real_negative": down.tolist()}
            | decay_as_record(fit_decay(up, down, last))
            | {"r_squared_scaling": r_squared(observed, scale * ends)}
            | {"r_squared_appendix_h": fit_decay(up, down, last, delta_range=_APPENDIX_H).r_squared}
        )
    return {"n_variables": run.n_variables, "last_epoch": epochs[-1], "points": points}


def draw(found: dict[str, Any]) -> Figure:
    """For each time point the measured distribution beside the theoretical one."""
    points = found["points"]
    figure, axes = page(1, max(1, 2 * len(points)), height=2.3)
    if not points:
        axes[0][0].text(0.5, 0.5, "no overfitting phase", ha="center", va="center", transform=axes[0][0].transAxes)
    for place, point in enumerate(points):
        real, theory = axes[0][2 * place : 2 * place + 2]
        distribution(real, point["real_positive"], point["real_negative"], f"epoch {point['epoch']}\nreal")
        title = f"γM(δ)I* of epoch {found['last_epoch']}\nδ = {point['delta']:.1e}, R² {point['r_squared']:.2f}"
        distribution(theory, point["positive"], point["negative"], title)
        same_scale([real, theory])
        for ax in (real, theory):
            ax.set_xlabel("order", fontsize=7)
    axes[0][0].set_ylabel("strength (nats)", fontsize=7)
    return figure


def _three(epochs: list[int]) -> list[int]:
    return sorted({epochs[0], epochs[len(epochs) // 2], epochs[-1]}) if epochs else []
