"""What rounding alone would look like: the noise of a forward pass, sent through the alternating sums."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from lightning_interactions import lattice
from lightning_interactions.masking.batches import batch_size, take_rows
from lightning_interactions.masking.forward import values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from lightning_interactions.masking.precision import Precision
    from lightning_interactions.masking.variables import Draw, Variables

__all__ = ["NoiseFloor", "noise_floor", "propagated"]


@dataclass(frozen=True)
class NoiseFloor:
    """The interactions that rounding alone makes, order by order.

    Attributes:
        effect: size of one such effect (root mean square) for each order 1 … n, in the unit of the output. Comparable
            with the salience threshold: where it is larger, what is found may be arithmetic.
        strength: what such effects add up to for each order, likewise; comparable with
            :func:`~lightning_interactions.order_strength`.

    Example:
        >>> floor = NoiseFloor(effect=(1e-6, 3e-6), strength=(2e-6, 3e-6))
        >>> NoiseFloor.from_state(floor.state_dict()) == floor
        True
    """

    effect: tuple[float, ...]
    strength: tuple[float, ...]

    @classmethod
    def unknown(cls, n_variables: int) -> NoiseFloor:
        """NaN everywhere, for where it cannot be measured."""
        return cls((math.nan,) * n_variables, (math.nan,) * n_variables)

    def state_dict(self) -> dict[str, list[float]]:
        """Both, as plain data."""
        return {"effect": list(self.effect), "strength": list(self.strength)}

    @classmethod
    def from_state(cls, state: dict[str, list[float]]) -> NoiseFloor:
        """What :meth:`state_dict` returned."""
        return cls(tuple(state["effect"]), tuple(state["strength"]))

    def exceeds(self, threshold: float) -> list[int]:
        """The orders whose noise is larger than a threshold.

        Example:
            >>> NoiseFloor(effect=(1e-6, 3e-6), strength=(2e-6, 3e-6)).exceeds(2e-6)
            [2]
        """
        return [order for order, effect in enumerate(self.effect, start=1) if effect > threshold]


def noise_floor(
    model: nn.Module,
    inputs: Any,
    targets: Tensor,
    variables: Variables,
    draws: Sequence[Draw],
    *,
    n_samples: int = 2,
    precision: Precision = "float32",
    **options: Any,
) -> NoiseFloor:
    r"""Measure the noise of the forward passes and what it makes of the interactions.

    The network's outputs are computed twice on a few samples, as usual and in float64; the difference is sent through
    the same sums as the outputs. An independent error :math:`\varepsilon` on each output would give every effect of
    order :math:`m` an error of :math:`2^{m/2} \varepsilon / 2`, AND and OR alike.

    Args:
        model: the network.
        inputs: samples.
        targets: true classes ``(samples,)``.
        variables: what the input variables are.
        draws: one draw a sample.
        n_samples: how many of the samples are used, from the first on.
        precision: in which the network is watched.
        **options: as for :func:`~.forward.values`.

    Returns:
        the noise floor, in the unit of the output; NaN where no sample has finite outputs.

    Raises:
        ValueError: as :func:`~.forward.values`.

    Example:
        >>> import torch
        >>> from lightning_interactions import Columns
        >>> model, rows, classes = torch.nn.Linear(3, 2), torch.rand(4, 3), torch.zeros(4, dtype=torch.int64)
        >>> columns = Columns(n_variables=3, baseline=0.0)
        >>> floor = noise_floor(model, rows, classes, columns, columns.draw(rows))
        >>> max(floor.effect) < 1e-5
        True
    """
    rows = list(range(min(n_samples, batch_size(inputs))))
    few = take_rows(inputs, rows), targets[rows], variables, [draws[row] for row in rows]
    noise = values(model, *few, precision=precision, **options) - values(model, *few, precision="float64", **options)
    return propagated(noise)


def propagated(noise: Tensor) -> NoiseFloor:
    """The interactions of errors on the outputs, half of each error to AND and half to OR.

    Args:
        noise: ``(samples, 2**n)``, in the unit of the output. Samples on which it is not finite are left out.

    Example:
        >>> propagated(torch.tensor([[0.0, 0.0, 0.0, 2.0]])).strength
        (2.0, 2.0)
    """
    noise = noise[noise.isfinite().all(dim=1)].double()
    effects = torch.stack([lattice.and_interactions(noise / 2), lattice.or_interactions(noise / 2)])
    orders = lattice.subset_order(lattice.variable_count(noise), noise.device)
    of_order = [effects[..., orders == order] for order in range(1, int(orders.max()) + 1)]
    return NoiseFloor(
        effect=tuple(one.square().mean().sqrt().item() for one in of_order),
        strength=tuple(one.abs().sum(dim=(0, 2)).mean().item() for one in of_order),
    )
