"""Results as tables: in Markdown for a page, by Rich for the terminal."""

from __future__ import annotations

from typing import Any

from machine import machine_in_words
from rich.console import Console
from rich.table import Table

__all__ = ["markdown_table", "print_table"]


def markdown_table(head: list[str], body: list[list[Any]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def print_table(rows: list[dict[str, Any]], columns: dict[str, str], machine: dict[str, Any]) -> None:
    """One line a result; a dash where there is none.

    Args:
        rows: the results.
        columns: the keys to show, and the form of each.
        machine: what they were measured on.
    """
    table = Table(title=machine_in_words(machine))
    for place, key in enumerate(columns):
        table.add_column(key.replace("_", " "), no_wrap=place == 0)
    for row in rows:
        table.add_row(*("–" if row[key] is None else form.format(row[key]) for key, form in columns.items()))
    Console(width=160).print(table)
