"""How much work could be saved by computing each local combination of present patches once.

A value of a layer depends only on the patches in its receptive field. Where k of the n patches lie in it, it takes 2**k
different values over all masks, not 2**n. Counted here: the multiply-adds of the layers after the mask if every layer
computed each of its values once, with gathering for free, relative to computing all masks; averaged over draws of the
patches. It is what such a method could reach at best, not what it would.

    python benchmarks/receptive_field.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from torchvision.models.vgg import cfgs

RESULTS = Path(__file__).parent / "results" / "receptive_field.json"
N = 10
GRID, BORDER = 8, 1
DRAWS = 20

CASES = {"VGG-11 at 32": ("A", 32, 2), "VGG-11 at 224": ("A", 224, 2), "VGG-16 at 224": ("D", 224, 2)}
"""torchvision's name of the layers, pixels of the image, and after which convolution's rectifier the mask lies."""

Sets = np.ndarray
"""For every position of a map, which patches it depends on: a row of n booleans."""


def main() -> None:
    """Count, print and write."""
    rows = []
    for name, (layout, size, masked_after) in CASES.items():
        generator = np.random.default_rng(0)
        runs = [count(cfgs[layout], size, masked_after, generator) for _ in range(DRAWS)]
        layers = [
            {key: float(np.mean([run[number][key] for run in runs])) for key in runs[0][number]}
            for number in range(len(runs[0]))
        ]
        total = sum(layer["multiply_adds"] for layer in layers)
        share = sum(layer["multiply_adds"] * layer["share"] for layer in layers) / total
        rows.append({"network": name, "n": N, "at_best_times_faster": 1 / share, "layers": layers})
        print(name, f"at best {1 / share:.2f} times faster;", "share of the combinations that differ, by layer:")
        print("  ", " ".join(f"{layer['share']:.3f}" for layer in layers))
    RESULTS.write_text(json.dumps({"draws": DRAWS, "rows": rows}, indent=1) + "\n")


def count(layout: list[Any], size: int, masked_after: int, generator: np.random.Generator) -> list[dict[str, float]]:
    """Multiply-adds of each convolution after the mask for one input, and the share of them that a method must do."""
    layers: list[dict[str, float]] = []
    sets: Sets | None = None
    channels, convolutions = 3, 0
    for item in layout:
        if item == "M":
            size //= 2
            sets = None if sets is None else pooled(sets)
            continue
        convolutions += 1
        if sets is not None:
            sets = convolved(sets)
            different = 2.0 ** sets.sum(axis=-1)
            layers.append({"multiply_adds": 9.0 * channels * item * size**2, "share": float(different.mean()) / 2**N})
        channels = item
        if convolutions == masked_after:
            sets = drawn(size, generator)
    return layers


def drawn(size: int, generator: np.random.Generator) -> Sets:
    """The patch that each position of the masked map lies in, if any."""
    side = GRID - 2 * BORDER
    chosen = generator.permutation(side * side)[:N]
    cells = np.zeros((GRID, GRID, N), dtype=bool)
    cells[chosen // side + BORDER, chosen % side + BORDER, np.arange(N)] = True
    where = np.arange(size) * GRID // size
    return cells[where[:, None], where[None, :]]


def convolved(sets: Sets) -> Sets:
    """After a convolution of 3 by 3 with padding."""
    padded = np.pad(sets, ((1, 1), (1, 1), (0, 0)))
    height, width = sets.shape[:2]
    shifts = [padded[row : row + height, column : column + width] for row in range(3) for column in range(3)]
    return np.logical_or.reduce(shifts)


def pooled(sets: Sets) -> Sets:
    """After pooling of 2 by 2."""
    height, width = sets.shape[0] // 2, sets.shape[1] // 2
    return sets[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1).any(axis=(1, 3))


if __name__ == "__main__":
    main()
