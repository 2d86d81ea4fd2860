"""What the site takes from the code itself: the API pages, the table of logged keys and the command line's help."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from docstrings import documented, is_documented, keys_table, public_names, summary
from mkdocs.structure.files import File

from lightning_interactions import _HOMES
from lightning_interactions.cli.main import COMMANDS

__all__ = ["on_config", "on_files", "on_page_markdown"]

ROOT = Path(__file__).parents[1]
_NAME = "lightning_interactions"


def on_config(config: Any) -> Any:
    """Put the API's pages and those that scripts have written into the navigation."""
    for section in config.nav:
        for entry in next(iter(section.values())) if isinstance(section, dict) else []:
            if isinstance(entry, dict) and "API" in entry:
                entry["API"] = [{"The names to import": "api/index.md"}, *({room: _path(room)} for room in _rooms())]
        if isinstance(section, dict) and "Can I trust it?" in section:
            section["Can I trust it?"] += [{title: page} for page, (title, _, _) in _written().items()]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Write the API's pages, and fetch what scripts have written elsewhere: a page, and pictures of pages."""
    pages = {"api/index.md": _index()} | {_path(room): _page(room, modules) for room, modules in _rooms().items()}
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    for page, (_, _, source) in _written().items():
        if not files.get_file_from_path(page):
            files.append(File.generated(config, page, abs_src_path=str(source)))
        for target in _links(source):
            path = _fetched(source, target)
            if path and not files.get_file_from_path(path):
                files.append(File.generated(config, path, abs_src_path=str((source.parent / target).resolve())))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in what is marked by a comment, and mend links that lead out of this folder."""
    for mark, make in (("logged keys", keys_table), ("command line", _help), ("evidence", _evidence)):
        comment = f"<!-- {mark} -->"
        if comment in markdown:
            markdown = markdown.replace(comment, make())
    if page.file.src_uri in _written():
        source = _written()[page.file.src_uri][2]
        for target in _links(source):
            path = _fetched(source, target)
            if path:
                markdown = markdown.replace(f"]({target})", f"]({path})")
            elif not (source.parent / target).resolve().is_relative_to(ROOT / "docs"):
                markdown = re.sub(rf"!?\[([^\]]*)\]\({re.escape(target)}\)", rf"\1 (`{target}`)", markdown)
    return markdown


_BY_SCRIPTS = {
    "validity.md": ("Validity", "phase detector and separation of decay and spindle where the truth is known"),
    "engine.md": ("Engine", "how a network is run on all masked inputs, and what that costs"),
    "questions.md": ("Questions", "what the measurements say about the paper's open questions"),
    "REPRODUCTION.md": ("Reproduction", "the paper's experiments again, claim by claim"),
}
"""Pages that scripts write from results, and what each is about. They lie here or beside the README."""


def _written() -> dict[str, tuple[str, str, Path]]:
    """Those that have been written, and where they lie."""
    found = {}
    for page, about in _BY_SCRIPTS.items():
        for source in (ROOT / "docs" / page, ROOT / page):
            if source.exists():
                found.setdefault(page, (*about, source))
    return found


def _links(source: Path) -> list[str]:
    """Where a page's links lead to in this project."""
    targets = re.findall(r"\]\(([^)\s#]+)\)", source.read_text())
    return sorted({target for target in targets if "://" not in target})


def _fetched(source: Path, target: str) -> str | None:
    """Under which path the site has a picture that lies elsewhere in this project."""
    path = (source.parent / target).resolve()
    elsewhere = path.is_relative_to(ROOT) and not path.is_relative_to(ROOT / "docs")
    if elsewhere and path.suffix in {".png", ".svg"} and path.exists():
        return f"fetched/{path.relative_to(ROOT).as_posix()}"
    return None


def _evidence() -> str:
    return "\n".join(f"- [{title}]({page}): {about}." for page, (title, about, _) in _written().items())


def _rooms() -> dict[str, list[str]]:
    """The modules of each room, as the folders are called; what stands beside the folders comes first."""
    rooms: dict[str, list[str]] = defaultdict(list)
    for module in public_names():
        if is_documented(module):
            parts = module.split(".")[1:]
            rooms[parts[0] if len(parts) > 1 else "top level"].append(module)
    return dict(sorted(rooms.items(), key=lambda room: room[0] != "top level"))


def _path(room: str) -> str:
    return f"api/{room.replace(' ', '-')}.md"


def _index() -> str:
    names = public_names()[_NAME]
    lines = [f"# The names to import\n\n`from {_NAME} import …`\n\n| name | what it is |\n| --- | --- |"]
    for name in sorted(set(names) - {"__version__"}, key=str.lower):
        if name == "lattice":
            lines.append(f"| [`lattice`][{_NAME}.lattice] | the 2ⁿ subsets of n variables and the transforms on them |")
        elif f"{_NAME}.{_HOMES[name]}.{name}" in documented():
            module = f"{_NAME}.{_HOMES[name]}"
            lines.append(f"| [`{name}`][{module}.{name}] | {summary(module, name)} |")
    return "\n".join(
        [*lines, "", "`__version__` is the version. Everything else stands in the room that it belongs to.", ""]
    )


def _page(room: str, modules: list[str]) -> str:
    blocks = [f"::: {module}\n    options:\n      members: {public_names()[module]}\n" for module in modules]
    return f"# {room[0].upper()}{room[1:]}\n\n" + "\n".join(blocks)


def _help() -> str:
    """What each command says to ``--help``."""
    found = []
    for words in ([], *([command] for command in COMMANDS)):
        done = subprocess.run(  # noqa: S603  # the package's own program
            [sys.executable, "-c", f"from {_NAME}.cli.main import main; main()", *words, "--help"],
            env=os.environ | {"COLUMNS": "100"},
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        found.append(f"## {' '.join(['lightning-interactions', *words])}\n\n```text\n{done.stdout.strip()}\n```\n")
    return "\n".join(found)
