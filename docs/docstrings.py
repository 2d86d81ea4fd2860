"""The package's docstrings as Markdown: they are written with the roles, formulas and tables of reStructuredText."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

from griffe import Extension
from internals import is_internal

__all__ = [
    "Docstrings",
    "documented",
    "formula",
    "is_documented",
    "keys_table",
    "public_names",
    "summary",
    "to_markdown",
]

_ONLY_HAND_ON = {f"lightning_interactions{room}" for room in ("", ".plots", ".report")}
_NOT_FOR_USERS = ("lightning_interactions.cli", "lightning_interactions.tensorboard_plugin")

PACKAGE = Path(__file__).parents[1] / "lightning_interactions"

_SYMBOLS = {
    r"\varepsilon": "ε",
    r"^\top": "ᵀ",
    r"\lfloor": "⌊",
    r"\rfloor": "⌋",
    r"\lceil": "⌈",
    r"\rceil": "⌉",
    r"\kappa": "κ",
    r"\Delta": "Δ",
    r"\sim": "~",
    r"\mp": "∓",
    r"\nu": "ν",
    r"\varnothing": "∅",
    r"\emptyset": "∅",
    r"\subseteq": "⊆",
    r"\setminus": "∖",
    r"\partial": "∂",
    r"\epsilon": "ε",
    r"\lambda": "λ",
    r"\approx": "≈",
    r"\alpha": "α",
    r"\gamma": "γ",
    r"\delta": "δ",
    r"\Gamma": "Γ",
    r"\Theta": "Θ",
    r"\infty": "∞",
    r"\otimes": "⊗",
    r"\qquad": "   ",
    r"\nabla": "∇",
    r"\sigma": "σ",
    r"\Phi": "Φ",
    r"\varphi": "φ",
    r"\times": "×",
    r"\dots": "…",
    r"\ldots": "…",
    r"\cdot": "·",
    r"\theta": "θ",
    r"\right": "",
    r"\left": "",
    r"\quad": "  ",
    r"\beta": "β",
    r"\zeta": "ζ",
    r"\prod": "Π",
    r"\cup": "∪",
    r"\cap": "∩",
    r"\leq": "≤",
    r"\geq": "≥",
    r"\neq": "≠",
    r"\sum": "Σ",
    r"\tau": "τ",
    r"\rho": "ρ",
    r"\phi": "φ",
    r"\min": "min",
    r"\max": "max",
    r"\log": "log",
    r"\exp": "exp",
    r"\top": "ᵀ",
    r"\mid": "|",
    r"\in": "∈",
    r"\le": "≤",
    r"\ge": "≥",
    r"\ne": "≠",
    r"\pm": "±",
    r"\mu": "μ",
    r"\to": "→",
    r"\|": "‖",
    r"\,": " ",
    r"\;": " ",
    r"\!": "",
    r"\{": "{",
    r"\}": "}",
    r"\\": "\n",
}
"""LaTeX that reads better as one sign; of other commands the name is left. No script has to be loaded to show it."""

_GROUP = r"\{((?:[^{}]|\{[^{}]*\})*)\}"


class Docstrings(Extension):
    """Turns every docstring into Markdown before it is parsed."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        """Called for every module, class, function and attribute."""
        if not obj.is_alias and obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)


def to_markdown(text: str) -> str:
    r"""Roles, formulas, tables and literal text of reStructuredText as Markdown.

    Example:
        >>> to_markdown(r"Where :math:`\alpha \le 1`.")
        'Where `α ≤ 1`.'
    """
    text = re.sub(r"^( *)\.\. math:: ?(.*(?:\n(?=\1 +\S).*)*)", _displayed, text, flags=re.MULTILINE)
    text = re.sub(
        r"^( *)=+(?: +=+)+\n(.*?\n)\1=+(?: +=+)+\n(.*?\n)\1=+(?: +=+)+$", _table, text, flags=re.MULTILINE | re.DOTALL
    )
    text = re.sub(r":math:`([^`]+)`", lambda found: f"`{formula(found[1])}`", text)
    # Methods, attributes and modules stand on the page of what they belong to, which the reader usually sees already.
    text = re.sub(r":(?:meth|attr|mod|exc):`~?\.?([^`]+)`", r"`\1`", text)
    text = re.sub(r":(?:class|func|data):`([^`]+)`", lambda found: _link(found[1]), text)
    return re.sub(r"(?<!`)``([^`]+)``(?!`)", r"`\1`", text)


def formula(latex: str) -> str:
    r"""LaTeX as plain text.

    Example:
        >>> formula(r"\frac{a}{b} \ge \sum_{S \subseteq T} I_S")
        'a / b ≥ Σ_{S ⊆ T} I_S'
    """
    text = re.sub(rf"\\(?:mathrm|mathit|mathbf|text|operatorname){_GROUP}", r"\1", latex)
    text = re.sub(rf"\\(?:hat|tilde|bar) *{_GROUP}", r"\1̂", text)
    text = re.sub(r"\\hat *(\\?\w)", "\\1\u0302", text)
    text = re.sub(r"\\bar *(\\?\w)", "\\1\u0304", text)
    text = re.sub(rf"\\[dt]?frac *{_GROUP} *{_GROUP}", _fraction, text)
    text = re.sub(r"\\[dt]?frac *(\w)(\w)", r"\1/\2 ", text)
    for command, sign in _SYMBOLS.items():
        text = re.sub(re.escape(command) + (r"(?![A-Za-z])" if command[-1].isalpha() else ""), sign, text)
    text = re.sub(r"\\([A-Za-z]+)", r"\1", text)
    return re.sub(r"([_^])\{(\w)\}", r"\1\2", text)


def keys_table() -> str:
    """The table of logged keys in the monitor's docstring, as Markdown."""
    tree = ast.parse((PACKAGE / "callback" / "monitor.py").read_text())
    monitor = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "InteractionMonitor")
    lines = to_markdown(ast.get_docstring(monitor)).splitlines()
    return "\n".join(line for line in lines if line.startswith("|"))


