"""The whole way in one call: a network and samples in, interactions out."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from lightning_interactions import lattice
from lightning_interactions.extraction.solve import resolve_solver
from lightning_interactions.interactions import Interactions
from lightning_interactions.masking.batches import batch_size, take_rows
from lightning_interactions.masking.forward import values
from lightning_interactions.masking.memory import MaskBatchSize, check_mask_batch_size
from lightning_interactions.masking.outputs import OUTPUTS, Output, resolve_output
from lightning_interactions.masking.precision import Precision, check_precision
from lightning_interactions.masking.variables import check_variables, usable_draws
from lightning_interactions.sparsify import THRESHOLD_RATIO, output_scale, sparsify

if TYPE_CHECKING:
    from torch import nn

    from lightning_interactions.masking.network import Forward
    from lightning_interactions.masking.variables import Draw, Variables

__all__ = ["ShareOut", "check_noise_ratio", "explain"]

_T = TypeVar("_T")

ShareOut = Callable[[Sequence[int], Callable[[Sequence[int]], _T]], list[_T]]
"""``(samples, work) -> parts``: calls ``work`` on parts of the samples, wherever that may be, and returns what it gave,
in the order of the samples."""


def _all_here(samples: Sequence[int], work: Callable[[Sequence[int]], _T]) -> list[_T]:
    return [work(samples)]


def explain(
    model: nn.Module,
    inputs: Any,
    targets: Tensor,
    variables: Variables,
    output: str | Output = "log_odds",
    noise_ratio: float = 0.02,
    solver: str = "auto",
    seed: int | None = None,
    mask_batch_size: MaskBatchSize = "auto",
    *,
    tolerance: float = 1e-6,
    merge_order_one: bool = True,
    warm_start: Interactions | None = None,
    forward: Forward | None = None,
    precision: Precision = "float32",
    channels_last: bool = False,
    compiled: bool = False,
    progress: Callable[[int, int], None] | None = None,
    share_out: ShareOut = _all_here,
) -> Interactions:
    r"""Explain what a network combines on each sample by sparse AND and OR interactions.

    The network is run on all :math:`2^n` masked versions of each sample, and the sparsest interactions that explain all
    these outputs up to :math:`\zeta` are found (Theorem 2.1 and Appendix D). The network is left exactly as it was.

    Args:
        model: any network; of one that Lightning Fabric has set up, the network itself.
        inputs: samples as the network takes them: a tensor, or a mapping or sequence of tensors.
        targets: true classes ``(samples,)``; for a callable ``output`` whatever it takes, with one row a sample.
        variables: what the input variables are, e.g. :class:`~lightning_interactions.FeatureMapPatches`.
        output: scalar output :math:`v`: ``"log_odds"`` (Eq. 1), ``"target_logit"``, ``"margin"`` or a callable
            ``(logits, targets) -> (B,)``, called with the rows of any number of masked inputs. Its targets are not
            checked; on a CUDA device, an index out of range ends in an error from which only a new process recovers.
        noise_ratio: :math:`\zeta` relative to :math:`E_x|v(x) - v(x_\varnothing)|` (Appendix D).
        solver: see :func:`~lightning_interactions.sparsify`.
        seed: replaces the seed of ``variables`` when given.
        mask_batch_size: masked inputs in one forward pass, a memory knob; ``"auto"`` finds what is fast and fits.
        tolerance: see :func:`~lightning_interactions.sparsify`.
        merge_order_one: see :func:`~lightning_interactions.sparsify`.
        warm_start: interactions of the same samples, of the network at an earlier time: ``solver="admm"`` starts from
            them, also where one of the samples is left out now. Those of other samples, variables or from a file are
            passed over.
        forward: ``(model, inputs) -> logits`` for networks that are not called with their inputs alone.
        precision: of the forward passes: ``"float32"`` (at least that, and never TF32), ``"float64"`` or ``"bf16"``,
            whatever the network is trained in.
        channels_last: run image networks with their channels last in memory; a matter of speed.
        compiled: run what lies after the mask by ``torch.compile``; a matter of speed, too. The first call took one
            to two minutes where it was measured and later ones, as at the next epoch, 0.93 to 1.04 of the time
            (``docs/engine.md``): worth a try on your machine only. The network is run as it is, with a warning, where
            that fails or gives other numbers.
        progress: called as ``progress(samples_done, samples)`` after each block of samples.
        share_out: how the samples are shared out, e.g. over several processes; by default all are explained here.

    Returns:
        the interactions of the samples that could be explained. ``provenance["samples"]`` says which rows of ``inputs``
        they are, ``["skipped"]`` which had too few variables, ``["dropped"]`` on which the network's output was not
        finite (this also warns).

    Raises:
        TypeError: if ``variables`` are none, or ``noise_ratio`` is no number.
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
    check_variables(variables)
    noise_ratio = check_noise_ratio(noise_ratio)
    check_precision(precision)
    check_mask_batch_size(mask_batch_size)
    check_targets = _one_class_each if scalar in OUTPUTS.values() else _one_row_each
    targets = targets if isinstance(targets, Tensor) else torch.as_tensor(targets, device="cpu")
    targets = check_targets(targets, batch_size(inputs))
    drawn = variables.draw(inputs, seed)
    masked = _Masked.of(drawn, variables)

    def observe(share: Sequence[int]) -> Tensor:
        some = masked.keep(share)
        return values(
            model,
            take_rows(inputs, some.rows),
            targets[some.rows],
            variables,
            some.draws,
            output=scalar,
            forward=forward,
            mask_batch_size=mask_batch_size,
            precision=precision,
            channels_last=channels_last,
            compiled=compiled,
            progress=progress,
        )

    observed = torch.cat(share_out(range(len(masked.rows)), observe))
    finite = observed.isfinite().all(dim=1)
    _report_not_finite(finite.tolist())
    explained = masked.keep(finite.nonzero()[:, 0].tolist())
    found = _solved(
        observed[finite],
        share_out,
        noise_ratio=noise_ratio,
        solver=solver,
        tolerance=tolerance,
        merge_order_one=merge_order_one,
        warm_start=_start(warm_start, explained.provenance()),
    )
    settings = _settings(variables, seed, output) | {"noise_ratio": noise_ratio, "precision": precision}
    left_out = {
        "skipped": [row for row, draw in enumerate(drawn) if draw is None],
        "dropped": masked.keep((~finite).nonzero()[:, 0].tolist()).rows,
    }
    return replace(found, provenance=found.provenance | explained.provenance() | settings | left_out)


