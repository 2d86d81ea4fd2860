"""Variable projection: the best sizes of decay and spindle, for every shape of either, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Cells", "Fits", "Products"]

_AT_ONCE = 16
"""Shares whose fits are made at once: what all pairs need for them stays in the caches of a processor."""
_BEST_CELLS = 1500
"""A bootstrap draw looks at so many of the best cells, and at the whole fine grid."""


@dataclass(frozen=True)
class Cells:
    """The pairs of a decay and a spindle that are tried: those of an even grid over all, and closer around the best.

    Attributes:
        rows: of each pair, the number of its decay.
        columns: the number of its spindle.
        n_fine: so many pairs, the last ones, have both close to the best.
    """

    rows: Tensor
    columns: Tensor
    n_fine: int

    @classmethod
    def of(cls, coarse: tuple[int, int], fine: tuple[int, int]) -> Cells:
        """All pairs, from how many decays and spindles either grid has; those of the fine one are numbered last.

        Example:
            >>> cells = Cells.of((1, 1), (1, 2))
            >>> cells.rows.tolist(), cells.columns.tolist(), cells.n_fine
            ([0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2], 2)
        """
        rows, columns = torch.cartesian_prod(*(torch.arange(sum(sizes)) for sizes in zip(coarse, fine, strict=True))).T
        order = ((rows >= coarse[0]) & (columns >= coarse[1])).byte().argsort(stable=True)
        return cls(rows[order], columns[order], fine[0] * fine[1])

    def best(self, losses: Tensor) -> Cells:
        """The best by their ``losses``, and the fine ones."""
        others = len(self.rows) - self.n_fine
        chosen = torch.cat([losses[:others].argsort()[:_BEST_CELLS], torch.arange(others, len(self.rows))])
        return Cells(self.rows[chosen], self.columns[chosen], self.n_fine)


@dataclass(frozen=True)
class Products:
    """Inner products of strength (a), decay (d) and spindle (s), all that the fits need: ``(draws, deltas, alphas)``.

    Those that do not depend on one of the three have a 1 in its place.
    """

    aa: Tensor
    dd: Tensor
    ss: Tensor
    ds: Tensor
    da: Tensor
    sa: Tensor
    decay_total: Tensor
    spindle_total: Tensor

    @classmethod
    def of(cls, strength: Tensor, decays: Tensor, spindles: Tensor) -> Products:
        """From the curves themselves.

        Args:
            strength: ``(draws, 2n)``.
            decays: ``(draws, deltas, 2n)``.
            spindles: ``(alphas, 2n)``.
        """
        return cls(
            aa=strength.square().sum(dim=-1)[:, None, None],
            dd=decays.square().sum(dim=-1)[:, :, None],
            ss=spindles.square().sum(dim=-1)[None, None, :],
            ds=decays @ spindles.T,
            da=torch.einsum("bdo,bo->bd", decays, strength)[:, :, None],
            sa=(strength @ spindles.T)[:, None, :],
            decay_total=decays.sum(dim=-1)[:, :, None],
            spindle_total=spindles.sum(dim=-1)[None, None, :],
        )

    def at(self, cells: Cells) -> Products:
        """Only some pairs of δ and α, all of them in the place of α."""

        def chosen(products: Tensor) -> Tensor:
            if products.shape[1:] == (1, 1):
                return products
            rows = cells.rows if products.shape[1] > 1 else torch.zeros_like(cells.rows)
            columns = cells.columns if products.shape[2] > 1 else torch.zeros_like(cells.columns)
            return products[:, rows, columns][:, None]

        return Products(**{name: chosen(products) for name, products in vars(self).items()})

    def loss(self, gamma: Tensor, beta: Tensor) -> Tensor:
        """Squared distance between the strength and γ decay + β spindle."""
        fitted = gamma * (gamma * self.dd + 2 * (beta * self.ds - self.da))
        return self.aa + fitted + beta * (beta * self.ss - 2 * self.sa)

    def sizes(self) -> tuple[Tensor, Tensor]:
        """γ and β of the smallest loss: two-column non-negative least squares."""
        determinant = self.dd * self.ss - self.ds**2
        both = (
            (self.ss * self.da - self.ds * self.sa) / determinant,
            (self.dd * self.sa - self.ds * self.da) / determinant,
        )
        inside = (determinant > 1e-12 * self.dd * self.ss) & (both[0] >= 0) & (both[1] >= 0)
        only_decay = torch.where(self.dd > 0, self.da / self.dd, 0.0).clamp(min=0)
        only_spindle = (self.sa / self.ss).clamp(min=0)
        edge = only_decay * self.da >= only_spindle * self.sa  # of the squared strength, what either explains alone
        gamma = torch.where(inside, both[0], torch.where(edge, only_decay, 0.0))
        beta = torch.where(inside, both[1], torch.where(edge, 0.0, only_spindle))
        return gamma, beta

    def fits(self) -> Fits:
        """The best fit of each pair."""
        gamma, beta = self.sizes()
        spindle_total = beta * self.spindle_total
        share = spindle_total / (spindle_total + gamma * self.decay_total)
        return Fits(gamma, beta, 1 - self.loss(gamma, beta) / self.aa, share)

    def fits_at_share(self, share: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
        """The loss, γ and β of the best size for a given spindle share.

        Args:
            share: a number, or a tensor ``(shares, 1, 1)`` where there is one draw.

        Returns:
            each ``(draws, deltas, alphas)``, or ``(shares, deltas, alphas)``.
        """
        # Where nothing is left of the decay, only the whole share can be the spindle's: any other has no size.
        of_decay = torch.where(self.decay_total > 0, (1 - share) / self.decay_total, 0.0)
        possible = (self.decay_total > 0) | (torch.as_tensor(share) == 1)
        of_spindle = torch.where(possible, share / self.spindle_total, 0.0)
        along = of_decay * self.da + of_spindle * self.sa
        square = of_decay**2 * self.dd + of_spindle * (2 * of_decay * self.ds + of_spindle * self.ss)
        size = torch.where(square > 0, along / square, 0.0)
        return self.aa - size * along, size * of_decay, size * of_spindle

    def best_at_shares(self, shares: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The best fit with each spindle share, of all pairs; where there is one draw.

        Args:
            shares: ``(shares,)``.

        Returns:
            its loss, γ, β and the number of its pair, each ``(shares,)``.
        """
        found = []
        for few in shares.split(_AT_ONCE):
            losses, gammas, betas = (side.flatten(start_dim=1) for side in self.fits_at_share(few[:, None, None]))
            loss, place = losses.min(dim=1)
            gamma, beta = (side.gather(1, place[:, None])[:, 0] for side in (gammas, betas))
            found.append((loss, gamma, beta, place))
        loss, gamma, beta, place = (torch.cat(column) for column in zip(*found, strict=True))
        return loss, gamma, beta, place


@dataclass(frozen=True)
class Fits:
    """The best non-negative (γ, β) for each resampling, δ and α, all ``(resamplings, deltas, alphas)``."""

    gamma: Tensor
    beta: Tensor
    r_squared: Tensor
    spindle_share: Tensor

    def numbers(self) -> dict[str, float]:
        """The only fit there is, as plain numbers."""
        return {name: value.item() for name, value in vars(self).items()}
