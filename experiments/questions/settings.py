"""The questions, and the ways to measure that answer them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from experiments.questions.measure import N_SAMPLES
from lightning_interactions import FeatureMapPatches, InputPatches
from lightning_interactions.masking.batches import to_device
from lightning_interactions.masking.devices import device_of
from lightning_interactions.masking.layers import find_layer

if TYPE_CHECKING:
    from collections.abc import Callable

    from experiments.restore import Restored
    from lightning_interactions import Variables

__all__ = ["QUESTIONS", "settings"]

QUESTIONS = {
    "n": "Does it depend on the number n of input variables?",
    "grid": "Does it depend on the grid that cuts the map into patches?",
    "baseline": "Does it depend on the value that replaces a masked patch, or on where is masked?",
    "draws": "Does it depend on which patches are drawn?",
    "solver": "Does the published picture depend on a solver that stops early?",
    "weight_decay": "What does weight decay do?",
}
"""The questions by name, in the order of the page."""


def settings(question: str, network: Restored) -> list[tuple[str, Variables, str]]:
    """The ways to measure that answer a question: a label, the variables and the solver.

    Args:
        question: any of :data:`QUESTIONS` but ``"weight_decay"``, which takes other networks.
        network: whose variables and solver are changed.

    Raises:
        TypeError: if the run did not mask the patches of a map.
    """
    base = network.monitor.variables
    if not isinstance(base, FeatureMapPatches):
        msg = f"`run` must mask the patches of a map, got variables of the kind {type(base).__name__}."
        raise TypeError(msg)
    solver = network.monitor.settings.solver

    def patches(**changed: Any) -> FeatureMapPatches:
        kept = {name: getattr(base, name) for name in ("layer", "grid", "border", "n_variables", "baseline", "seed")}
        return FeatureMapPatches(**(kept | changed))

    found: dict[str, Callable[[], list[tuple[str, Variables, str]]]] = {
        "n": lambda: [(f"n = {n}", patches(n_variables=n), "interior_point") for n in range(6, 13)],
        "grid": lambda: [
            (f"{grid} × {grid}, border {border}", patches(grid=grid, border=border), solver)
            for grid, border in ((4, 0), (6, 1), (8, 1), (14, 2))
        ],
        "baseline": lambda: [
            ("map, zero", patches(baseline=0.0), solver),
            ("map, mean of each channel", patches(baseline=_channel_means(network, base.layer)), solver),
            (
                "image, zero",
                InputPatches(grid=base.grid, border=base.border, n_variables=base.n_variables, baseline=0.0),
                solver,
            ),
        ],
        "draws": lambda: [(f"draw {seed}", patches(seed=seed), solver) for seed in range(5)],
        "solver": lambda: [(name, patches(), name) for name in ("interior_point", "admm", "sgd", "none")],
    }
    return found[question]()


def _channel_means(network: Restored, layer: str) -> list[float]:
    """The mean of each channel of a layer's output over the samples."""
    seen = []
    handle = find_layer(network.module, layer).register_forward_hook(lambda _m, _i, output: seen.append(output))
    try:
        with torch.no_grad():
            network.module(to_device(network.samples.inputs[:N_SAMPLES], device_of(network.module)))
    finally:
        handle.remove()
    return seen[0].mean(dim=(0, 2, 3)).tolist()
