"""All masked versions of a feature map at once: each local value is computed once for each combination it can see.

After a few convolutions a value still depends on the few patches in its receptive field. Where k of the n patches are
in it, it takes 2**k different values over all masks, not 2**n. They are kept in a table, one row for each position and
combination; a convolution becomes a gather and a matrix product. Nothing is approximated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_interactions.masking.devices import autocast_off
from lightning_interactions.masking.patches import GridPatches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lightning_interactions.masking.variables import Draw, Variables

__all__ = ["LocalMaps", "chain_after", "local_maps"]

_WORTH_IT = 0.5
"""Share of the combinations that differ above which a layer is computed for every mask: gathering costs, too."""

_MOST_BYTES = 2**30
"""Of a table."""

_GATHERED_BYTES = 32 * 2**20
"""Of what is gathered at once for a matrix product."""

_ELEMENTWISE = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.Hardswish,
    nn.Tanh,
    nn.Sigmoid,
    nn.Identity,
    nn.Dropout,
    nn.Dropout2d,
)


@dataclass(frozen=True)
class LocalMaps:
    """The maps of one sample at one layer under all masks.

    Attributes:
        table: values ``(1 + rows, channels)``; row 0 is the zero that pads a map.
        first: each position's first row, ``(positions + 1,)``; the last position is the padding.
        weights: what each variable adds to the row, ``(positions + 1, n)``: a power of two where the position depends
            on the variable, else 0.
        height: of the map.
        width: of the map.
        saved: multiply-adds that were not done, compared with running the layers on every mask.
    """

    table: Tensor
    first: Tensor
    weights: Tensor
    height: int
    width: int
    saved: float = 0.0

    def maps(self, masks: Tensor) -> Tensor:
        """The maps under some masks, bool ``(m, n)``, as ``(m, channels, height, width)``."""
        rows = self.first[:-1] + _whole_product(masks, self.weights[:-1].T)
        chosen = self.table.index_select(0, rows.flatten()).reshape(len(masks), self.height, self.width, -1)
        return chosen.permute(0, 3, 1, 2).contiguous()

    @property
    def n_rows(self) -> int:
        """Different values over all positions and masks."""
        return len(self.table) - 1


def chain_after(model: nn.Module, layer: nn.Module) -> list[nn.Module]:
    """The modules that follow a layer one by one and that are understood here.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Sigmoid(), nn.Flatten())
        >>> chain_after(net, net[1])
        [Conv2d(4, 4, kernel_size=(3, 3), stride=(1, 1)), Sigmoid()]
    """
    for parent in model.modules():
        children = list(parent.children())
        # Only a Sequential promises that its modules run one after the other.
        if type(parent) is nn.Sequential and any(child is layer for child in children):
            position = next(number for number, child in enumerate(children) if child is layer)
            chain = []
            for module in children[position + 1 :]:
                if not _is_understood(module):
                    break
                chain.append(module)
            return chain
    return []


def local_maps(
    variables: Variables, draw: Draw, features: Tensor, chain: Sequence[nn.Module], length: int | None = None
) -> tuple[LocalMaps, int]:
    """Go through a chain of modules as far as that is less work than running it on every mask.

    Args:
        variables: patches of the map.
        draw: those of the sample.
        features: what the masked layer puts out for the sample, ``(1, C, H, W)``.
        chain: the modules after the layer.
        length: how many of them to go through; decided here when ``None``.

    Returns:
        the maps after the last module, and how many of the chain that is.
    """
    if not isinstance(variables, GridPatches):
        msg = f"Only patches of a grid are local, got {type(variables).__name__}."
        raise TypeError(msg)
    maps, done = _masked(variables, draw, features), 0
    n_subsets = 2**variables.n_variables
    for module in chain[:length]:
        if isinstance(module, (*_ELEMENTWISE, nn.BatchNorm2d)):
            maps = replace(maps, table=_pointwise(module, maps.table))
        else:
            window = _Window.of(module, maps)
            if length is None:
                rows = sum(window.rows_of_size(maps).values())
                channels = module.out_channels if isinstance(module, nn.Conv2d) else maps.table.shape[1]
                too_many = rows > _WORTH_IT * n_subsets * window.height * window.width
                if too_many or rows * channels * features.element_size() > _MOST_BYTES:
                    break
            saved, maps = maps.saved, window.applied(module, maps)
            if isinstance(module, nn.Conv2d):
                saved += float(n_subsets * maps.height * maps.width - maps.n_rows) * module.weight.numel()
            maps = replace(maps, saved=saved)
        done += 1
    return maps, done


def _is_understood(module: nn.Module) -> bool:
    if isinstance(module, nn.Conv2d):
        return module.groups == 1 and module.padding_mode == "zeros" and not isinstance(module.padding, str)
    if isinstance(module, nn.MaxPool2d):
        return _pair(module.padding) == (0, 0) and not module.ceil_mode and not module.return_indices
    if isinstance(module, nn.AvgPool2d):
        return _pair(module.padding) == (0, 0) and not module.ceil_mode and module.divisor_override is None
    if isinstance(module, nn.BatchNorm2d):
        return module.running_mean is not None
    return type(module) in _ELEMENTWISE


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _masked(variables: GridPatches, draw: Draw, features: Tensor) -> LocalMaps:
    """The masked map itself: two rows for a position in a patch, one for any other."""
    height, width = features.shape[-2:]
    regions = variables.regions([draw], features)[0].flatten()
    n = variables.n_variables
    weights = functional.one_hot(regions, n + 1)[:, :n]
    weights = torch.cat([weights, weights.new_zeros(1, n)])
    present = features[0].flatten(1).T
    baseline = torch.tensor(draw.baseline, dtype=features.dtype, device="cpu").to(features.device).expand_as(present)
    patched = regions < n
    # A position in a patch has its baseline first (the variable's bit is 0) and then its value.
    rows = torch.stack([baseline, present], dim=1)
    keep = torch.stack([patched, torch.ones_like(patched)], dim=1)
    table = torch.cat([present.new_zeros(1, present.shape[1]), rows[keep]])
    return LocalMaps(table, _first_rows(keep.sum(dim=1)), weights, height, width)


def _first_rows(sizes: Tensor) -> Tensor:
    """Where each position starts in a table whose row 0 is the padding; the padding's own entry is last."""
    return torch.cat([1 + sizes.cumsum(0) - sizes, sizes.new_zeros(1)])


