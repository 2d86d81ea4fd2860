"""Which figure of the paper is made how: from a run to numbers, from numbers to a picture."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from experiments.figures import disentangled_over_training, generalisation, theorem, two_stages, under_noise
from lightning_interactions.files import with_nan, write_json, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.figure import Figure

    from experiments.figures.run_folder import RunFolder

__all__ = ["FIGURES", "FigureRecipe", "make_figure"]


@dataclass(frozen=True)
class FigureRecipe:
    """How one figure is made.

    Attributes:
        numbers: from a run's folder to plain data.
        draw: from this data alone to the picture.
        needs: the measurement after the training that it needs, ``""`` for none.
    """

    numbers: Callable[[RunFolder], dict[str, Any]]
    draw: Callable[[dict[str, Any]], Figure]
    needs: str = ""


_OVER_TRAINING = FigureRecipe(disentangled_over_training.numbers, disentangled_over_training.draw)

FIGURES: dict[int, FigureRecipe] = {
    2: FigureRecipe(two_stages.numbers, two_stages.draw),
    3: FigureRecipe(under_noise.emerged, under_noise.draw_emerged, needs="inject"),
    4: FigureRecipe(under_noise.disentangled, partial(under_noise.draw_disentangled, only_ends=True), needs="inject"),
    5: _OVER_TRAINING,
    6: FigureRecipe(generalisation.numbers, generalisation.draw, needs="similarity"),
    7: FigureRecipe(theorem.numbers, theorem.draw),
    8: FigureRecipe(under_noise.disentangled, under_noise.draw_disentangled, needs="inject"),
    9: _OVER_TRAINING,
}
"""The paper's figures by number. 4 is 8 with fewer σ, 9 is 5 of other runs."""


def make_figure(number: int, run: RunFolder, folder: Path | None = None) -> tuple[Path, Path]:
    """Make one figure of a run: its numbers as JSON, and the picture drawn from them.

    Args:
        number: of the figure in the paper.
        run: the run.
        folder: where to; ``figures/`` in the run's folder when ``None``.

    Returns:
        the paths of the numbers and of the picture.

    Raises:
        ValueError: for a figure that there is not.
        FileNotFoundError: if a measurement that the figure needs is missing.
    """
    if number not in FIGURES:
        msg = f"`number` must be one of {sorted(FIGURES)}, got {number!r}."
        raise ValueError(msg)
    folder = run.path / "figures" if folder is None else folder
    numbers_file, picture = folder / f"figure_{number}.json", folder / f"figure_{number}.png"
    write_json(numbers_file, FIGURES[number].numbers(run))
    # Drawn from what was written, so that the picture can be drawn again from the file.
    figure = FIGURES[number].draw(with_nan(json.loads(numbers_file.read_text())))
    with write_whole(picture) as file:
        figure.savefig(file, dpi=110, format="png")
    return numbers_file, picture
