"""Figs. 3, 4 and 8: what noise in the weights and steps on the inputs add to a trained network's interactions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from experiments.figures.draw import distribution, page, residual, same_scale
from experiments.figures.fits import peak_order, share_in_words, spearman, spindle_as_record
from lightning_interactions import Interactions, disentangle, order_strength
from lightning_interactions.distribution.emerged import emerged_under_noise
from lightning_interactions.distribution.strength import sample_order_strength
from lightning_interactions.interactions import common_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from experiments.figures.run_folder import RunFolder

__all__ = ["disentangled", "draw_disentangled", "draw_emerged", "emerged"]

_SHOWN_ORDERS = 8
_TITLES = {"weight_noise": "weight noise", "fgsm": "FGSM"}


def emerged(run: RunFolder) -> dict[str, Any]:
    r"""Newly emerged interactions (Eq. 5) for each kind and :math:`\sigma`, and the spindle of Eq. 6 fitted to them.

    Changes up to the clean network's threshold are left out, as
    :func:`~lightning_interactions.distribution.emerged.emerged_under_noise` does by default.
    """
    index, clean = _index(run), Interactions.load(run.injected() / "clean.npz")
    kinds: dict[str, Any] = {}
    for step in index["steps"]:
        found = emerged_under_noise(clean, Interactions.load(run.injected() / step["file"]))
        kinds.setdefault(step["kind"], {"steps": []})["steps"].append(
            {
                "sigma": step["sigma"],
                "positive": found.positive.tolist(),
                "negative": found.negative.tolist(),
                "total": found.total,
                "peak_order": peak_order(found.positive, found.negative),
                "spindle": spindle_as_record(found.spindle),
            }
        )
    for measured in kinds.values():
        sigmas = [step["sigma"] for step in measured["steps"]]
        measured["spearman_total"] = spearman(sigmas, [step["total"] for step in measured["steps"]])
    return _about(run, index) | {"kinds": kinds}


def disentangled(run: RunFolder) -> dict[str, Any]:
    r"""Eq. 9 for each disturbed network, with the undisturbed one as the reference :math:`I^*`."""
    index, clean = _index(run), Interactions.load(run.injected() / "clean.npz")
    up, down = order_strength(clean)
    kinds: dict[str, Any] = {}
    for step in index["steps"]:
        disturbed = Interactions.load(run.injected() / step["file"])
        rows, others = common_rows(disturbed.sample_numbers, clean.sample_numbers)
        strength = sample_order_strength(disturbed.rows(rows))
        fit = disentangle(*strength, clean.rows(others))
        kinds.setdefault(step["kind"], {"steps": []})["steps"].append(
            {
                "sigma": step["sigma"],
                "positive": strength[0].mean(dim=0).tolist(),
                "negative": strength[1].mean(dim=0).tolist(),
                "decay": fit.decay.tolist(),
                "spindle": fit.spindle.tolist(),
                "residual": fit.residual.tolist(),
                "decay_total": fit.decay.sum().item(),
                "spindle_total": 2 * fit.spindle.sum().item(),
                "spindle_share": fit.spindle_share,
                "spindle_share_interval": list(fit.intervals["spindle_share"]),
                "identified": int(fit.identified),
                "relative_l1": fit.relative_l1,
                **{name: getattr(fit, name) for name in ("alpha", "beta", "gamma", "delta", "r_squared")},
            }
        )
    for found in kinds.values():
        sigmas = [step["sigma"] for step in found["steps"]]
        found["spearman_spindle"] = spearman(sigmas, [step["spindle_total"] for step in found["steps"]])
    return _about(run, index) | {"clean_total": (up + down).sum().item(), "kinds": kinds}


def draw_emerged(found: dict[str, Any]) -> Figure:
    """One row a kind, one column a σ: the measured newly emerged strength and the fitted spindle."""
    columns = max(len(kind["steps"]) for kind in found["kinds"].values())
    figure, axes = page(len(found["kinds"]), columns, height=2.1)
    for row, (kind, measured) in zip(axes, found["kinds"].items(), strict=True):
        for ax, step in zip(row, measured["steps"], strict=False):
            curve = step["spindle"]["curve"]
            title = f"{_TITLES[kind]}, σ = {_sigma(kind, step['sigma'])}\nspindle R² {step['spindle']['r_squared']:.2f}"
            distribution(ax, step["positive"], step["negative"], title, (curve, curve))
        same_scale(row)
        row[0].set_ylabel("newly emerged strength (nats)", fontsize=7)
    for ax in axes[-1]:
        ax.set_xlabel("order", fontsize=7)
    return figure


def draw_disentangled(found: dict[str, Any], only_ends: bool = False) -> Figure:
    """One row a kind and σ: measured, decay, spindle and residual over the orders 1 … 8.

    Args:
        found: the numbers.
        only_ends: only the smallest and the largest σ of each kind, as in Fig. 4.
    """
    rows = [
        (kind, step)
        for kind, measured in found["kinds"].items()
        for step in (measured["steps"][:: max(1, len(measured["steps"]) - 1)] if only_ends else measured["steps"])
    ]
    figure, axes = page(len(rows), 4, height=1.6)
    for row, (kind, step) in zip(axes, rows, strict=True):
        shown = slice(0, _SHOWN_ORDERS)
        title = f"{_TITLES[kind]}, σ = {_sigma(kind, step['sigma'])}"
        distribution(row[0], step["positive"][shown], step["negative"][shown], title)
        up, down = (side[shown] for side in step["decay"])
        distribution(row[1], up, down, f"decay, total {step['decay_total']:.2g}")
        curve = step["spindle"][shown]
        low, high = step["spindle_share_interval"]
        distribution(row[2], curve, curve, f"spindle, share {share_in_words(step['spindle_share'], low, high)}")
        up, down = (side[shown] for side in step["residual"])
        residual(row[3], up, down, step["relative_l1"])
        same_scale(row[:3])
        row[3].set_ylim(row[0].get_ylim())
        row[0].set_ylabel("strength (nats)", fontsize=7)
    for ax in axes[-1]:
        ax.set_xlabel("order", fontsize=7)
    return figure


def _about(run: RunFolder, index: dict[str, Any]) -> dict[str, Any]:
    return {"n_variables": run.n_variables, "epoch": index["epoch"], "sigma_unit": index["sigma_unit"]}


def _index(run: RunFolder) -> dict[str, Any]:
    path = run.injected() / "index.json"
    if not path.exists():
        msg = f"'{path}' is missing. HINT: python -m experiments inject --run {run.path} makes the measurements."
        raise FileNotFoundError(msg)
    return json.loads(path.read_text())


def _sigma(kind: str, sigma: float) -> str:
    return f"{sigma * 255:.0f}/255" if kind == "fgsm" else f"{sigma:g}"
