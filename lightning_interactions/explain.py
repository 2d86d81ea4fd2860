"""The whole way in one call: a network and samples in, interactions out."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_interactions.masking.batches import batch_size, take_rows
from lightning_interactions.masking.forward import Forward, values
from lightning_interactions.masking.outputs import Output, resolve_output
from lightning_interactions.sparsify import output_scale, sparsify

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from lightning_interactions.interactions import Interactions
    from lightning_interactions.masking.variables import Variables

__all__ = ["check_noise_ratio", "explain"]


def explain(
    model: nn.Module,
    inputs: Any,
    targets: Tensor,
    variables: Variables,
    output: str | Output = "log_odds",
    noise_ratio: float = 0.02,
    solver: str = "auto",
    seed: int | None = None,
    mask_batch_size: int | None = None,
    *,
    tolerance: float = 1e-6,
    merge_order_one: bool = True,
    forward: Forward | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Interactions:
    r"""Explain what a network combines on each sample by sparse AND and OR interactions.

    The network is run on all :math:`2^n` masked versions of each sample, and the sparsest interactions that explain all
    these outputs up to :math:`\zeta` are found (Theorem 2.1 and Appendix D). The network is left exactly as it was.

    Args:
        model: any network.
        inputs: samples as the network takes them: a tensor, or a mapping or sequence of tensors.
        targets: true classes ``(samples,)``.
        variables: what the input variables are, e.g. :class:`~lightning_interactions.FeatureMapPatches`.
        output: scalar output :math:`v`: ``"log_odds"`` (Eq. 1), ``"target_logit"``, ``"margin"`` or a callable
            ``(logits, targets) -> (B,)``.
        noise_ratio: :math:`\zeta` relative to :math:`E_x|v(x) - v(x_\varnothing)|` (Appendix D).
        solver: see :func:`~lightning_interactions.sparsify`.
        seed: replaces the seed of ``variables`` when given.
        mask_batch_size: masked inputs in one forward pass, a memory knob; chosen by size when ``None``.
        tolerance: see :func:`~lightning_interactions.sparsify`.
        merge_order_one: see :func:`~lightning_interactions.sparsify`.
        forward: ``(model, inputs) -> logits`` for networks that are not called with their inputs alone.
        progress: called as ``progress(samples_done, samples)`` after each block of samples.

    Returns:
        the interactions of the samples that could be explained. ``provenance["samples"]`` says which rows of ``inputs``
        they are, ``["skipped"]`` which had too few variables, ``["dropped"]`` on which the network's output was not
        finite (this also warns).

    Raises:
        ValueError: for inputs, targets, a layer or settings that do not fit together, or when no sample has enough
            variables.
        FloatingPointError: when the network's output is not finite on any sample.

    Example:
        >>> import torch
        >>> from lightning_interactions import Columns, explain
        >>> network = torch.nn.Linear(3, 1)
        >>> found = explain(network, torch.rand(5, 3), torch.ones(5), Columns(n_variables=3, baseline=0.0))
        >>> found.and_.shape
        torch.Size([5, 8])
    """
    scalar = resolve_output(output)
    check_noise_ratio(noise_ratio)
    targets = _check_targets(targets, batch_size(inputs))
    drawn = variables.draw(inputs, seed)
    kept = [row for row, draw in enumerate(drawn) if draw is not None]
    if not kept:
        msg = (
            f"None of the {len(drawn)} samples has {variables.n_variables} input variables."
            f" HINT: use a smaller `n_variables`."
        )
        raise ValueError(msg)
    draws = [draw for draw in drawn if draw is not None]
    observed = values(
        model,
        take_rows(inputs, kept),
        targets[kept],
        variables,
        draws,
        output=scalar,
        forward=forward,
        mask_batch_size=mask_batch_size,
        progress=progress,
    )
    finite = observed.isfinite().all(dim=1).tolist()
    if not all(finite):
        _report_not_finite(finite)
    usable = [position for position, good in enumerate(finite) if good]
    observed = observed[usable]
    return sparsify(
        observed,
        noise_ratio * output_scale(observed),
        solver,
        tolerance=tolerance,
        merge_order_one=merge_order_one,
        provenance={
            "variables": variables.provenance() | ({} if seed is None else {"seed": seed}),
            "draws": [draws[position].as_dict() for position in usable],
            "output": output if isinstance(output, str) else getattr(output, "__name__", repr(output)),
            "noise_ratio": noise_ratio,
            "samples": [kept[position] for position in usable],
            "skipped": [row for row, draw in enumerate(drawn) if draw is None],
            "dropped": [kept[position] for position, good in enumerate(finite) if not good],
        },
    )


def check_noise_ratio(noise_ratio: float) -> None:
    """Refuse a noise bound that is no finite share of the output's scale.

    Raises:
        ValueError: if ``noise_ratio`` is negative or not finite.
    """
    if not 0 <= noise_ratio < math.inf:
        msg = f"`noise_ratio` must be a finite number ≥ 0, got {noise_ratio!r}."
        raise ValueError(msg)


def _check_targets(targets: Any, n_samples: int) -> Tensor:
    targets = torch.as_tensor(targets)
    if len(targets.reshape(-1)) != n_samples:
        msg = (
            f"`targets` must hold one true class for each of the {n_samples} samples, got shape {tuple(targets.shape)}."
        )
        raise ValueError(msg)
    return targets.reshape(-1)


def _report_not_finite(finite: list[bool]) -> None:
    bad = finite.count(False)
    if bad == len(finite):
        msg = f"The network's output is NaN or infinite on masked versions of all {bad} samples."
        raise FloatingPointError(msg)
    warnings.warn(
        f"The network's output is NaN or infinite on masked versions of {bad} of {len(finite)} samples;"
        f" these samples are left out.",
        stacklevel=3,
    )
