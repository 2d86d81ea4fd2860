"""Run the tests behind every claim about reliability and write docs/reliability.md: ``make reliability``.

The claims stand in reliability_claims.py. What the tests found is kept in benchmarks/results/reliability.json, so that
the page can be written again, and single claims can be tested again, without running everything.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections import Counter
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET  # written by the test run just before

__all__ = ["main", "page", "rows"]

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))  # they are not installed

from machine import processor  # noqa: E402
from reliability_claims import CLAIMS  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "reliability.json"

HEAD = """\
# Reliability

A monitor is attached to trainings that cost days. This page lists what is shown by a test *today*; what is not on it is
not promised. `make test` runs them all, but for those marked *long*; `make reliability` runs those too and writes this
page.
"""

NOT_SHOWN = """\
## Not shown yet

- Sharded strategies (FSDP, DeepSpeed): refused unless `allow_untested=True`. A network sharded by `fully_shard` was
  tried so on one CPU, and its training failed in the first step after the measurement.
- GPUs: the tests run on a CPU.
- The oldest supported versions with all of this: `.ci/oldest` runs the tests of the package's core with them
  ([when it last did](versions.md#supported-versions)).
"""


def rows(results: dict[str, Any] | None = None) -> dict[str, list[str]]:
    """The table of each section, row by row.

    Args:
        results: what :func:`main` keeps; without it the rows end before the outcome.
    """
    tables: dict[str, list[str]] = {}
    for section, claims in CLAIMS.items():
        tables[section] = []
        for shown, tests in claims:
            row = f"| {shown} | {'<br>'.join(f'`{test}`' for test in tests)} |"
            if results is not None:
                row += " " + "<br>".join(_outcome(test, results["tests"].get(test)) for test in tests) + " |"
            tables[section].append(row)
    return tables


def page(results: dict[str, Any]) -> str:
    """The whole page."""
    parts = [HEAD]
    for section, table in rows(results).items():
        parts += [f"## {section}\n", "| shown | by | outcome |", "| --- | --- | --- |", *table, ""]
    parts += ["## Measured\n", "| what | value | in |", "| --- | --- | --- |"]
    for test in (test for claims in CLAIMS.values() for _, tests in claims for test in tests):
        measured = results["tests"].get(test, {}).get("measured", {})
        parts += [f"| {what} | {value} | `{test}` |" for what, value in measured.items()]
    parts += ["", f"Last run of all: {results['run']}."]
    if "part" in results:
        parts += ["", f"Some were run once more, or are newer: {results['part']}."]
    parts += ["", NOT_SHOWN]
    return "\n".join(parts)


def _outcome(test: str, found: dict[str, Any] | None) -> str:
    ends = "not run" if found is None else ", ".join(f"{count} {end}" for end, count in found["outcomes"].items())
    return f"{ends} (*long*)" if _is_long(test) else ends


def _is_long(test: str) -> bool:
    file, _, name = test.partition("::")
    source = (ROOT / "tests" / file).read_text()
    return re.search(rf"@pytest\.mark\.long\n(@.*\n)*def {name}\(", source) is not None


def _run(tests: list[str], *, long: bool) -> dict[str, Any]:
    """How each test ended, counted over its parameters, and what it measured."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        # How the tests ended stands in the report.
        subprocess.run(  # noqa: S603
            [
                sys.executable,
                *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "junit_family=xunit1"),
                f"--junit-xml={report}",
                *(["--long"] if long else []),
                *(f"tests/{test}" for test in tests),
            ],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            check=False,
        )
        cases = list(ET.parse(report).iter("testcase"))  # noqa: S314  # our own
    found: dict[str, Any] = {test: {"outcomes": {}, "measured": {}} for test in tests}
    for case in cases:
        name = f"{case.get('file', '').removeprefix('tests/')}::{case.get('name', '').partition('[')[0]}"
        if name in found:
            found[name]["outcomes"] = dict(Counter(found[name]["outcomes"]) + Counter([_end(case)]))
            found[name]["measured"] |= {
                entry.get("name"): entry.get("value") for entry in case.iter("property") if entry.get("name")
            }
    return {test: result for test, result in found.items() if result["outcomes"]}


def _end(case: ET.Element) -> str:
    for tag, end in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
        if case.find(tag) is not None:
            return end
    return "passed"


def _circumstances() -> str:
    """When and with what the tests ran; no name of a machine."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "lightning", "numpy", "tensorboard"))
    today = datetime.now(tz=timezone.utc).date().isoformat()
    return (
        f"{today}, lightning-interactions {version('lightning-interactions')}, Python {platform.python_version()},"
        f" {versions}; {platform.system()}, {os.cpu_count()} cores ({processor()}), one thread"
    )


def main() -> None:
    """Run tests, keep what they found, write the page."""
    parser = argparse.ArgumentParser(description="Test the claims about reliability and write their page.")
    parser.add_argument("--long", action="store_true", help="also the tests that take minutes")
    parser.add_argument("--only", metavar="TEXT", help="only the tests whose name contains this")
    parser.add_argument("--page", action="store_true", help="run nothing, only write the page")
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"tests": {}, "run": "never"}
    tests = [test for claims in CLAIMS.values() for _, named in claims for test in named]
    tests = [test for test in dict.fromkeys(tests) if (options.only or "") in test]
    if not options.page:
        results["tests"] |= _run(tests, long=options.long)
        if options.only:
            results["part"] = _circumstances()
        else:
            results = {"tests": results["tests"], "run": _circumstances()}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    Path(__file__).with_suffix(".md").write_text(page(results))


if __name__ == "__main__":
    main()