def _pointwise(module: Any, table: Tensor) -> Tensor:
    if isinstance(module, nn.BatchNorm2d):
        table = functional.batch_norm(
            table, module.running_mean, module.running_var, module.weight, module.bias, eps=module.eps
        )
    else:
        table = module.forward(table)  # not a call: hooks are for the network's own maps
    table[0] = 0  # a padded map is padded with zeros whatever came before
    return table


@dataclass(frozen=True)
class _Window:
    """Which positions of a map each position of the next one sees: ``(positions, window)``."""

    seen: Tensor
    height: int
    width: int

    @classmethod
    def of(cls, module: Any, maps: LocalMaps) -> _Window:
        kernel, stride = _pair(module.kernel_size), _pair(module.stride)
        padding = _pair(module.padding)
        dilation = _pair(getattr(module, "dilation", 1))
        sizes, places = (maps.height, maps.width), []
        outputs = []
        for axis in range(2):
            reach = dilation[axis] * (kernel[axis] - 1)
            output = (sizes[axis] + 2 * padding[axis] - reach - 1) // stride[axis] + 1
            start = torch.arange(output, device="cpu") * stride[axis] - padding[axis]
            places.append(start[:, None] + dilation[axis] * torch.arange(kernel[axis], device="cpu"))
            outputs.append(output)
        rows, columns = places[0][:, None, :, None], places[1][None, :, None, :]
        inside = (rows >= 0) & (rows < maps.height) & (columns >= 0) & (columns < maps.width)
        seen = torch.where(inside, rows * maps.width + columns, maps.height * maps.width)
        return cls(seen.flatten(2).flatten(0, 1).to(maps.table.device), *outputs)

    def depends(self, maps: LocalMaps) -> Tensor:
        """Which variables each position of the next map depends on, bool ``(positions, n)``."""
        return (maps.weights > 0)[self.seen].any(dim=1)

    def rows_of_size(self, maps: LocalMaps) -> dict[int, int]:
        """How many rows the positions with k variables need, for each k."""
        counts = self.depends(maps).sum(dim=1).bincount().tolist()
        return {k: 2**k * count for k, count in enumerate(counts) if count}

    def applied(self, module: nn.Module, maps: LocalMaps) -> LocalMaps:
        """The next map."""
        depends = self.depends(maps)
        k = depends.sum(dim=1)
        first = _first_rows(2**k)
        ranks = depends.long().cumsum(dim=1) - 1
        weights = torch.where(depends, 2**ranks, torch.zeros_like(ranks))
        channels = module.out_channels if isinstance(module, nn.Conv2d) else maps.table.shape[1]
        table = maps.table.new_zeros(1 + int((2**k).sum()), channels)
        for positions, rows in self._gathered(maps, depends, k):
            where = first[positions][:, None] + torch.arange(rows.shape[1], device=first.device)
            table[where.flatten()] = _reduced(module, maps.table, rows.flatten(0, 1)).to(table.dtype)
        weights = torch.cat([weights, weights.new_zeros(1, weights.shape[1])])
        return LocalMaps(table, first, weights, self.height, self.width)

    def _gathered(self, maps: LocalMaps, depends: Tensor, k: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Positions, and the rows that they see under each of their combinations ``(positions, 2**k, window)``."""
        row_bytes = self.seen.shape[1] * maps.table.shape[1] * maps.table.element_size()
        for size in k.unique().tolist():
            of_size = (k == size).nonzero().flatten()
            combinations = torch.arange(2**size, device=k.device)[:, None] >> torch.arange(size, device=k.device) & 1
            at_once = max(1, _GATHERED_BYTES // (row_bytes * 2**size))
            for positions in of_size.split(at_once):
                own = depends[positions].nonzero()[:, 1].reshape(len(positions), 1, size)
                seen = self.seen[positions]
                adds = maps.weights[seen].gather(2, own.expand(-1, seen.shape[1], -1))
                codes = _whole_product(adds, combinations.T)
                yield positions, (maps.first[seen][:, :, None] + codes).transpose(1, 2)


def _whole_product(numbers: Tensor, others: Tensor) -> Tensor:
    """A matrix product of whole numbers below 2**24, up to which float32 is exact; others exist on CPUs alone."""
    with autocast_off([numbers.device.type]):
        return (numbers.float() @ others.float()).long()


def _reduced(module: nn.Module, table: Tensor, rows: Tensor) -> Tensor:
    """What a module makes of the rows that a window sees, ``(many, window) -> (many, channels)``."""
    seen = table.index_select(0, rows.flatten()).reshape(*rows.shape, -1)
    if isinstance(module, nn.Conv2d):
        kernel = module.weight.flatten(2).permute(2, 1, 0).reshape(-1, module.out_channels)
        product = seen.flatten(1) @ kernel
        return product if module.bias is None else product + module.bias
    return seen.amax(dim=1) if isinstance(module, nn.MaxPool2d) else seen.mean(dim=1)
