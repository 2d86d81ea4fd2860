"""Whoever stops a command stops what it runs, and learns how that ended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.process import run_process

ROOT = Path(__file__).parents[2]

STOPS_IN_ITS_OWN_TIME = """
import signal, sys, time
from pathlib import Path

def stop(number, frame):
    time.sleep(0.2)
    Path(sys.argv[1], "stopped").write_text(signal.Signals(number).name)
    sys.exit(0)

signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
Path(sys.argv[1], "started").touch()
time.sleep(600)
"""
# What a shell starts in the background ignores SIGINT, and so would all that it starts.
RUNS_IT = """
import signal, sys
from experiments.process import run_process

signal.signal(signal.SIGINT, signal.default_int_handler)
run_process([sys.executable, "-c", *sys.argv[1:]])
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_request_to_stop_goes_on_to_the_process(name, tmp_path):
    number = getattr(signal, name)
    command = [sys.executable, "-c", RUNS_IT, STOPS_IN_ITS_OWN_TIME, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as parent:  # noqa: S603
        for _ in range(6000):
            if (tmp_path / "started").exists():
                break
            time.sleep(0.01)
        os.kill(parent.pid, number)
        code = parent.wait(60)

    # It waited for the other one, and ended by the signal itself.
    assert (tmp_path / "stopped").read_text() == name
    assert code == -number


def test_the_exit_code_and_the_output_are_those_of_the_process(tmp_path):
    script = "import sys; print('said'); print('wrong', file=sys.stderr); sys.exit(7)"
    with (tmp_path / "log").open("w") as log:
        assert run_process([sys.executable, "-c", script], log) == 7

    assert sorted((tmp_path / "log").read_text().split()) == ["said", "wrong"]


def test_signals_are_handled_as_before_afterwards():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    run_process([sys.executable, "-c", ""])

    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
