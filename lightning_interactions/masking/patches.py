"""Cells of a uniform grid as input variables: what :class:`FeatureMapPatches` and :class:`InputPatches` share."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_interactions.checks import check_whole
from lightning_interactions.masking.batches import to_device
from lightning_interactions.masking.variables import (
    Draw,
    Variables,
    check_baseline,
    mask_regions,
    sample_generators,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["GridPatches"]


class GridPatches(Variables):
    """``n`` cells drawn from the inner cells of a ``grid × grid`` partition of an image or feature map.

    Cells that were not drawn, and the border, stay present in every masked sample.

    Raises:
        ValueError: if ``grid`` or ``border`` is not usable, or if there are fewer inner cells than variables.
    """

    def __init__(
        self,
        grid: int,
        border: int,
        n_variables: int,
        baseline: float | Sequence[float],
        *,
        layer: str | None,
        seed: int,
    ) -> None:
        super().__init__(n_variables, layer=layer, seed=seed)
        check_whole(minimum=1, grid=grid)
        check_whole(border=border)
        if not 0 <= border <= (grid - 1) // 2:
            msg = (
                f"`border` must lie in 0 … {(grid - 1) // 2} so that a grid of {grid} keeps inner cells, got {border}."
            )
            raise ValueError(msg)
        inner = (grid - 2 * border) ** 2
        if n_variables > inner:
            msg = (
                f"`n_variables` must be at most {inner}, the number of inner cells of a {grid}×{grid} grid with a"
                f" border of {border}, got {n_variables}. HINT: use a finer grid or a smaller border."
            )
            raise ValueError(msg)
        self.grid = int(grid)
        self.border = int(border)
        self.baseline = check_baseline(baseline)

    def draw(self, inputs: Any, seed: int | None = None) -> list[Draw | None]:
        """Draw ``n`` inner cells for every sample; see :meth:`Variables.draw`."""
        side = self.grid - 2 * self.border
        draws: list[Draw | None] = []
        for generator in sample_generators(inputs, self.seed if seed is None else seed):
            chosen = torch.randperm(side * side, generator=generator, device="cpu")[: self.n_variables].sort().values
            cells = tuple((cell // side + self.border, cell % side + self.border) for cell in chosen.tolist())
            draws.append(Draw(cells, tuple(f"row {row} col {column}" for row, column in cells), self.baseline))
        return draws

    def mask(self, target: Any, draws: Sequence[Draw], masks: Tensor) -> Any:
        """Set the cells of absent variables to the baseline; see :meth:`Variables.mask`."""
        image = self._image(target)
        regions = self.regions(draws, image)
        baseline = torch.tensor([draw.baseline for draw in draws], dtype=torch.float64, device="cpu")
        if baseline.shape[1] not in (1, image.shape[1]):
            msg = (
                f"`baseline` must be one number or one for each of the {image.shape[1]} channels, got"
                f" {baseline.shape[1]} numbers."
            )
            raise ValueError(msg)
        return mask_regions(image, regions, to_device(masks, image.device), baseline[:, :, None, None])

    def regions(self, draws: Sequence[Draw], image: Tensor) -> Tensor:
        """The variable of every pixel, ``n`` where none: int64 ``(b, height, width)`` on the image's device."""
        variable_of_cell = torch.full((len(draws), self.grid, self.grid), self.n_variables, device="cpu")
        for row, draw in enumerate(draws):
            for variable, (cell_row, cell_column) in enumerate(draw.positions):
                variable_of_cell[row, cell_row, cell_column] = variable
        # Few numbers travel to the device; it spreads them over the pixels by itself.
        height, width = image.shape[-2:]
        rows = torch.arange(height, device=image.device) * self.grid // height
        columns = torch.arange(width, device=image.device) * self.grid // width
        return to_device(variable_of_cell, image.device)[:, rows[:, None], columns[None, :]]

    def provenance(self) -> dict[str, Any]:
        """See :meth:`Variables.provenance`."""
        return super().provenance() | {"grid": self.grid, "border": self.border, "baseline": list(self.baseline)}

    @property
    @abstractmethod
    def _what(self) -> str:
        """What is masked, for messages."""

    @property
    @abstractmethod
    def _hint_for_another_form(self) -> str:
        """What to do where that is no batch of maps."""

    @property
    @abstractmethod
    def _hint_for_a_larger_map(self) -> str:
        """What to do where its maps are smaller than the grid."""

    def _image(self, target: Any) -> Tensor:
        if not isinstance(target, Tensor) or target.ndim != 4:  # noqa: PLR2004
            got = f"shape {tuple(target.shape)}" if isinstance(target, Tensor) else f"a {type(target).__name__}"
            msg = (
                f"{self._what} must be a tensor of shape (B, C, H, W) to be cut into patches, got {got}."
                f" HINT: {self._hint_for_another_form}"
            )
            raise ValueError(msg)
        height, width = target.shape[-2:]
        if min(height, width) < self.grid:
            msg = (
                f"`grid` must be at most {min(height, width)}, because {self._what} is {height}×{width},"
                f" got {self.grid}. HINT: {self._hint_for_a_larger_map}"
            )
            raise ValueError(msg)
        return target
