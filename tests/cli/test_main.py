"""The entry point: it lists its commands, hands over to one, and tells failures in a line."""

import importlib
import io
import sys
from types import SimpleNamespace

import pytest

from lightning_interactions.cli import main as module
from lightning_interactions.cli.main import COMMANDS, main
from lightning_interactions.version import __version__


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])

    assert stop.value.code == 0
    out = capsys.readouterr().out
    for name, summary in COMMANDS.items():
        assert name in out
        assert summary in out


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])

    assert stop.value.code == 0
    assert capsys.readouterr().out.strip() == f"lightning-interactions {__version__}"


@pytest.mark.parametrize("words", [[], ["dance"], ["report"], ["report", "a", "--no-such-option"]])
def test_arguments_that_make_no_sense_end_with_status_2(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words)

    assert stop.value.code == 2
    assert "usage: lightning-interactions" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_keeps_the_contract_and_explains_itself(name, capsys):
    command = importlib.import_module(f"lightning_interactions.cli.{name}")
    assert callable(command.add_arguments)
    assert callable(command.run)

    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    assert f"lightning-interactions {name}" in capsys.readouterr().out


@pytest.fixture
def command(monkeypatch):
    """A command of the test's own, beside the others."""

    def add(run):
        def add_arguments(parser):
            parser.add_argument("--number", type=int)

        monkeypatch.setitem(COMMANDS, "mine", "what I do")
        imported = []

        def import_module(name):
            imported.append(name)
            return SimpleNamespace(add_arguments=add_arguments, run=run)

        monkeypatch.setattr(module, "import_module", import_module)
        return imported

    return add


def test_only_the_chosen_command_is_imported_and_run(command):
    imported = command(lambda args: args.number)

    assert main(["mine", "--number", "7"]) == 7
    assert imported == ["lightning_interactions.cli.mine"]


@pytest.mark.parametrize("error", [ValueError, FileNotFoundError, ImportError])
def test_a_failure_is_told_in_a_line(error, command, capsys):
    def run(_):
        msg = "there is none. HINT: make one."
        raise error(msg)

    command(run)
    assert main(["mine"]) == 1
    assert capsys.readouterr().err == "lightning-interactions mine: there is none. HINT: make one.\n"


def test_a_mistake_of_ours_is_not_hidden(command):
    def run(_):
        raise AttributeError

    command(run)
    with pytest.raises(AttributeError):
        main(["mine"])


def test_a_terminal_without_a_character_shows_a_question_mark(command, monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", terminal)
    command(lambda _: sys.stdout.write("1 → 2\n"))

    assert main(["mine"]) == len("1 → 2\n")
    terminal.flush()
    assert terminal.buffer.getvalue() == b"1 ? 2\n"


def test_the_words_of_the_process_are_the_default(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["lightning-interactions", "report", "no-such-run"])

    assert main() == 1
    assert "no-such-run" in capsys.readouterr().err
