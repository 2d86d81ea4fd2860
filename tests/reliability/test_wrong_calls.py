"""Whatever is given wrongly is refused with a message that says what, what was given, and what is allowed."""

from pathlib import Path

import pytest

import lightning_interactions

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"


@pytest.fixture(scope="module")
def outcome(wrong_calls):
    """What a wrong call ends with; each is made once."""
    known = {}
    with wrong_calls.prepared() as what_happens:

        def of(case):
            if case not in known:
                known[case] = what_happens(case)
            return known[case]

        yield of


def test_a_wrong_call_is_refused_and_told_why(wrong_call, outcome, wrong_calls):
    error, message = outcome(wrong_call)

    assert error == wrong_call.error, message
    assert wrong_call.names in message
    assert wrong_call.got in message
    if wrong_call.speaks_itself:
        assert wrong_calls.SAYS_WHAT_IS_ALLOWED.search(message), message


def test_the_list_covers_what_is_public(wrong_calls):
    calls = " ".join(case.call for case in wrong_calls.WRONG)
    missing = {name for name in lightning_interactions.__all__ if name not in calls} - {
        "__version__",
        "Draw",
        "Variables",
    }  # which take nothing that could be checked

    assert missing == set()
    assert len({case.call for case in wrong_calls.WRONG}) == len(wrong_calls.WRONG) >= 60


def test_the_page_about_errors_shows_what_is_said(wrong_calls, outcome, docs_script):
    """Messages of argparse and jsonargparse change with their versions, and are only shown."""
    errors = docs_script("errors")
    rows = PAGE.read_text().splitlines()

    for case in wrong_calls.WRONG:
        row = errors.row(case, *outcome(case)) if case.speaks_itself else errors.row(case, case.error, "")
        assert any(line.startswith(row.removesuffix(" |")) for line in rows), f"HINT: run docs/errors.py\n{row}"
    assert len([line for line in rows if line.startswith("| `")]) == len(wrong_calls.WRONG)
