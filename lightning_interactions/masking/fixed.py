"""Input variables that were drawn once and for all, for measures that compare samples with each other.

By itself a sample's content decides which of its patches, words or columns are its variables. Two measurements can be
compared effect by effect only if the variables are the same in both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning_interactions.masking.batches import batch_size
from lightning_interactions.masking.tokens import TokenWords
from lightning_interactions.masking.variables import Draw, Variables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = ["AsDrawn", "SamePositions"]


class AsDrawn(Variables):
    """The variables that were drawn for some samples, for disturbed versions of these samples.

    Args:
        variables: what is drawn and how it is masked.
        inputs: the samples as they were.

    Raises:
        ValueError: when used, for another number of samples.

    Example:
        >>> import torch
        >>> from lightning_interactions import InputPatches
        >>> images = torch.rand(5, 3, 16, 16)
        >>> patches = InputPatches(grid=4, border=0, n_variables=6)
        >>> AsDrawn(patches, images).draw(images + 0.1) == patches.draw(images)
        True
    """

    def __init__(self, variables: Variables, inputs: Any) -> None:
        super().__init__(variables.n_variables, layer=variables.layer, seed=variables.seed)
        self.variables = variables
        self._draws = variables.draw(inputs)

    def draw(self, inputs: Any, seed: int | None = None) -> list[Draw | None]:  # noqa: ARG002  # nothing is drawn
        """The draws of the given samples; see :meth:`Variables.draw`. ``seed`` changes nothing."""
        if batch_size(inputs) != len(self._draws):
            msg = f"`inputs` must be the {len(self._draws)} samples that were drawn for, got {batch_size(inputs)}."
            raise ValueError(msg)
        return list(self._draws)

    def mask(self, target: Any, draws: Sequence[Draw], masks: Tensor) -> Any:
        """As the given variables do; see :meth:`Variables.mask`."""
        return self.variables.mask(target, draws, masks)

    def lengths(self, inputs: Any) -> list[int] | None:
        """As the given variables do; see :meth:`Variables.lengths`."""
        return self.variables.lengths(inputs)

    def cut(self, inputs: Any, length: int) -> Any:
        """As the given variables do; see :meth:`Variables.cut`."""
        return self.variables.cut(inputs, length)

    def provenance(self) -> dict[str, Any]:
        """See :meth:`Variables.provenance`."""
        return self.variables.provenance() | {"drawn": "before"}


class SamePositions(AsDrawn):
    """Variables at the positions that were drawn for one sample, for every sample.

    :func:`~lightning_interactions.distribution.similarity.similarity` compares effects subset by subset, so there a
    variable must be the same patch or column in all samples. Words of sentences cannot be used: a position means
    something else in every sentence.

    Args:
        variables: what is drawn and how it is masked.
        inputs: a batch; the positions drawn for its first sample are everybody's.

    Raises:
        ValueError: for words, or if the first sample has too few variables.

    Example:
        >>> import torch
        >>> from lightning_interactions import InputPatches
        >>> images = torch.rand(5, 3, 16, 16)
        >>> patches = SamePositions(InputPatches(grid=4, border=0, n_variables=6), images)
        >>> len({draw.positions for draw in patches.draw(images)})
        1
    """

    def __init__(self, variables: Variables, inputs: Any) -> None:
        if isinstance(variables, TokenWords):
            msg = "`variables` must be patches or columns, got TokenWords: each sentence has its words elsewhere."
            raise ValueError(msg)  # noqa: TRY004  # wrong settings are a ValueError everywhere in this package
        super().__init__(variables, inputs)
        if self._draws[0] is None:
            msg = f"The first sample of `inputs` must have {variables.n_variables} input variables, it has fewer."
            raise ValueError(msg)

    def draw(self, inputs: Any, seed: int | None = None) -> list[Draw | None]:  # noqa: ARG002  # nothing is drawn
        """The same positions for every sample; see :meth:`Variables.draw`. ``seed`` changes nothing."""
        return self._draws[:1] * batch_size(inputs)

    def provenance(self) -> dict[str, Any]:
        """See :meth:`Variables.provenance`."""
        return self.variables.provenance() | {"drawn": "for one sample"}
