"""Patches of an intermediate feature map as input variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning_interactions.masking.patches import GridPatches

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FeatureMapPatches"]


class FeatureMapPatches(GridPatches):
    """Patches of the feature map that a layer puts out (VGG, AlexNet, ResNet, LeNet); the paper's choice for images.

    The map is cut into ``grid × grid`` cells; ``n_variables`` of the cells at least ``border`` away from its edge are
    drawn for each sample. Absent cells are set to ``baseline``; everything that was not drawn stays present (Table 1
    and Appendix I.2: an 8×8 grid, ten cells of the central 6×6, zero baseline, after the second ReLU of a VGG).

    Args:
        layer: name of the module whose output is masked, as ``model.named_modules()`` lists it. The end of the name is
            enough where it is unique, so ``"features.4"`` also finds ``"network.features.4"``.
        grid: cells along each side of the map.
        border: width in cells of the frame from which no cell is drawn.
        n_variables: number ``n`` of cells drawn for each sample.
        baseline: value of a masked cell, in the map's unit; one number, or one for each channel.
        seed: decides, together with the sample, which cells are drawn.

    Raises:
        TypeError: if a number of cells or variables or ``seed`` is no whole number, ``layer`` no name, or ``baseline``
            no numbers.
        ValueError: if there are fewer inner cells than variables; when used, if the layer is unknown, its output is not
            ``(B, C, H, W)`` or the map is smaller than the grid.

    Example:
        >>> FeatureMapPatches("features.4", grid=8, border=1, n_variables=10).n_variables
        10
    """

    layer: str

    def __init__(
        self,
        layer: str,
        grid: int = 8,
        border: int = 1,
        n_variables: int = 10,
        baseline: float | Sequence[float] = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(grid, border, n_variables, baseline, layer=layer, seed=seed)

    @property
    def _what(self) -> str:
        return f"the output of layer '{self.layer}'"

    @property
    def _hint_for_another_form(self) -> str:
        return "name a convolution or the activation after it."

    @property
    def _hint_for_a_larger_map(self) -> str:
        return "use a coarser grid or an earlier layer."
