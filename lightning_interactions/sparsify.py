"""From network outputs on all masked samples to :class:`Interactions`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from lightning_interactions import lattice
from lightning_interactions.extraction.solve import resolve_solver, solve
from lightning_interactions.interactions import Interactions
from lightning_interactions.version import __version__

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["THRESHOLD_RATIO", "output_scale", "sparsify"]

THRESHOLD_RATIO = 0.02
r"""Salience threshold :math:`\tau` relative to :math:`E_x|v(x) - v(x_\varnothing)|` (Table 1)."""


def output_scale(values: Tensor) -> float:
    r"""The scale :math:`E_x|v(x) - v(x_\varnothing)|` to which noise bound and threshold are relative.

    Args:
        values: ``(samples, 2**n)``.

    Returns:
        the mean over the samples, in the unit of ``values``. A scale of each sample's own would vanish where
        :math:`v(x) \approx v(x_\varnothing)`.

    Example:
        >>> import torch
        >>> output_scale(torch.tensor([[0.0, 1.0, 1.0, 3.0], [1.0, 1.0, 1.0, 2.0]]))
        2.0
    """
    return (values[:, -1] - values[:, 0]).double().abs().mean().item()


def sparsify(
    values: Tensor,
    noise_bound: float | Tensor = 0.0,
    solver: str = "interior_point",
    *,
    tolerance: float = 1e-6,
    merge_order_one: bool = True,
    threshold: float | None = None,
    provenance: dict[str, Any] | None = None,
    **options: Any,
) -> Interactions:
    r"""The sparsest AND–OR interactions that explain ``values`` on all masked samples (Appendix D, Eq. 12).

    .. math:: \min \sum_{S \neq \varnothing} |I^{AND}_S| + |I^{OR}_S| \quad \text{s.t.} \quad
        |v(x_T) - h(x_T)| \le \zeta \; \forall T \subseteq N

    Args:
        values: network outputs ``(samples, 2**n)``.
        noise_bound: :math:`\zeta`, one number or one for each sample ``(samples,)``, in the unit of ``values``.
        solver: ``"interior_point"`` (exact, with a certificate), ``"admm"`` (nearly the optimum, for many variables),
            ``"sgd"`` (the published recipe), ``"none"`` (no optimisation: half AND, half OR) or ``"auto"``; see
            :func:`~lightning_interactions.extraction.solve.solve`.
        tolerance: relative gap at which the exact solver stops.
        merge_order_one: report the sum of the two order-1 effects, which alone is identified, as AND.
        threshold: salience threshold :math:`\tau \ge 0`; ``None`` takes 0.02 of :func:`output_scale`.
        provenance: kept with the result.
        **options: of the solver, e.g. ``tie_break="lowest_order"``, or for ``"admm"`` the interactions of the same
            samples at an earlier time as ``warm_start``.

    Returns:
        the interactions, on the CPU.

    Raises:
        TypeError: if the values are no tensor of floating-point numbers, or for an option that the solver does not
            have.
        ValueError: for values of a wrong shape or not finite, a negative noise bound or threshold, an unknown solver,
            or a ``tolerance`` that is not positive.

    Example:
        >>> import torch
        >>> found = sparsify(torch.tensor([[0.0, 1.0, 1.0, 1.0]]))  # "either of the two is enough"
        >>> found.or_.round(decimals=6).tolist()
        [[0.0, 0.0, 0.0, 1.0]]
    """
    if not isinstance(values, torch.Tensor):
        msg = f"`values` must be a tensor (samples, 2**n), got a {type(values).__name__}. HINT: torch.tensor(values)."
        raise TypeError(msg)
    if threshold is not None and not threshold >= 0:
        msg = f"`threshold` must be a number ≥ 0, got {threshold!r}."
        raise ValueError(msg)
    values, device = values.detach(), values.device.type
    solution = solve(values, noise_bound, solver, tolerance=tolerance, merge_order_one=merge_order_one, **options)
    values = values.double().cpu()
    if threshold is None:
        threshold = THRESHOLD_RATIO * output_scale(values) if len(values) else 0.0
    n_variables = lattice.variable_count(values)
    made_by = {
        "solver": resolve_solver(solver, n_variables, len(values), device),
        "tolerance": tolerance,
        "merge_order_one": merge_order_one,
    }
    return Interactions(
        values=values,
        and_=solution.and_.cpu(),
        or_=solution.or_.cpu(),
        l1=solution.l1.cpu(),
        gap=solution.gap.cpu(),
        noise_bound=torch.as_tensor(noise_bound, dtype=torch.float64, device="cpu").expand(len(values)).clone(),
        threshold=threshold,
        duals=solution.duals.cpu(),
        provenance=made_by
        | {
            "versions": {"lightning_interactions": __version__, "torch": str(torch.__version__)},
            "n_variables": n_variables,
        }
        | (provenance or {}),
    )