class _Masked(NamedTuple):
    """Samples that are masked: their rows among the inputs, and what their variables are."""

    rows: list[int]
    draws: list[Draw]

    @classmethod
    def of(cls, drawn: Sequence[Draw | None], variables: Variables) -> _Masked:
        """The samples that have enough variables."""
        enough = dict(usable_draws(drawn))
        if not enough:
            msg = (
                f"None of the {len(drawn)} samples has {variables.n_variables} input variables."
                f" HINT: use a smaller `n_variables`."
            )
            raise ValueError(msg)
        return cls(list(enough), list(enough.values()))

    def keep(self, positions: Sequence[int]) -> _Masked:
        return _Masked(
            [self.rows[position] for position in positions], [self.draws[position] for position in positions]
        )

    def provenance(self) -> dict[str, Any]:
        return {"draws": [draw.as_dict() for draw in self.draws], "samples": self.rows}


def _solved(
    observed: Tensor,
    share_out: ShareOut[Interactions],
    *,
    noise_ratio: float,
    solver: str,
    warm_start: Interactions | None,
    **options: Any,
) -> Interactions:
    """The interactions behind network outputs on all masked samples; scale and solver are those of all together."""
    scale = output_scale(observed)
    solver = resolve_solver(solver, lattice.variable_count(observed), len(observed), observed.device.type)

    def solve(share: Sequence[int]) -> Interactions:
        start: dict[str, Any] = {} if warm_start is None or solver != "admm" else {"warm_start": warm_start.rows(share)}
        return sparsify(
            observed[list(share)], noise_ratio * scale, solver, threshold=THRESHOLD_RATIO * scale, **options, **start
        )

    return Interactions.joined(share_out(range(len(observed)), solve))


def _settings(variables: Variables, seed: int | None, output: str | Output) -> dict[str, Any]:
    """Variables and output as plain data."""
    return {
        "variables": variables.provenance() | ({} if seed is None else {"seed": seed}),
        "output": output if isinstance(output, str) else getattr(output, "__name__", repr(output)),
    }


def _start(earlier: Interactions | None, explained: dict[str, Any]) -> Interactions | None:
    """What was found of these samples earlier, in their order; ``None`` where it is not known of all of them.

    A sample that was left out, then or now, must not shift the others. Draws tell whether variables are still the same.
    """
    if earlier is None or earlier.duals is None:
        return None
    row_of = {number: row for row, number in enumerate(earlier.sample_numbers)}
    if not row_of.keys() >= set(explained["samples"]):
        return None
    start = earlier.rows([row_of[number] for number in explained["samples"]])
    return start if start.provenance.get("draws") == explained["draws"] else None


def check_noise_ratio(noise_ratio: float) -> float:
    """Return ``noise_ratio`` as a ``float`` when it is a finite share of the output's scale.

    Args:
        noise_ratio: what was given.

    Raises:
        TypeError: if ``noise_ratio`` is no number.
        ValueError: if it is negative or not finite.

    Example:
        >>> check_noise_ratio(-1)
        Traceback (most recent call last):
        ...
        ValueError: `noise_ratio` must be a finite number ≥ 0, got -1.
    """
    if not isinstance(noise_ratio, Real):
        msg = f"`noise_ratio` must be a number ≥ 0, got {noise_ratio!r}. HINT: two per cent are 0.02."
        raise TypeError(msg)
    if not 0 <= noise_ratio < math.inf:
        msg = f"`noise_ratio` must be a finite number ≥ 0, got {noise_ratio!r}."
        raise ValueError(msg)
    return float(noise_ratio)


def _one_class_each(targets: Tensor, n_samples: int) -> Tensor:
    """Targets of the built-in outputs, ``(samples,)``."""
    if targets.numel() != n_samples:
        msg = (
            f"`targets` must hold one true class for each of the {n_samples} samples, got shape {tuple(targets.shape)}."
            f" HINT: other targets need `output=` a callable (logits, targets) -> (B,)."
        )
        raise ValueError(msg)
    return targets.reshape(-1)


def _one_row_each(targets: Tensor, n_samples: int) -> Tensor:
    """Targets of an output of the user's own: what a row holds is between the two."""
    if targets.shape[:1] != (n_samples,):
        msg = f"`targets` must have one row for each of the {n_samples} samples, got shape {tuple(targets.shape)}."
        raise ValueError(msg)
    return targets


def _report_not_finite(finite: list[bool]) -> None:
    bad = finite.count(False)
    if not bad:
        return
    if bad == len(finite):
        msg = (
            f"The network's output must be finite, got NaN or infinity on masked versions of all {bad} samples."
            f" HINT: look at the network's weights; where inputs are only masked to 0, try another baseline."
        )
        raise FloatingPointError(msg)
    warnings.warn(
        f"The network's output is NaN or infinite on masked versions of {bad} of {len(finite)} samples;"
        f" these samples are left out.",
        stacklevel=3,
    )
