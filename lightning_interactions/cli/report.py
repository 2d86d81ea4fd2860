"""``lightning-interactions report RUN -o report.html``: one HTML page about a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "run"]

_DESCRIPTION = """\
Write one self-contained HTML page about a run: where it stands, strength by order over the epochs with decay and
spindle, the losses and the phase, the strongest interactions of some samples, how exact all this is, and how it was
made. It needs neither the network nor a connection, and can be sent to a colleague.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command and its arguments.

    Args:
        parser: of the command.
    """
    parser.description = _DESCRIPTION
    parser.add_argument("run", metavar="RUN", type=Path, help="the run's log folder, or its `interactions` folder")
    parser.add_argument("-o", "--output", type=Path, default=Path("report.html"), help="the page (%(default)s)")
    parser.add_argument("--title", help="of the page; made from the run's name by default")


def run(args: argparse.Namespace) -> int:
    """Write the page and say where it is.

    Args:
        args: what :func:`add_arguments` describes.

    Returns:
        the exit status.
    """
    from lightning_interactions.report import read_runs, write_report  # noqa: PLC0415  # --help needs none of it

    path = write_report(read_runs(args.run), args.output, title=args.title)
    sys.stdout.write(f"Report: {path}\n")
    return 0
