r"""The exact split with rows and columns by need: the path of optima for a falling noise bound.

For :math:`\zeta \ge \max|w|` no effect is needed. While :math:`\zeta` falls, the optimum moves along straight pieces on
which few effects :math:`C` are non-zero and equally few targets :math:`R` lie at the edge of their box:

.. math::
    \Phi_{RC} z_C = w_R - \zeta q_R, \qquad \Phi_{RC}^\top y_R = s_C c_C, \qquad q = \mathrm{sign}(y),\ s =
    \mathrm{sign}(z),

with weights :math:`c_S` (below) in place of 1. A piece ends where an effect vanishes or another target reaches its
edge: one transform of the effects' slope checks all rows. Then the dual values move until another column becomes worth
its weight or a dual value vanishes: one transform of the dual values' slope prices all columns. This is the simplex
method with a parametric right-hand side. Its matrix is only as large as the answer, a few dozen effects of thousands
for a trained network, and its answer is exact at every :math:`\zeta`.

**Lowest order.** The optimum is often not unique: :math:`x_i + x_j` and :math:`AND_{ij} + OR_{ij}` are the same
function at the same :math:`L_1`. The weights :math:`c_S = 1 + \varepsilon |S|` with a tiny :math:`\varepsilon` choose,
among the equally sparse explanations, one of the smallest total order :math:`\sum_S |S||I_S|`. Whether they did is
checked at the end without :math:`\varepsilon`, with the dual values of both objectives; where that fails,
:func:`lowest_order` decides.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lightning_interactions import lattice
from lightning_interactions.extraction.basis import Basis, entries
from lightning_interactions.extraction.interior_point import interior_point, narrowed
from lightning_interactions.extraction.lowest_order import FACE_ACCURACY, lowest_order, order_cost
from lightning_interactions.extraction.normal_matrix import NormalMatrix
from lightning_interactions.extraction.programme import dual_bound, free_effects, relative_gap, residuals

if TYPE_CHECKING:
    from lightning_interactions.extraction.basis import Reals

__all__ = ["column_generation"]

_ORDER_WEIGHT = 1e-5
"""ε: what one order more costs. Corners differ in L1 by far more, which the dual values without ε prove each time."""

_SPREAD = 1e-7
"""Random part of the weights, relative to ε: it decides between effects of one order, which would tie otherwise."""

_SPREAD_AT_14 = 1e-5
"""The same for n = 14: it must exceed the rounding of sums over the subsets, which costs the sharpest of the ties."""

_REFRESH = 50
"""Exchanges after which the rounding they left is taken back."""

_FORESIGHT = 4
"""Multiples of ``_REFRESH`` after which it is first estimated how many exchanges are still to come."""

_FEWEST_GRANTED = 512
"""Exchanges granted in any case: they take about a tenth of a second."""

_SMALLEST_RATE = 1e-9
"""A slower change is rounding and reaches nothing."""

_NOTHING = 1e-15
"""Slack of what has just been left: positive, so that a rate can be divided by it."""

_ROUNDING = 1e-9
"""How far from its limit a reduced cost may lie and count as at it."""


def column_generation(
    targets: Tensor,
    noise_bound: Tensor,
    *,
    tolerance: float = 1e-6,
    tie_break: str = "lowest_order",
    max_iterations: int | None = None,
    max_memory_mb: int = 1024,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Solve :math:`\min \|z\|_1` s.t. :math:`|w - \Phi z| \le \zeta` exactly, with a matrix as large as the answer.

    The work is done on the CPU, one sample after the other. A sample goes to :func:`interior_point` with the full
    matrix, which is faster there, when :math:`\zeta = 0` (every target is at the edge of its box), when the path takes
    more than ``max_iterations`` exchanges or is going to, and when rounding spoils the certificate.

    Args:
        targets: :math:`w`, float64 ``(samples, 2**n)``, 0 at the empty set.
        noise_bound: :math:`\zeta`, float64 ``(samples,)``, in the unit of ``targets``.
        tolerance: relative gap that counts as solved.
        tie_break: ``"lowest_order"`` takes, of all optimal effects, some of the smallest total order
            :math:`\sum_S |S||I_S|`; ``"none"`` takes any optimal corner.
        max_iterations: exchanges after which a sample is left to :func:`interior_point`; ``None`` takes
            ``4**n / 1024``, which costs about half as much, and at least 512.
        max_memory_mb: for :func:`interior_point` and :func:`lowest_order`. Corners whose order is not proved the lowest
            are left as they are where one full matrix needs more (by default for n > 13): their total order is within
            1e-5 of the smallest then.

    Returns:
        Effects ``(samples, 2, 2**n)``, dual values ``(samples, 2**n)`` and iterations ``(samples,)``: exchanges on the
        path, or iterations of :func:`interior_point` where that had to help.

    Example:
        >>> targets = torch.tensor([[0.0, 2.0, -3.0, -1.0]], dtype=torch.float64)
        >>> effects, duals, iterations = column_generation(targets, torch.tensor([0.5], dtype=torch.float64))
        >>> effects.round(decimals=6).tolist()
        [[[0.0, 1.5, -2.5, 0.0], [0.0, 0.0, 0.0, 0.0]]]
    """
    size = targets.shape[-1]
    most = max(_FEWEST_GRANTED, size**2 >> 10) if max_iterations is None else max_iterations
    effects = targets.new_zeros(len(targets), 2, size)
    duals = torch.zeros_like(targets)
    iterations = torch.zeros(len(targets), dtype=torch.int64, device=targets.device)
    lowest = torch.ones_like(iterations, dtype=torch.bool)
    scale = targets.abs().amax(dim=-1)
    weights = _weights(lattice.variable_count(targets), tie_break)
    todo = scale > noise_bound
    for sample in (todo & (noise_bound > 0)).nonzero()[:, 0].tolist():
        unit = scale[sample]
        box = narrowed(noise_bound[sample] / unit).item()
        path = _Path((targets[sample] / unit).cpu().numpy(), weights)
        if box > 0 and path.follow(box, most):
            found, prices, lowest[sample] = path.corner()
            effects[sample] = torch.from_numpy(found).to(targets) * unit
            duals[sample] = torch.from_numpy(prices).to(targets)
            iterations[sample] = path.exchanges
    gap = relative_gap(effects.abs().sum(dim=(1, 2)), dual_bound(targets, noise_bound, duals))
    outside = residuals(targets, effects).abs().amax(dim=1) > noise_bound
    unsolved = (todo & ((gap > tolerance) | outside)).nonzero()[:, 0]
    if len(unsolved):
        effects[unsolved], duals[unsolved], iterations[unsolved] = interior_point(
            targets[unsolved],
            noise_bound[unsolved],
            tolerance=tolerance * (FACE_ACCURACY if tie_break == "lowest_order" else 1),
            max_memory_mb=max_memory_mb,
        )
        lowest[unsolved] = False
    if tie_break == "lowest_order":
        if NormalMatrix.bytes_per_sample(lattice.variable_count(targets)) > max_memory_mb << 20:
            # The weights alone come within their random part of the smallest total order.
            lowest[todo] = True
            lowest[unsolved] = False
        tied = (~lowest).nonzero()[:, 0]
        effects[tied] = lowest_order(
            targets[tied],
            noise_bound[tied],
            effects[tied],
            duals[tied],
            tolerance=tolerance,
            max_memory_mb=max_memory_mb,
        )
    return effects, duals, iterations