@cache
def public_names() -> dict[str, list[str]]:
    """What each module lists in ``__all__`` for users, without importing it."""
    names = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "__all__":
                inner = module.partition(".")[2]
                names[module] = [name for name in ast.literal_eval(node.value) if not is_internal(inner, name)]
    return {module: listed for module, listed in names.items() if listed}


@cache
def documented() -> dict[str, str]:
    """Every name that a docstring may use for something, and its full path, under which it is documented."""
    found: dict[str, str] = {}
    for module, names in public_names().items():
        if is_documented(module):
            for name in names:
                found.setdefault(name, f"{module}.{name}")
                found[f"{module}.{name}"] = f"{module}.{name}"
    return found


def summary(module: str, name: str) -> str:
    """The first sentence of what a module says about a function or class."""
    path = PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return to_markdown(ast.get_docstring(node) or "").splitlines()[0]
    return ""


def is_documented(module: str) -> bool:
    """Whether a module has a place in the API: not those that only hand on names, nor commands and the tab's server."""
    return module not in _ONLY_HAND_ON and not module.startswith(_NOT_FOR_USERS)


def _link(target: str) -> str:
    path = target.lstrip("~.")
    last = path.rpartition(".")[2]
    where = documented().get(path) or documented().get(last)
    name = last if target.startswith("~") else path
    return f"[`{name}`][{where}]" if where else f"`{name}`"


def _displayed(found: re.Match[str]) -> str:
    indent = found[1]
    lines = [line.strip() for line in formula(" ".join(found[2].split())).splitlines() if line.strip()]
    return "\n".join([f"{indent}```text", *(f"{indent}{line}" for line in lines), f"{indent}```"])


def _fraction(found: re.Match[str]) -> str:
    upper, lower = (part if re.fullmatch(r"\\?\w+", part) else f"({part})" for part in found.groups())
    return f"{upper} / {lower}"


def _table(found: re.Match[str]) -> str:
    indent, head, body = found[1], found[2], found[3]
    border = found[0].splitlines()[0]
    starts = [column.start() for column in re.finditer(r"=+", border)]
    rows = [_cells(line, starts) for line in (head + body).splitlines()]
    return "\n".join(f"{indent}| {' | '.join(row)} |" for row in [rows[0], ["---"] * len(starts), *rows[1:]])


def _cells(line: str, starts: list[int]) -> list[str]:
    return [line[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)]
