"""From runs to one self-contained HTML page: the Interactions tab's own module, fed from data in the page."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
from datetime import datetime, timezone
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

from lightning_interactions.files import write_whole
from lightning_interactions.plots import certificates
from lightning_interactions.tensorboard_plugin.documents import rounded, tag_prefix
from lightning_interactions.version import __version__

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from lightning_interactions.interactions import Interactions
    from lightning_interactions.report.run import Run

__all__ = ["render", "write_report"]

# The page computes it from the other keys.
_NOT_SHOWN = ("residual_positive", "residual_negative")
_LONG_LISTS = ("draws", "samples")


def write_report(
    runs: Sequence[Run], path: str | os.PathLike[str], *, beside: Run | None = None, title: str | None = None
) -> Path:
    """Write a page about runs that opens in any browser and needs no network.

    Args:
        runs: as :func:`~lightning_interactions.report.read_runs` gives them; the first is shown.
        path: of the page; missing folders are created.
        beside: one of the runs, to be shown beside the first.
        title: of the page; made from the runs' names when ``None``.

    Returns:
        the page's path.

    Raises:
        ValueError: if there is no run.

    Example:
        >>> import tempfile
        >>> from lightning_interactions.history import History
        >>> from lightning_interactions.report import read_runs
        >>> folder = Path(tempfile.mkdtemp())
        >>> record = {"epoch": 5, "n_variables": 2, "positive": [2.0, 1.0], "negative": [1.0, 0.5]}
        >>> History([record]).save(folder / "interactions" / "history.json")
        >>> write_report(read_runs(folder), folder / "report.html").name
        'report.html'
    """
    with write_whole(path) as file:
        file.write(render(runs, beside=beside, title=title).encode())
    return Path(path)


def render(runs: Sequence[Run], *, beside: Run | None = None, title: str | None = None) -> str:
    """The page as a text.

    Everything that comes from a run is escaped, and the page's own rules let no script run but this package's, which
    they know by its hash.

    Args:
        runs: to choose from; the first is shown.
        beside: one of them, to be shown beside the first.
        title: of the page; made from the runs' names when ``None``.

    Raises:
        ValueError: if there is no run.
    """
    if not runs:
        msg = "`runs` must hold at least one run, got none."
        raise ValueError(msg)
    names = _names(runs)
    tab = files("lightning_interactions.tensorboard_plugin").joinpath("static")
    own = files("lightning_interactions.report")
    # One module, so that the page works from a file, where a browser imports nothing.
    script = tab.joinpath("index.js").read_text("utf-8") + own.joinpath("report.js").read_text("utf-8")
    data = {
        "runs": [_listed(run, name, place) for place, (run, name) in enumerate(zip(runs, names, strict=True))],
        "contents": [_content(run) for run in runs],
        "beside": None if beside is None else runs.index(beside),
    }
    return Template(own.joinpath("report.html").read_text("utf-8")).substitute(
        title=escape(title or f"Interactions of {' and '.join(dict.fromkeys(names))}"),
        style=tab.joinpath("style.css").read_text("utf-8") + own.joinpath("report.css").read_text("utf-8"),
        data=_json(data),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        standing="\n".join(_standing(run, name) for run, name in zip(runs, names, strict=True)),
        about="\n".join(_about(run, name) for run, name in zip(runs, names, strict=True)),
        version=escape(__version__),
        date=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
    )


def _names(runs: Sequence[Run]) -> list[str]:
    """The runs' names, with a number where several monitors of several runs would bear the same."""
    names: list[str] = []
    taken: set[tuple[str, str]] = set()
    for run in runs:
        name, number = run.name, 1
        while (name, run.monitor) in taken:
            number += 1
            name = f"{run.name} ({number})"
        taken.add((name, run.monitor))
        names.append(name)
    return names


# -- data for the tab's module -------------------------------------------------------------------------------------


def _listed(run: Run, name: str, place: int) -> dict[str, Any]:
    """A run as the tab's ``/runs`` lists it. The tab starts with the one that changed last: here the first."""
    prefix = tag_prefix(run.monitor)
    return {"run": name, "prefix": prefix, "epochs": len(run.history), "changed": -place, "version": "report"}