def _weights(n_variables: int, tie_break: str) -> Reals:
    """The weights c of all effects, flat; infinite for those that the programme does not need."""
    order = order_cost(n_variables).repeat(2).numpy()
    drawn = np.random.default_rng(0).random(len(order))
    spread = max(_SPREAD, _SPREAD_AT_14 * 4.0 ** (n_variables - 14))
    weights = 1 + _ORDER_WEIGHT * (order * (tie_break == "lowest_order") + spread * drawn)
    return np.where(free_effects(n_variables).flatten().numpy(), weights, np.inf)


class _Path:
    """The optimum of one sample as a function of the noise bound, followed downwards from max|w|.

    Slacks say how far a target is from the upper and the lower edge of its box, ``(2, 2**n)``, and how far the price
    Φᵀy of an effect is from +c and -c, ``(2, 2 * 2**n)``. They are infinite in the basis, whose members cannot enter it
    again.
    """

    def __init__(self, targets: Reals, weights: Reals) -> None:
        size = len(targets)
        self.targets, self.weights = targets, weights
        self.transforms = _Transforms(size)
        row = int(np.abs(targets).argmax())
        self.noise_bound = abs(targets[row])
        usable = entries(np.int64(row), np.arange(2 * size), size) > 0
        column = int(np.where(usable, weights, np.inf).argmin())
        self.basis = Basis(row, column, size)
        self.exchanges = 0
        self.effects, self.duals = np.zeros(2 * size), np.zeros(size)
        self.duals[row] = np.sign(targets[row]) * weights[column]
        self.row_signs, self.column_signs = np.sign(self.duals), np.zeros(2 * size)
        self.column_signs[column] = self.row_signs[row]
        self.row_slack, self.column_slack = np.empty((2, size)), np.empty((2, 2 * size))
        # Fresh arrays would cost more than what is computed in them.
        self._row_rate, self._column_rate = np.empty((2, size)), np.empty((2, 2 * size))
        self._row_nearness, self._column_nearness = np.empty((2, size)), np.empty((2, 2 * size))
        self._slope, self._direction = np.zeros(2 * size), np.zeros(size)
        self._measure()

    def follow(self, noise_bound: float, most_exchanges: int) -> bool:
        """Lower the noise bound; return whether it was reached within so many exchanges and without breakdown.

        It gives up early where twice as many still lie ahead by a rough estimate.
        """
        passed = [self.noise_bound]
        with np.errstate(divide="ignore", invalid="ignore"):
            try:
                while self.exchanges < most_exchanges:
                    if self.exchanges % _REFRESH == _REFRESH - 1:
                        self._refresh()
                        passed.append(self.noise_bound)
                        if len(passed) > _FORESIGHT and _still(passed, noise_bound) > 2 * most_exchanges:
                            return False
                    if self._lower(noise_bound):
                        return True
                    self.exchanges += 1
            except np.linalg.LinAlgError:
                pass
        return False

    def corner(self) -> tuple[Reals, Reals, bool]:
        """Effects ``(2, 2**n)``, dual values ``(2**n,)``, and whether no optimal effects have a smaller total order.

        Both are solved for anew. The dual values are those of the plain L1 where they are feasible, which proves the
        optimum exactly.
        """
        rows, columns = self.basis.rows, self.basis.columns
        size = len(self.targets)
        matrix = self.basis.matrix()
        goal = self.targets[rows] - self.noise_bound * self.row_signs[rows]
        effects = np.zeros(2 * size)
        effects[columns] = np.linalg.solve(matrix, goal)
        signs = self.column_signs[columns]
        order = order_cost(self.transforms.n_variables).repeat(2).numpy()
        right = np.stack([signs, signs * order[columns], signs * self.weights[columns]], axis=1)
        plain, by_order, weighted = np.zeros((3, size))
        plain[rows], by_order[rows], weighted[rows] = np.linalg.solve(matrix.T, right).T
        price, order_price = self.transforms.prices(plain), self.transforms.prices(by_order)
        if np.abs(price).max() > 1 + _ROUNDING:
            return effects.reshape(2, size), weighted, False
        tied = np.isfinite(self.weights) & (np.abs(price) > 1 - _ROUNDING)
        free = rows[np.abs(plain[rows]) < _ROUNDING]
        lowest = (np.sign(price) * order_price <= order + _ROUNDING)[tied].all()
        lowest &= (self.row_signs * by_order >= -_ROUNDING)[free].all()
        return effects.reshape(2, size), plain, bool(lowest)

    def _lower(self, noise_bound: float) -> bool:
        """One piece of the path, then one exchange in the basis; True where ``noise_bound`` lies on the piece."""
        rows, columns, inverse = self.basis.rows, self.basis.columns, self.basis.inverse
        growth = inverse @ self.row_signs[rows]
        self._slope[columns] = growth
        change = self.transforms.sums(self._slope)
        self._slope[columns] = 0
        rate = self._row_rate
        np.subtract(1, change, out=rate[0])
        np.add(1, change, out=rate[1])
        fall, row, lower_edge = _first(self.row_slack, rate, self._row_nearness)
        vanishing, leaving = _first_zero(self.effects[columns], growth, self.column_signs[columns])
        reached = self.noise_bound - noise_bound <= min(fall, vanishing)
        step = self.noise_bound - noise_bound if reached else min(fall, vanishing)
        self.effects[columns] += step * growth
        self.noise_bound = noise_bound if reached else self.noise_bound - step
        rate *= step
        self.row_slack -= rate
        np.maximum(self.row_slack, _NOTHING, out=self.row_slack)
        if reached:
            return True
        if fall <= vanishing:
            self._row_enters(row, 1.0 - 2.0 * lower_edge)
        else:
            self._column_leaves(leaving)
        return False

    def _row_enters(self, row: int, sign: float) -> None:
        """A target has reached the edge of its box: its dual value grows until a column enters or a row leaves."""
        image = self.basis.row_image(row)
        self._direction[self.basis.rows] = -sign * image
        self._direction[row] = sign
        self.row_signs[row] = sign
        column, position = self._price()
        self.row_slack[:, row] = np.inf
        if column is None:
            self._release_row(position)
            self.basis.swap_row(position, row, image)
        else:
            self.basis.add(row, column, image)

    def _column_leaves(self, position: int) -> None:
        """An effect has vanished: its price may leave the limit until another column enters or a row leaves."""
        left = self.basis.columns[position]
        sign = self.column_signs[left]
        self._direction[self.basis.rows] = -sign * self.basis.inverse[position]
        self.effects[left] = 0
        self.column_slack[:, left] = (_NOTHING, 2 * self.weights[left])[:: int(sign)]
        column, row_position = self._price()
        if column is None:
            self._release_row(row_position)
            self.basis.drop(row_position, position)
        else:
            self.basis.swap_column(position, column)

    def _price(self) -> tuple[int | None, int]:
        """Move the dual values as far as they may; return the column that stops them, or the position of a row."""
        rows, direction, rate = self.basis.rows, self._direction, self._column_rate
        rate[0] = self.transforms.prices(direction)
        np.negative(rate[0], out=rate[1])
        reach, column, negative = _first(self.column_slack, rate, self._column_nearness)
        vanishing, position = _first_zero(self.duals[rows], direction[rows], self.row_signs[rows])
        step = min(reach, vanishing)
        if not np.isfinite(step):
            msg = "unbounded dual values"
            raise np.linalg.LinAlgError(msg)
        direction *= step
        self.duals += direction
        direction[:] = 0
        rate *= step
        self.column_slack -= rate
        np.maximum(self.column_slack, _NOTHING, out=self.column_slack)
        if vanishing <= reach:
            return None, position
        self.column_signs[column] = 1.0 - 2.0 * negative
        self.column_slack[:, column] = np.inf
        return column, position

    def _release_row(self, position: int) -> None:
        row = self.basis.rows[position]
        self.duals[row] = 0
        self.row_slack[:, row] = (_NOTHING, 2 * self.noise_bound)[:: int(self.row_signs[row])]

    def _refresh(self) -> None:
        """Compute everything anew from the rows and columns in use and their signs."""
        self.basis.refactorise()
        rows, columns, inverse = self.basis.rows, self.basis.columns, self.basis.inverse
        self.effects[columns] = inverse @ (self.targets[rows] - self.noise_bound * self.row_signs[rows])
        self.duals[rows] = (self.column_signs[columns] * self.weights[columns]) @ inverse
        self._measure()

    def _measure(self) -> None:
        rest = self.targets - self.transforms.sums(self.effects)
        price = self.transforms.prices(self.duals)
        self.row_slack[:] = self.noise_bound - rest, self.noise_bound + rest
        self.column_slack[:] = self.weights - price, self.weights + price
        np.maximum(self.row_slack, _NOTHING, out=self.row_slack)
        np.maximum(self.column_slack, _NOTHING, out=self.column_slack)
        self.row_slack[:, 0] = np.inf
        self.row_slack[:, self.basis.rows] = np.inf
        self.column_slack[:, self.basis.columns] = np.inf


