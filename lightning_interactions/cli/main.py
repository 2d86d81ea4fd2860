"""The entry point of the command line: it holds the list of commands and hands over to one of them."""

from __future__ import annotations

import argparse
import io
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from lightning_interactions.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "main"]

PROGRAM = "lightning-interactions"

COMMANDS = {
    "explain": "explain what a trained network combines on some samples",
    "report": "write one HTML page about a run",
    "compare": "write one HTML page about two runs, side by side",
}
"""Every command and what it does. Its module has ``add_arguments(parser)`` and ``run(args) -> int``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after the program's name; those of this process when ``None``.

    Returns:
        the exit status: 0, or 1 when the command failed for a reason that its message tells.

    Raises:
        SystemExit: with status 2 for arguments that make no sense, and with 0 after ``--help`` or ``--version``.

    Example:
        >>> main(["report", "no-such-run"])
        1
    """
    _print_what_can_be()
    words = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="See what a network has learned to combine, and how much of it looks like noise."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = next((word for word in words if not word.startswith("-")), None)
    modules = {}
    for name, summary in COMMANDS.items():
        command = subparsers.add_parser(name, help=summary)
        if name == chosen:
            # Only now: one command must not pay for the imports of the others.
            modules[name] = import_module(f"lightning_interactions.cli.{name}")
            modules[name].add_arguments(command)
    args = parser.parse_args(words)
    try:
        return int(modules[args.command].run(args))
    except (OSError, ValueError, ImportError) as error:
        # These messages are written for people; a traceback would bury them.
        sys.stderr.write(f"{PROGRAM} {args.command}: {error}\n")
        return 1


def _print_what_can_be() -> None:
    """A terminal without some characters, as on Windows, shows question marks; nothing fails for that."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
