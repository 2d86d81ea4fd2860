"""Patches of an input image and columns of a table as input variables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from lightning_interactions.masking.batches import to_device
from lightning_interactions.masking.devices import in_float64
from lightning_interactions.masking.patches import GridPatches
from lightning_interactions.masking.variables import (
    Draw,
    Variables,
    check_baseline,
    mask_regions,
    sample_generators,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Columns", "InputPatches"]


class InputPatches(GridPatches):
    """Patches of the input image itself; for networks that have no feature map to mask.

    Args:
        grid: cells along each side of the image.
        border: width in cells of the frame from which no cell is drawn.
        n_variables: number ``n`` of cells drawn for each sample.
        baseline: value of a masked pixel, in the unit the network takes: one number, or one for each channel (the
            average colour of the data set is usual).
        seed: decides, together with the sample, which cells are drawn.

    Raises:
        TypeError: if a number of cells or variables or ``seed`` is no whole number, or ``baseline`` no numbers.
        ValueError: if there are fewer inner cells than variables; when used, if the input is no ``(B, C, H, W)`` tensor
            or smaller than the grid.

    Example:
        >>> import torch
        >>> patches = InputPatches(grid=4, border=0, n_variables=2)
        >>> image = torch.ones(1, 3, 8, 8)
        >>> masked = patches.mask(image, patches.draw(image), torch.tensor([[True, True], [False, False]]))
        >>> masked.sum(dim=(1, 2, 3)).tolist()
        [192.0, 168.0]
    """

    def __init__(
        self,
        grid: int = 8,
        border: int = 1,
        n_variables: int = 10,
        baseline: float | Sequence[float] = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(grid, border, n_variables, baseline, layer=None, seed=seed)

    @property
    def _what(self) -> str:
        return "the network's input"

    @property
    def _hint_for_another_form(self) -> str:
        return "FeatureMapPatches mask what a layer puts out, whatever the inputs are."

    @property
    def _hint_for_a_larger_map(self) -> str:
        return "use a coarser grid."


class Columns(Variables):
    """Columns of a table as input variables; inputs of shape ``(B, F)``.

    Args:
        n_variables: number ``n`` of columns drawn for each sample.
        baseline: value of a masked column: a number, one for each of the ``F`` columns, or ``"mean"`` for the column
            means over the samples that are explained together.
        names: the names of the ``F`` columns, for tables and figures.
        seed: decides, together with the sample, which columns are drawn. When ``F == n_variables`` every sample has
            all columns, in order.

    Raises:
        ValueError: when used, if the input is no ``(B, F)`` tensor with ``F ≥ n_variables``, or if the number of
            baseline values or names is not ``F``.

    Example:
        >>> import torch
        >>> columns = Columns(n_variables=2, baseline="mean")
        >>> table = torch.tensor([[1.0, 10.0], [3.0, 30.0]])
        >>> columns.mask(table, columns.draw(table), torch.tensor([[True, False]])).tolist()
        [[1.0, 20.0], [3.0, 20.0]]
    """

    def __init__(
        self,
        n_variables: int,
        baseline: float | Sequence[float] | Literal["mean"] = "mean",
        names: Sequence[str] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(n_variables, seed=seed)
        if isinstance(baseline, str) and baseline != "mean":
            msg = f"`baseline` must be a number, one for each column, or 'mean', got {baseline!r}."
            raise ValueError(msg)
        self.baseline = baseline if isinstance(baseline, str) else check_baseline(baseline)
        self.names = None if names is None else tuple(names)

    def draw(self, inputs: Any, seed: int | None = None) -> list[Draw | None]:
        """Draw ``n`` columns for every row; see :meth:`Variables.draw`."""
        table = self._table(inputs)
        n_columns = table.shape[1]
        names = self.names or tuple(f"column {column}" for column in range(n_columns))
        baseline = self._baseline_of(table)
        for what, numbers in (("names", names), ("baseline", baseline)):
            if len(numbers) not in {n_columns, 1 if what == "baseline" else n_columns}:
                msg = f"`{what}` must have one entry for each of the {n_columns} columns, got {len(numbers)}."
                raise ValueError(msg)
        draws: list[Draw | None] = []
        for generator in sample_generators(table, self.seed if seed is None else seed):
            order = torch.randperm(n_columns, generator=generator, device="cpu")
            chosen = order[: self.n_variables].sort().values.tolist()
            draws.append(Draw(tuple((column,) for column in chosen), tuple(names[i] for i in chosen), baseline))
        return draws

    def mask(self, target: Any, draws: Sequence[Draw], masks: Tensor) -> Any:
        """Set absent columns to the baseline; see :meth:`Variables.mask`."""
        table = self._table(target)
        regions = torch.full(table.shape, self.n_variables, device="cpu")
        for row, draw in enumerate(draws):
            for variable, (column,) in enumerate(draw.positions):
                regions[row, column] = variable
        baseline = torch.tensor([draw.baseline for draw in draws], dtype=torch.float64, device="cpu")
        return mask_regions(table, to_device(regions, table.device), to_device(masks, table.device), baseline)

    def provenance(self) -> dict[str, Any]:
        """See :meth:`Variables.provenance`."""
        baseline = self.baseline if isinstance(self.baseline, str) else list(self.baseline)
        return super().provenance() | {"baseline": baseline, "names": self.names and list(self.names)}

    def _table(self, inputs: Any) -> Tensor:
        if not isinstance(inputs, Tensor) or inputs.ndim != 2 or inputs.shape[1] < self.n_variables:  # noqa: PLR2004
            got = f"shape {tuple(inputs.shape)}" if isinstance(inputs, Tensor) else f"a {type(inputs).__name__}"
            msg = (
                f"the network's input must be a tensor of shape (B, F) with at least `n_variables` ="
                f" {self.n_variables} columns, got {got}."
            )
            raise ValueError(msg)
        return inputs

    def _baseline_of(self, table: Tensor) -> tuple[float, ...]:
        if isinstance(self.baseline, str):
            return tuple(in_float64(table).mean(dim=0).tolist())
        return self.baseline