def _first(slack: Reals, rate: Reals, nearness: Reals) -> tuple[float, int, bool]:
    """When the first slack is used up, which one it is, and whether in the second half; ``nearness`` is scratch."""
    np.divide(rate, slack, out=nearness)
    place = int(nearness.argmax())
    if rate.flat[place] < _SMALLEST_RATE:
        nearness[rate < _SMALLEST_RATE] = 0
        place = int(nearness.argmax())
    second, index = divmod(place, slack.shape[1])
    return 1 / nearness.flat[place], index, bool(second)


def _first_zero(values: Reals, rate: Reals, signs: Reals) -> tuple[float, int]:
    """When the first of the values loses its sign, and which."""
    falling = -signs * rate
    falling[falling < _SMALLEST_RATE] = 0
    nearness = falling / np.maximum(signs * values, _NOTHING)
    position = int(nearness.argmax())
    return 1 / nearness[position], position


def _still(passed: list[float], goal: float) -> float:
    """How many exchanges are still to come, from the noise bounds after every ``_REFRESH`` of them.

    Exchanges are about evenly spread over log ζ, denser towards the end: the second half so far says how densely.
    """
    earlier, now = passed[len(passed) // 2], passed[-1]
    made = _REFRESH * (len(passed) - 1 - len(passed) // 2)
    return made * math.log(now / goal) / max(math.log(earlier / now), _NOTHING)


class _Transforms:
    """The products with Φ and its transpose for one vector, by dense factors of size 2**(n/2)."""

    def __init__(self, size: int) -> None:
        self.n_variables = size.bit_length() - 1
        low = (self.n_variables + 1) // 2
        self._low, self._high = _zeta_factor(low).T.copy(), _zeta_factor(self.n_variables - low)
        self._size = size

    def sums(self, effects: Reals) -> Reals:
        """Φz, ``(2**n,)``, of effects ``(2 * 2**n,)`` that are 0 at the empty set."""
        and_, or_ = self._zeta(effects)
        return and_ + or_[-1] - or_[::-1]

    def prices(self, duals: Reals) -> Reals:
        """The transposed product, ``(2 * 2**n,)``, of dual values that are 0 at the empty set."""
        prices = self._zeta(np.concatenate([duals[::-1], duals]))[:, ::-1]
        np.subtract(prices[1, 0], prices[1], out=prices[1])
        prices[0, 0] = 0
        return prices.reshape(-1)

    def _zeta(self, vectors: Reals) -> Reals:
        grid = (vectors.reshape(-1, len(self._low)) @ self._low).reshape(2, len(self._high), len(self._low))
        return (self._high @ grid).reshape(2, self._size)


@lru_cache
def _zeta_factor(n_variables: int) -> Reals:
    if n_variables == 0:
        return np.ones((1, 1))
    return lattice.zeta(torch.eye(1 << n_variables, dtype=torch.float64)).T.contiguous().numpy()
