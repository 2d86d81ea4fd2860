"""List the licence of everything that an installation brings: ``python docs/licences.py`` writes docs/licences.md."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["ALLOWED", "closure", "licence", "licences", "main", "page"]

PROJECT = "lightning-interactions"
EXTRAS = ("", "experiments", "frames", "shapiq", "docs", "dev")

ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CNRI-Python",
    "ISC",
    "MIT",
    "MIT-CMU",
    "MPL-2.0",
    "PSF-2.0",
    "Zlib",
}
"""Licences that ask for no more than to be named, and MPL-2.0, which asks to publish changes to its own files. Some
packages only say that they have one of the BSD licences."""

NVIDIA = "LicenseRef-NVIDIA-Proprietary"

_SPELLINGS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "BSD 2-Clause License": "BSD-2-Clause",
    "BSD 3-Clause License": "BSD-3-Clause",
    "NVIDIA Proprietary Software": NVIDIA,
    "OSI Approved :: Apache Software License": "Apache-2.0",
    "OSI Approved :: BSD License": "BSD",
    "OSI Approved :: ISC License (ISCL)": "ISC",
    "OSI Approved :: MIT License": "MIT",
    "OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "OSI Approved :: Python Software Foundation License": "PSF-2.0",
}

# An empty package that only names NVIDIA's others, and says nothing itself.
_SILENT = {"cuda-toolkit": NVIDIA}

HEAD = f"""\
# Licences

The project itself is under Apache-2.0. This page lists the licence of everything that an installation on Linux brings
along, as each package states it; `docs/licences.py` writes it from the installed packages. Packages marked
`{NVIDIA}` are the CUDA libraries that PyTorch's builds for Linux require; PyTorch's builds for processors alone, and
those for other systems, come without them. Versions stand in `constraints.txt`.
"""


def closure(extra: str = "") -> dict[str, Distribution]:
    """Everything that an installation needs, by name: the project's requirements, theirs, and so on.

    Args:
        extra: the optional part that is installed too; ``""`` for none.

    Example:
        >>> {"torch", "numpy"} <= set(closure())
        True
    """
    found: dict[str, Distribution] = {}
    asked: set[tuple[str, str]] = set()
    pending = [(PROJECT, asked_for) for asked_for in {"", extra}]
    while pending:
        name, wanted = pending.pop()
        if (name, wanted) in asked:
            continue
        asked.add((name, wanted))
        package, requirements = _known(name)
        if package is None:
            continue  # e.g. what another Python needs
        found[name] = package
        for requirement in requirements:
            if requirement.marker is None or requirement.marker.evaluate({"extra": wanted}):
                required = canonicalize_name(requirement.name)
                pending += [(required, further) for further in ("", *requirement.extras)]
    del found[PROJECT]
    return found


@cache
def _known(name: str) -> tuple[Distribution | None, list[Requirement]]:
    try:
        package = distribution(name)
    except PackageNotFoundError:
        return None, []
    return package, [Requirement(text) for text in package.requires or []]


def licence(package: Distribution) -> str:
    """What a package says of its licence, as an SPDX expression where that is clear."""
    about = package.metadata
    classifiers = [line.partition(" :: ")[2] for line in about.get_all("Classifier", []) if line.startswith("License")]
    text = next(iter((about.get("License") or "").strip().splitlines()), "")
    stated = [about.get("License-Expression"), *classifiers, text, _SILENT.get(canonicalize_name(about["Name"]))]
    # The short text is more exact than the classifier "BSD License", where there is one.
    if text in _SPELLINGS or set(re.split(r" (?:AND|OR) ", text)) <= ALLOWED:
        stated.insert(1, text)
    first = next((entry for entry in stated if entry), "not stated")
    return _SPELLINGS.get(first, first)


def licences() -> dict[str, tuple[str, str]]:
    """The licence of every package, and the first optional part that brings it; ``""`` where all need it."""
    known: dict[str, tuple[str, str]] = {}
    for extra in EXTRAS:
        for name, package in closure(extra).items():
            known.setdefault(name, (licence(package), extra))
    return dict(sorted(known.items()))


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    titles = {"": "`pip install .`"} | {extra: f"More for `[{extra}]`" for extra in EXTRAS[1:]}
    packages = licences()
    for extra, title in titles.items():
        rows = [f"| {name} | {stated} |" for name, (stated, by) in packages.items() if by == extra]
        if rows:
            parts += [f"## {title}\n", "| package | licence |", "| --- | --- |", *rows, ""]
    return "\n".join(parts)


def main() -> None:
    """Write the page."""
    Path(__file__).with_suffix(".md").write_text(page())


if __name__ == "__main__":
    main()
