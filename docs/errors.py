"""Make every wrong call that the tests know, and write what it says to docs/errors.md: ``python docs/errors.py``."""

from __future__ import annotations

import importlib.util
import re
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

__all__ = ["main", "page", "row"]

ROOT = Path(__file__).parents[1]

HEAD = """\
# Error messages

A message names what is wrong, shows what was given, and says what is allowed. This page is written by `docs/errors.py`
from the calls that the tests make (`tests/reliability/wrong_calls.py`). The calls refer to `values` of shape (2, 8),
`found` interactions of them, a table of four `rows` with three columns and their `classes`, and images of 6×6 pixels;
`train` begins a training that a monitor watches. Other errors than these, during a training, are
[counted and survived](reliability.md#it-survives).
"""


def row(case: Any, error: str, message: str) -> str:
    r"""One row of the table: the call, the error's class or the exit status, and the message.

    Example:
        >>> from types import SimpleNamespace
        >>> row(SimpleNamespace(call="f(-1)", is_command=False), "ValueError", "`x` must be 2**n, got -1")
        '| `f(-1)` | ValueError | `x` must be 2\\*\\*n, got -1 |'
    """
    error = f"exit status {error}" if case.is_command else error
    return f"| `{case.call}` | {error} | {_escaped(message)} |"


def page(cases: list[Any], what_happens: Any) -> str:
    """The whole page.

    Args:
        cases: the wrong calls.
        what_happens: ``case -> (error, message)``.
    """
    parts = [HEAD]
    for room, calls in groupby(cases, key=lambda case: case.room):
        parts += [f"\n## {room}\n", "| call | error | message |", "| --- | --- | --- |"]
        parts += [row(case, *what_happens(case)) for case in calls]
    return "\n".join(parts) + "\n"


def _escaped(message: str) -> str:
    """Text that Markdown shows as it is, in one line; what stands in backticks is code already."""
    pieces = " ".join(message.split()).split("`")
    for position in range(0, len(pieces), 2):
        pieces[position] = re.sub(r"([*_<\[\]])", r"\\\1", pieces[position])
    return "`".join(pieces).replace("|", "\\|")


def _wrong_calls() -> Any:
    path = ROOT / "tests" / "reliability" / "wrong_calls.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        msg = f"'{path}' cannot be read."
        raise ImportError(msg)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # where dataclasses look for their module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Write the page."""
    wrong_calls = _wrong_calls()
    with wrong_calls.prepared() as what_happens:
        text = page(wrong_calls.WRONG, what_happens)
    (ROOT / "docs" / "errors.md").write_text(text)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
