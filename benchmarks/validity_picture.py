"""False alarms and delay of each rule for the phase, drawn against the length of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

FALSE_ALARMS = {"flat": ":", "restarts": "--", "noisy": "-"}
"""Families without growth, and how their lines are drawn."""
DELAYS = {"knee": "-", "double descent": "--"}
"""Families with growth."""
BOUNDS = {"false_alarms": 0.05, "median_delay": 0.1}
"""What the detector was asked to keep."""


def draw(rows: list[dict[str, Any]]) -> Figure:
    """One panel for false alarms, one for delays; a rule has one colour and a family one kind of line."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    panel(left, rows, "false_alarms", FALSE_ALARMS)
    panel(right, rows, "median_delay", DELAYS)
    left.set_ylabel("runs with a false alarm")
    right.set_ylabel("median delay, share of the run")
    return figure


def panel(ax: Axes, rows: list[dict[str, Any]], key: str, families: dict[str, str]) -> None:
    """One figure of every rule for some families; where there is none, as for a delay never reached, a gap."""
    known = [row for row in rows if row["family"] in families and row["length"] != "all" and row[key] is not None]
    rules = {rule: f"C{index}" for index, rule in enumerate(dict.fromkeys(row["rule"] for row in known))}
    # Earlier rules are drawn thicker, so that a line under another can be seen.
    for width, (rule, colour) in zip((4, 2.5, 1.5, 1), rules.items(), strict=False):
        for family, style in families.items():
            mine = [row for row in known if (row["rule"], row["family"]) == (rule, family)]
            lengths, values = [row["length"] for row in mine], [row[key] for row in mine]
            ax.plot(lengths, values, color=colour, linestyle=style, marker="o", markersize=3, linewidth=width)
    ax.axhline(BOUNDS[key], color="0.7", linewidth=0.8, zorder=0)
    ax.set_xscale("log")
    lengths = sorted({row["length"] for row in known})
    ax.set_xticks(lengths, [str(length) for length in lengths])
    ax.minorticks_off()
    ax.set_ylim(bottom=0)
    ax.set_xlabel("measurements of a run")
    lines = [Line2D([], [], color=colour, label=rule) for rule, colour in rules.items()]
    lines += [Line2D([], [], color="black", linestyle=style, label=family) for family, style in families.items()]
    ax.legend(handles=lines, frameon=False, fontsize="small")
