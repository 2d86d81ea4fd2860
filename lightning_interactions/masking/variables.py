"""What the ``n`` input variables of a sample are, and how a coalition mask is applied to them.

:class:`Variables` is the whole protocol. A kind of variable answers two questions: *which* variables a sample has
(:meth:`Variables.draw`) and *what a masked sample looks like* (:meth:`Variables.mask`). Most kinds can say the second
by giving each location of a tensor the number of the variable it belongs to; :func:`mask_regions` does the rest.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from lightning_interactions.checks import check_whole
from lightning_interactions.lattice import check_n_variables
from lightning_interactions.masking.batches import batch_size, join_rows, leaves, to_device

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "Draw",
    "Variables",
    "check_baseline",
    "check_variables",
    "mask_regions",
    "sample_generators",
    "usable_draws",
]


@dataclass(frozen=True)
class Draw:
    """The variables that were drawn for one sample.

    Attributes:
        positions: for each variable, where it is: ``(row, column)`` of a grid cell, the indices of its tokens, or
            ``(column,)`` of a table.
        names: for each variable, a short text for people.
        baseline: the value that replaces a masked variable: one number, or one for each channel or column.

    Example:
        >>> Draw(positions=((1, 2),), names=("row 1 col 2",), baseline=(0.0,)).as_dict()
        {'positions': [[1, 2]], 'names': ['row 1 col 2'], 'baseline': [0.0]}
    """

    positions: tuple[tuple[int, ...], ...]
    names: tuple[str, ...]
    baseline: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        """The draw as plain data, equal to what a JSON file gives back."""
        return {
            "positions": [list(position) for position in self.positions],
            "names": list(self.names),
            "baseline": list(self.baseline),
        }


class Variables(ABC):
    """The protocol: what the ``n`` input variables of a sample are, and how a subset of them is kept.

    To add a kind of variable, subclass this and write :meth:`draw` and :meth:`mask`.

    Args:
        n_variables: number ``n`` of input variables of a sample, 1 … 20. A sample costs ``2**n`` masked inputs.
        layer: name of the module whose *output* is masked; ``None`` when the network's inputs are masked.
        seed: decides, together with a sample's content, which variables are drawn.

    Raises:
        ValueError: if ``n_variables`` is out of range.
        TypeError: if ``layer`` is no name or ``seed`` no whole number.

    Example:
        >>> class FirstColumns(Variables):
        ...     def draw(self, inputs, seed=None):
        ...         n = self.n_variables
        ...         return [Draw(tuple((i,) for i in range(n)), tuple(map(str, range(n))), (0.0,)) for _ in inputs]
        ...
        ...     def mask(self, target, draws, masks):
        ...         regions = torch.arange(target.shape[1]).clamp(max=self.n_variables).expand(target.shape)
        ...         return mask_regions(target, regions, masks, torch.tensor(0.0))
        >>> columns, table = FirstColumns(n_variables=2), torch.tensor([[1.0, 2.0, 3.0]])
        >>> columns.mask(table, columns.draw(table), torch.tensor([[True, False], [True, True]])).tolist()
        [[1.0, 0.0, 3.0], [1.0, 2.0, 3.0]]
    """

    def __init__(self, n_variables: int, *, layer: str | None = None, seed: int = 0) -> None:
        if layer is not None and not isinstance(layer, str):
            msg = (
                f"`layer` must be the name of a module, got {layer!r}."
                f" HINT: the names are those that `model.named_modules()` lists."
            )
            raise TypeError(msg)
        check_whole(seed=seed)
        self.n_variables = check_n_variables(n_variables)
        self.layer = layer
        self.seed = int(seed)

    @abstractmethod
    def draw(self, inputs: Any, seed: int | None = None) -> list[Draw | None]:
        """Draw the variables of every sample of a batch.

        The same sample and seed must give the same draw in every batch, at every epoch and after a resume, without
        touching a global random generator: use :func:`sample_generators`.

        Args:
            inputs: a batch of network inputs: a tensor, or a mapping or sequence of tensors.
            seed: used instead of the object's own ``seed`` when given.

        Returns:
            one entry a sample; ``None`` where a sample has fewer than ``n_variables`` variables.
        """

    @abstractmethod
    def mask(self, target: Any, draws: Sequence[Draw], masks: Tensor) -> Any:
        """Apply every mask to every sample.

        Args:
            target: ``b`` samples: the output of :attr:`layer`, or the network's inputs when that is ``None``.
            draws: the ``b`` draws.
            masks: bool ``(m, n)``; true where a variable stays present.

        Returns:
            the same structure with ``b · m`` samples: all masks of the first sample, then all of the second, …

        Raises:
            ValueError: if ``target`` has a form this kind of variable cannot be found in.
        """

    def lengths(self, inputs: Any) -> list[int] | None:  # noqa: ARG002  # most kinds have no padding
        """How much of every sample is its own; what lies beyond only makes the samples of a batch equally long.

        Returns:
            one length a sample, for :meth:`cut`; ``None``, as by default, where there is no such padding.
        """
        return None

    def cut(self, inputs: Any, length: int) -> Any:  # noqa: ARG002  # most kinds have no padding
        """Inputs without what lies beyond ``length``; what was drawn stays where it is."""
        return inputs

    def join(self, parts: Sequence[Any]) -> Any:
        """Several batches of network inputs as one, in order, where a data loader gave them one by one.

        Raises:
            ValueError: if their samples cannot stand in one batch.
        """
        return join_rows(parts)

    def provenance(self) -> dict[str, Any]:
        """What a reader of a saved result must know to repeat the masking, as plain data."""
        return {
            "kind": type(self).__name__,
            "n_variables": self.n_variables,
            "layer": self.layer,
            "seed": self.seed,
        }

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.provenance().items() if key != "kind")
        return f"{type(self).__name__}({arguments})"


def mask_regions(x: Tensor, regions: Tensor, masks: Tensor, baseline: Tensor) -> Tensor:
    """Replace the locations of absent variables by the baseline.

    Args:
        x: ``(b, *channels, *locations)``, with at most one channel axis.
        regions: int64 ``(b, *locations)``: the variable each location belongs to; ``n`` where it belongs to none and
            is always present.
        masks: bool ``(m, n)``.
        baseline: broadcast against ``(b, *channels, *locations)``; cast to the type of ``x``.

    Returns:
        ``(b · m, *channels, *locations)``.

    Example:
        >>> import torch
        >>> x = torch.tensor([[1.0, 2.0, 3.0]])
        >>> regions = torch.tensor([[0, 2, 1]])  # two variables; the middle location belongs to none
        >>> mask_regions(x, regions, torch.tensor([[False, True]]), torch.tensor(0.0)).tolist()
        [[0.0, 2.0, 3.0]]
    """
    baseline = to_device(baseline.to(x.dtype), x.device)
    if baseline.ndim == x.ndim:
        baseline = baseline.unsqueeze(1)
    always = torch.ones(len(masks), 1, dtype=torch.bool, device=masks.device)
    masks = torch.cat([masks, always], dim=1)
    per_channel = x.ndim == regions.ndim + 1
    if x.device.type == "cpu" and x.is_floating_point() and x.isfinite().all():
        masked = _multiplied(x.unsqueeze(1), regions, masks, baseline, per_channel=per_channel)
    else:
        # Gathered mask by mask, so that locations lie side by side, as they do in what is masked; laid out sample by
        # sample, as the result is, or all of it would be copied once more, and channels would not stay last.
        present = masks[:, regions].transpose(0, 1).contiguous()  # (b, m, *locations)
        masked = torch.where(present.unsqueeze(2) if per_channel else present, x.unsqueeze(1), baseline)
    return masked.flatten(0, 1)


def _multiplied(x: Tensor, regions: Tensor, masks: Tensor, baseline: Tensor, *, per_channel: bool) -> Tensor:
    """What ``torch.where`` gives for finite numbers, by products with 0 and 1: on a CPU several times faster."""
    one_hot = functional.one_hot(regions.flatten(), masks.shape[1]).to(x.dtype)
    present = (masks.to(x.dtype) @ one_hot.T).reshape(len(masks), *regions.shape).transpose(0, 1).contiguous()
    present = present.unsqueeze(2) if per_channel else present
    masked = x * present
    return torch.addcmul(masked, baseline, 1 - present, out=masked) if baseline.any() else masked


def usable_draws(draws: Sequence[Draw | None]) -> list[tuple[int, Draw]]:
    """The samples that have enough variables: each one's row and its draw.

    Args:
        draws: one entry a sample, as :meth:`Variables.draw` returns them.

    Example:
        >>> draw = Draw(positions=((0,),), names=("age",), baseline=(0.0,))
        >>> [row for row, _ in usable_draws([None, draw, None, draw])]
        [1, 3]
    """
    return [(row, draw) for row, draw in enumerate(draws) if draw is not None]


def sample_generators(inputs: Any, seed: int) -> Iterator[torch.Generator]:
    """One private random generator a sample, seeded by the sample's content and ``seed``.

    Args:
        inputs: a batch: a tensor, or a mapping or sequence of tensors, each with samples along the first axis.
        seed: any integer.

    Yields:
        the generator of each sample, in order; on the CPU.

    Raises:
        ValueError: if the batch holds no tensor, or tensors of different first length.

    Example:
        >>> import torch
        >>> batch = torch.arange(6.0).reshape(3, 2)
        >>> whole = [torch.rand((), generator=g).item() for g in sample_generators(batch, seed=0)]
        >>> single = [torch.rand((), generator=g).item() for g in sample_generators(batch[2:], seed=0)]
        >>> whole[2] == single[0]
        True
    """
    tensors = [tensor.detach().cpu() for tensor in leaves(inputs)]
    for row in range(batch_size(inputs)):
        digest = hashlib.sha256(str(seed).encode())
        for tensor in tensors:
            sample = tensor[row].contiguous()
            digest.update(f"{sample.dtype}{tuple(sample.shape)}".encode())
            digest.update(sample.flatten().view(torch.uint8).numpy().tobytes())
        generator = torch.Generator("cpu")
        generator.manual_seed(int.from_bytes(digest.digest()[:8], "little", signed=True))
        yield generator


def check_baseline(baseline: float | Sequence[float] | Tensor) -> tuple[float, ...]:
    """A baseline value, or one for each channel or column, as plain numbers."""
    msg = f"`baseline` must be a finite number or a sequence of them, got {baseline!r}."
    try:
        numbers = torch.as_tensor(baseline, dtype=torch.float64, device="cpu").reshape(-1)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(msg) from error
    if len(numbers) == 0 or not numbers.isfinite().all():
        raise ValueError(msg)
    return tuple(numbers.tolist())


def check_variables(variables: Any) -> None:
    """Refuse what is no kind of variable.

    Raises:
        TypeError: if ``variables`` are something else.
    """
    if not isinstance(variables, Variables):
        msg = (
            f"`variables` must be a Variables such as FeatureMapPatches(…), got a {type(variables).__name__}."
            f" HINT: subclass lightning_interactions.Variables for a kind of your own."
        )
        raise TypeError(msg)
