"""The pictures of these pages: ``python docs/pictures.py [--run FOLDER]``.

The shapes are drawn from the formulas, so that everybody gets the same. With the log folder of a quickstart
(``make demo``) the pictures of a real training are drawn too, from its files.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lightning_interactions import lattice, sparsify, spindle
from lightning_interactions.distribution.decay import decay
from lightning_interactions.distribution.disentangle import disentangle
from lightning_interactions.plots import decomposition, strength_by_order, strength_heat_map, time_lines
from lightning_interactions.plots.style import new_axes
from lightning_interactions.refit import refit

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from lightning_interactions.interactions import Interactions

__all__ = ["combined", "generalising_network", "main", "shapes", "training"]

FOLDER = Path(__file__).parent
_N = 8
_DPI = 90


def generalising_network(n_samples: int = 12, seed: int = 0) -> Interactions:
    """Interactions such as a network has that has learned simple things: few, of low orders, mostly in favour."""
    generator = torch.Generator().manual_seed(seed)
    orders = lattice.subset_order(_N)
    present = torch.rand(n_samples, 2**_N, generator=generator) < torch.tensor([0, 0.8, 0.35, 0.06, *[0] * 5])[orders]
    size = torch.randn(n_samples, 2**_N, generator=generator) + 0.7
    effects = torch.where(present, size, 0.0).double()
    return sparsify(lattice.zeta(effects), solver="none")


def shapes() -> Figure:
    """A decay beside a spindle."""
    reference = generalising_network()
    axes = new_axes(2, (7.2, 2.9), stacked=False)
    strength_by_order(*_decay(reference), axes[0], "decay: low orders, one sign outweighs")
    strength_by_order(*[spindle(_N, alpha=1.0, beta=0.05)] * 2, axes[1], "spindle: middle orders, both signs alike")
    axes[0].set_ylabel("strength")
    return axes[0].figure


def combined() -> Figure:
    """Both together, and what the fit makes of them."""
    reference = generalising_network()
    noise = spindle(_N, alpha=1.0, beta=0.025)
    positive, negative = (part + noise for part in _decay(reference))
    found = disentangle(positive, negative, reference, threshold=0.0, delta_range=(1e-4, 0.1))
    low, high = found.intervals["spindle_share"]
    record = {
        "positive": positive.tolist(),
        "negative": negative.tolist(),
        "decay_positive": found.decay[0].tolist(),
        "decay_negative": found.decay[1].tolist(),
        "spindle": found.spindle.tolist(),
    }
    axes = new_axes(2, (7.2, 2.9), stacked=False)
    strength_by_order(positive, negative, axes[0], "what is measured")
    decomposition(record, axes[1], f"the fit: spindle share {found.spindle_share:.2f}, in {low:.2f} … {high:.2f}")
    axes[0].set_ylabel("strength")
    return axes[0].figure


def training(run: Path) -> dict[str, Figure]:
    """A training over time: shares of the orders, and the three curves."""
    # Without the reasons, which are longer than the picture is wide.
    history = [record | {"phase_message": record["phase_message"].partition(":")[0]} for record in refit(run)]
    axes = new_axes(1, (5.0, 2.6), stacked=True)
    strength_heat_map(history, axes[0])
    lines, _ = time_lines(history)
    return {"heat_map.png": axes[0].figure, "time_lines.png": lines}


def main(argv: list[str] | None = None) -> None:
    """Draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="log folder of a quickstart")
    parser.add_argument("--output", type=Path, default=FOLDER / "pictures", help="folder of the pictures (%(default)s)")
    args = parser.parse_args(argv)
    args.output.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {"shapes.png": shapes(), "combined.png": combined()}
    if args.run is not None:
        figures |= training(args.run)
    for name, figure in figures.items():
        figure.savefig(args.output / name, dpi=_DPI)


def _decay(reference: Interactions) -> tuple[Tensor, Tensor]:
    return decay(reference.and_, reference.or_, delta=0.02, gamma=1.0)


if __name__ == "__main__":
    main()
