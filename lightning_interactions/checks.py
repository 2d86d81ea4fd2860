"""Refuse arguments that cannot be meant, in the same words everywhere."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any

__all__ = ["check_ranges", "check_whole", "reason_of"]


def check_whole(*, minimum: int | None = None, hint: str = "", **named: Any) -> None:
    """Refuse what is no whole number. NumPy's whole numbers are some; True and False, and tensors, are none.

    Args:
        minimum: the smallest number allowed; ``None`` allows all.
        hint: what else the message says.
        **named: what was given, under the names of the arguments.

    Raises:
        TypeError: if one of them is no whole number.
        ValueError: if one of them is below ``minimum``.

    Example:
        >>> check_whole(minimum=1, n_samples=0)
        Traceback (most recent call last):
        ...
        ValueError: `n_samples` must be a whole number, at least 1, got 0.
    """
    allowed = "a whole number" if minimum is None else f"a whole number, at least {minimum}"
    hint = hint and f" HINT: {hint}"
    for name, value in named.items():
        if not isinstance(value, Integral) or isinstance(value, bool):
            msg = f"`{name}` must be {allowed}, got {value!r} of type {type(value).__name__}.{hint}"
            raise TypeError(msg)
        if minimum is not None and value < minimum:
            msg = f"`{name}` must be {allowed}, got {value!r}.{hint}"
            raise ValueError(msg)


def check_ranges(**named: tuple[float, float]) -> None:
    """Refuse ranges that are reversed, empty or not positive.

    Args:
        **named: the ranges, ``(low, high)``, under the names of their arguments.

    Raises:
        ValueError: for the first that is one of these.

    Example:
        >>> check_ranges(delta_range=(1.0, 0.1))
        Traceback (most recent call last):
        ...
        ValueError: `delta_range` must be (low, high) with 0 < low < high, got (1.0, 0.1).
    """
    for name, (low, high) in named.items():
        if not 0 < low < high < math.inf:
            msg = f"`{name}` must be (low, high) with 0 < low < high, got {(low, high)!r}."
            raise ValueError(msg)


def reason_of(error: Exception) -> str:
    r"""What an error of another library says, in one line for a message of ours; its kind where it says nothing.

    Example:
        >>> reason_of(OSError("no space left:\n  /data")), reason_of(EOFError())
        ('no space left: /data', 'EOFError')
    """
    return " ".join(str(error).split()) or type(error).__name__
