"""A case of a benchmark in a process of its own, so that memory, threads and caches are its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

__all__ = ["child"]


def child(file: str, *words: str, **environment: str) -> dict[str, Any]:
    """What a benchmark prints as its last line, which is JSON, when it is called with some words.

    Args:
        file: the benchmark.
        words: of the command line.
        environment: variables that are set for it.
    """
    done = subprocess.run(  # noqa: S603  # our own file
        [sys.executable, file, *words], stdout=subprocess.PIPE, check=True, text=True, env=os.environ | environment
    )
    return json.loads(done.stdout.splitlines()[-1])
