"""What the paper says of every run without a picture: Theorem 2.1 and the sparsity conditions of Appendix B."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.figures.run_folder import RunFolder

__all__ = ["numbers"]

_CONDITIONS = ("condition_1", "condition_2", "condition_3")


def numbers(run: RunFolder) -> dict[str, Any]:
    """The largest error on any masked sample relative to the noise bound, and the conditions, at every epoch.

    Where no noise is allowed (``noise_ratio: 0``) the bound is 0, and the ratio NaN.
    """
    found: dict[str, Any] = {
        "epochs": run.history.epochs,
        "matching_ratio": [_ratio(record["matching_error"], record["noise_bound"]) for record in run.history],
    }
    for name in _CONDITIONS:
        holds = [value for value in run.history.column(f"{name}_holds") if math.isfinite(value)]
        if holds:
            found[name] = run.history.column(name)
            found[f"{name}_holds"] = sum(holds) / len(holds)
    return found


def _ratio(error: float, bound: float) -> float:
    return error / bound if bound > 0 else math.nan
