"""A user's filter may make errors of warnings; those of a monitor's work must stop no training."""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["warnings_shown"]


@contextmanager
def warnings_shown() -> Iterator[None]:
    """Show in this block the warnings that would be raised, whoever gives them; what is ignored stays ignored.

    Example:
        >>> with warnings.catch_warnings(record=True) as shown:
        ...     warnings.simplefilter("error")
        ...     with warnings_shown():
        ...         warnings.warn("only a warning")
        >>> str(shown[0].message)
        'only a warning'
    """
    filters = list(warnings.filters)
    if all(action != "error" for action, *_ in filters):
        yield
        return
    with warnings.catch_warnings():
        warnings.resetwarnings()
        for action, message, category, module, line in reversed(filters):
            shown = "default" if action == "error" else action
            warnings.filterwarnings(shown, _expression(message), category, _expression(module), line)  # type: ignore[arg-type]  # as they stood
        yield


def _expression(condition: re.Pattern[str] | str | None) -> str:
    """A filter's condition as it is given to make a filter; some of Python's own are plain texts."""
    if isinstance(condition, re.Pattern):
        return condition.pattern
    return re.escape(condition or "")
