"""The share of the spindle where it is known: mixtures of decay and spindle, and Gaussian effects."""

from __future__ import annotations

import math
import statistics
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from lightning_interactions.distribution.decay import sample_decay
from lightning_interactions.distribution.disentangle import Disentangled, disentangle
from lightning_interactions.distribution.spindle import spindle
from lightning_interactions.distribution.strength import Effects, signed_strength
from lightning_interactions.lattice import subset_order

if TYPE_CHECKING:
    import argparse

__all__ = ["mixtures"]

N_MIXTURE = 8
N_IMAGES = 50
POPULATION = 5_000

SHARES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
NOISES = (0.1, 0.3, 0.6)


def mixtures(options: argparse.Namespace) -> dict[str, Any]:
    """γM(δ)I* + spindle image by image: bias, coverage and width of the interval of the share."""
    cells = [(noise_, share, options.repeats or 100, options.seed) for noise_ in NOISES for share in SHARES]
    with ProcessPoolExecutor(initializer=torch.set_num_threads, initargs=(1,)) as pool:
        rows = list(pool.map(mixture_row, *zip(*cells, strict=True)))
    return {"seed": options.seed, "n": N_MIXTURE, "images": N_IMAGES, "rows": rows, "gaussian": gaussian(options.seed)}


def mixture_row(noise_: float, share: float, repeats: int, seed: int) -> dict[str, float]:
    """One noise and one share."""
    fits = []
    for number in range(repeats):
        generator = torch.Generator().manual_seed(1_000_000 * seed + number)
        reference, positive, negative = mixture(share, noise_, generator)
        fits.append(disentangle(positive, negative, reference))
    row = {"noise": noise_, "share": share} | coverage(fits, share)
    print(row, flush=True)
    return row


def mixture(share: float, noise_: float, generator: torch.Generator) -> tuple[Effects, torch.Tensor, torch.Tensor]:
    """A reference of few effects, most of low order, and a later strength whose images vary around the mixture.

    Decay and spindle of an image vary log-normally by ``noise_``, and so does every order and sign of either, all with
    mean 1. δ is drawn from 0.001 … 0.1, α from 0.6 … 1.1. The share is that of the population the images are drawn
    from: the images themselves have it only on average.
    """

    def factor(*shape: int) -> torch.Tensor:
        normal = torch.randn(*shape, dtype=torch.float64, generator=generator)
        return torch.exp(noise_ * normal - noise_**2 / 2)

    effects = draw_effects(N_IMAGES, generator)
    delta = 10 ** (2 * torch.rand(1, generator=generator).item() - 3)
    curve = spindle(N_MIXTURE, 0.6 + 0.5 * torch.rand(1, generator=generator).item())
    beta = share / (1 - share) * decay_of_population(delta) / (2 * curve.sum())
    of_decay, of_spindle = factor(N_IMAGES, 1), factor(N_IMAGES, 1)
    positive, negative = (
        of_decay * factor(N_IMAGES, N_MIXTURE) * side + of_spindle * factor(N_IMAGES, N_MIXTURE) * beta * curve
        for side in sample_decay(*effects, delta)
    )
    return Effects(*effects), positive, negative


def draw_effects(images: int, generator: torch.Generator) -> torch.Tensor:
    """AND and OR effects ``(2, images, subsets)`` of a network in its normal phase, each image with its own size."""
    orders = subset_order(N_MIXTURE).double()
    shape = (2, images, 2**N_MIXTURE)
    chance = torch.where(orders > 0, 0.5 * torch.exp(-0.9 * (orders - 1)), 0.0)
    effects = torch.randn(shape, dtype=torch.float64, generator=generator) * torch.exp(-0.25 * (orders - 1))
    effects = torch.where(torch.rand(shape, dtype=torch.float64, generator=generator) < chance, effects, 0.0)
    return effects * torch.exp(0.4 * torch.randn(1, images, 1, dtype=torch.float64, generator=generator))


def decay_of_population(delta: float) -> float:
    """Expected strength of all orders of an image's decay."""
    return sum(side.mean(dim=0).sum().item() for side in sample_decay(*population(), delta))


@cache
def population() -> torch.Tensor:
    """Enough images to be taken for all: they leave to chance a tenth of what 50 images do."""
    return draw_effects(POPULATION, torch.Generator().manual_seed(-1))


def coverage(fits: list[Disentangled], share: float) -> dict[str, float]:
    """Of all fits, and of those that call themselves identified."""
    errors = [fit.spindle_share - share for fit in fits]
    ends = [fit.intervals["spindle_share"] for fit in fits]
    covered = [low - 1e-9 <= share <= high + 1e-9 for low, high in ends]
    named = [inside for inside, fit in zip(covered, fits, strict=True) if fit.identified]
    return {
        "fits": len(fits),
        "bias": statistics.mean(errors),
        "rms_error": math.sqrt(statistics.mean(error**2 for error in errors)),
        "coverage": statistics.mean(covered),
        "width": statistics.mean(high - low for low, high in ends),
        "identified": statistics.mean(fit.identified for fit in fits),
        "coverage_where_identified": statistics.mean(named) if named else math.nan,
    }


def gaussian(seed: int) -> dict[str, float]:
    """i.i.d. Gaussian effects: their strength must be a spindle with α = 1 and no decay."""
    generator = torch.Generator().manual_seed(seed)
    shape = (2, N_IMAGES, 2**10)
    effects = torch.randn(shape, dtype=torch.float64, generator=generator)
    effects[..., 0] = 0.0
    orders = subset_order(10).double()
    low_order = torch.randn(shape, dtype=torch.float64, generator=generator) * torch.exp(-1.5 * orders)
    low_order[..., 0] = 0.0
    fit = disentangle(*signed_strength(effects[0], effects[1]), Effects(low_order[0], low_order[1]))
    return {"alpha": fit.alpha, "spindle_share": fit.spindle_share, "r_squared": fit.r_squared}
