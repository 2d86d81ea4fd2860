"""``lightning-interactions compare RUN_A RUN_B -o compare.html``: one HTML page about two runs, side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "run"]

_DESCRIPTION = """\
Write one self-contained HTML page that shows two runs side by side on common scales. One slider moves both.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command and its arguments.

    Args:
        parser: of the command.
    """
    parser.description = _DESCRIPTION
    for name, which in (("RUN_A", "one"), ("RUN_B", "the other")):
        parser.add_argument(
            name.lower(), metavar=name, type=Path, help=f"{which} run's log folder, or its `interactions` folder"
        )
    parser.add_argument("-o", "--output", type=Path, default=Path("compare.html"), help="the page (%(default)s)")
    parser.add_argument("--title", help="of the page; made from the runs' names by default")


def run(args: argparse.Namespace) -> int:
    """Write the page and say where it is.

    Args:
        args: what :func:`add_arguments` describes.

    Returns:
        the exit status.
    """
    from lightning_interactions.report import read_runs, write_report  # noqa: PLC0415  # --help needs none of it

    first, second = read_runs(args.run_a), read_runs(args.run_b)
    path = write_report([*first, *second], args.output, beside=second[0], title=args.title)
    sys.stdout.write(f"Comparison: {path}\n")
    return 0