def _content(run: Run) -> dict[str, Any]:
    """A run as the tab's ``/data`` answers, and for each epoch what ``/effects`` does."""
    records = [{key: value for key, value in record.items() if key not in _NOT_SHOWN} for record in run.history]
    return {
        "data": {"records": records, "samples": run.samples, "unreadable": 0},
        "effects": {str(epoch): {"strongest": strongest} for epoch, strongest in run.strongest.items()},
    }


def _json(value: Any) -> str:
    """JSON that can stand inside a script element: nothing in it can end the element or begin a comment."""
    content = json.dumps(rounded(value), allow_nan=False, separators=(",", ":"))
    return content.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


# -- what the tab does not show ------------------------------------------------------------------------------------


def _standing(run: Run, name: str) -> str:
    """Where a run stands, in one sentence."""
    last = list(run.history)[-1]
    who = f"{name}, {run.monitor}" if run.monitor else name
    phase = str(last.get("phase_message") or f"{last.get('phase', 'unknown')} phase")
    order = last.get("mean_order", math.nan)
    parts = [f"after {last['epoch']} epochs", phase]
    if math.isfinite(order):
        parts.append(f"interactions of {order:.1f} of {last['n_variables']} variables on average")
    share, low, high = (last.get(f"spindle_share{end}", math.nan) for end in ("", "_low", "_high"))
    if math.isfinite(share):
        told = f"spindle share {share:.2f} ({low:.2f} … {high:.2f})"
        parts.append(told if last.get("identified", 1) else f"spindle share not identified ({low:.2f} … {high:.2f})")
    return f"<p><b>{escape(who)}</b>: {escape('; '.join(parts))}.</p>"


def _about(run: Run, name: str) -> str:
    """How exact the last measurement is, how it was made, and what went wrong."""
    who = escape(f"{name}, {run.monitor}" if run.monitor else name)
    parts = [f"<h2>{who}</h2>"]
    if run.notes:
        parts.append(f'<ul class="notes">{"".join(f"<li>{escape(note)}</li>" for note in run.notes)}</ul>')
    if run.last is not None:
        parts.append(f"<div><h3>How exact the last measurement is</h3>{_certificates(run.last)}</div>")
    rows = "".join(
        f'<tr><th scope="row">{escape(key)}</th><td>{escape(value)}</td></tr>' for key, value in _provenance(run)
    )
    parts.append(f"<div><h3>How it was measured</h3><table>{rows}</table></div>")
    return f'<section class="card about">{"".join(parts)}</section>'


def _certificates(interactions: Interactions) -> str:
    """The figure of the certificates as SVG; its texts stay texts, so that the page can colour them."""
    drawn = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "report", "font.family": "sans-serif"}):
        figure, _ = certificates(interactions)
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
    figure.clear()
    picture = drawn.getvalue()
    return (
        f'<figure class="certificates">{picture[picture.index("<svg") :]}<figcaption>For each sample: the relative'
        " distance of the explanation to the proven optimum, its largest error on any masked version beside the bound"
        " that was allowed, and the sum of its absolute effects.</figcaption></figure>"
    )


def _provenance(run: Run) -> list[tuple[str, str]]:
    """What is known about how the last measurement was made, for people."""
    rows = [("measurements", f"{len(run.history)}, epochs {run.history.epochs[0]} … {run.history.epochs[-1]}")]
    if run.last is None:
        return rows
    rows += [("samples", str(len(run.last))), ("variables of a sample", str(run.last.n_variables))]
    rows.append(("threshold of salient effects", f"{run.last.threshold:.3g}"))
    for key, value in run.last.provenance.items():
        if key in _LONG_LISTS or value in ([], {}):
            continue
        parts = {f"{key}: {part}": entry for part, entry in value.items()} if isinstance(value, dict) else {key: value}
        rows += [(name, entry if isinstance(entry, str) else json.dumps(entry)) for name, entry in parts.items()]
    return rows
