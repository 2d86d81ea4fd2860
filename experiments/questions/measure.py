"""One way to measure: the strength of the orders, and the spindle share, of the same networks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lightning_interactions import disentangle
from lightning_interactions.callback.samples import Samples
from lightning_interactions.distribution.strength import mean_order, order_strength, sample_order_strength

if TYPE_CHECKING:
    from experiments.restore import Restored
    from lightning_interactions import Interactions, Variables

__all__ = ["N_SAMPLES", "measure", "point"]

N_SAMPLES = 20
"""Samples explained for each setting."""


def measure(networks: list[Restored], variables: Variables, solver: str) -> list[dict[str, Any]]:
    """Strength at each epoch, and the spindle share with this setting's own end of the normal phase as reference."""
    explained = [_explain(network, variables, solver) for network in networks]
    return [point(network.epoch, found, explained[1]) for network, found in zip(networks, explained, strict=True)]


def _explain(network: Restored, variables: Variables, solver: str) -> Interactions:
    some = Samples(network.samples.inputs[:N_SAMPLES], network.samples.targets[:N_SAMPLES])
    return network.monitor.settings.explain(network.module, some, variables, solver=solver)


def point(epoch: int, found: Interactions, reference: Interactions) -> dict[str, Any]:
    """What is said of one epoch: strength, mean order, L1, the solver's gap, and the spindle share of Eq. 9."""
    positive, negative = order_strength(found, normalize=True)
    plain = order_strength(found)
    fit = disentangle(*sample_order_strength(found), reference) if sum(side.sum() for side in plain) > 0 else None
    return {
        "epoch": epoch,
        "positive": positive.tolist(),
        "negative": negative.tolist(),
        "mean_order": mean_order(*plain),
        "l1": found.l1.mean().item(),
        "solver": found.provenance["solver"],
        "solver_gap": found.gap.max().item(),
        "spindle_share": math.nan if fit is None else fit.spindle_share,
        "spindle_share_interval": [math.nan] * 2 if fit is None else list(fit.intervals["spindle_share"]),
    }
