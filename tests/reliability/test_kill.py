"""A training that is killed and resumed ends with the measurements of one that was not, and with no broken file."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from PIL import Image

from lightning_interactions import Interactions
from lightning_interactions.history import History
from lightning_interactions.refit import refit

SCRIPT = Path(__file__).with_name("trainings_to_kill.py")
LONG, SHORT = 12, 4

pytestmark = pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="a process's time is read from /proc")


@pytest.fixture(scope="module")
def training():
    """Train in a process of its own: ``training(folder, epochs, **how_it_dies)`` returns how the process ended."""
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, str(SCRIPT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=SCRIPT.parents[2],
        env=os.environ | {"PYTHONPATH": str(SCRIPT.parents[2]), "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout.readline() == "ready\n"

    def run(folder, epochs, **how_it_dies):
        folder.mkdir(exist_ok=True)
        process.stdin.write(json.dumps({"folder": str(folder), "epochs": epochs} | how_it_dies) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())["ended"]

    yield run
    process.stdin.close()
    assert process.wait(60) == 0


@pytest.fixture(scope="module")
def uninterrupted(training, tmp_path_factory):
    """The folder of a training that nobody disturbed."""
    known = {}

    def of(epochs):
        if epochs not in known:
            known[epochs] = tmp_path_factory.mktemp("uninterrupted")
            assert training(known[epochs], epochs) == 0, (known[epochs] / "said.txt").read_text()
        return known[epochs]

    return of


def same(one, two):
    if isinstance(one, list):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two or (isinstance(one, float) and math.isnan(one) and math.isnan(two))


def assert_every_file_is_whole(folder):
    """What is there after a kill, at whatever moment: whole files, and at most one that has no name yet."""
    unfinished = []
    for path in (folder / "interactions").glob("*"):
        if path.name == "history.json":
            assert len(History.load(path)) > 0
        elif path.suffix == ".npz":
            assert (Interactions.load(path).gap >= 0).all()
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".png":
            Image.open(path).load()
        else:
            unfinished.append(path.name)
    assert len(unfinished) <= 1
    assert all(name.endswith(".tmp") for name in unfinished)


def assert_same_results(folder, expected):
    """As if nothing had happened: the same records, the same interactions, the same files."""
    records, others = (History.load(path / "interactions" / "history.json") for path in (folder, expected))
    assert records.epochs == others.epochs
    for record, other in zip(records, others, strict=True):
        assert record.keys() == other.keys()
        different = [key for key in record.keys() - {"seconds"} if not same(record[key], other[key])]
        assert different == [], record["epoch"]
    names = {path.name for path in (expected / "interactions").iterdir()}
    assert {path.name for path in (folder / "interactions").iterdir()} == names
    for path in (expected / "interactions").glob("*.npz"):
        one, two = Interactions.load(folder / "interactions" / path.name), Interactions.load(path)
        assert torch.equal(one.values, two.values)
        assert torch.equal(one.and_, two.and_)
        assert one.provenance == two.provenance


def measured_and_kept(folder):
    """The epochs that the newest checkpoint knows to be measured."""
    kept = sorted((folder / "checkpoints").glob("epoch=*.ckpt"), key=lambda path: int(path.stem.partition("=")[2]))
    if not kept:
        return []
    callbacks = torch.load(kept[-1], weights_only=True)["callbacks"]
    (state,) = [value for key, value in callbacks.items() if key.startswith("InteractionMonitor")]
    return [record["epoch"] for record in state["history"]]


def kill_and_resume(training, folder, expected, epochs, **how_it_dies):
    """Whether it was killed; some moments come after the end."""
    ended = training(folder, epochs, **how_it_dies)
    assert ended in {0, -signal.SIGKILL}, (folder / "said.txt").read_text()
    assert_every_file_is_whole(folder)
    before = measured_and_kept(folder)

    assert training(folder, epochs) == 0, (folder / "said.txt").read_text()
    after = History.load(folder / "interactions" / "history.json").epochs
    assert [epoch for epoch in before if epoch not in after] == []
    assert_same_results(folder, expected)
    return ended == -signal.SIGKILL


@pytest.mark.parametrize("how", [{"write": 4}, {"forward": 20}], ids=["in a write", "in a measurement"])
def test_killed_and_resumed(how, training, uninterrupted, tmp_path):
    assert kill_and_resume(training, tmp_path, uninterrupted(SHORT), SHORT, **how)


@pytest.mark.long
def test_killed_at_twenty_moments_and_resumed(training, uninterrupted, tmp_path, record_property):
    """Ten moments anywhere, five in measurements and five in writes, all drawn at random."""
    whole = json.loads((uninterrupted(LONG) / "done.json").read_text())
    draw = random.Random(0)  # noqa: S311  # no secret
    moments = [{"cpu": draw.uniform(0, whole["cpu"])} for _ in range(10)]
    moments += [{kind: draw.randint(1, whole[kind])} for kind in ("forward", "write") for _ in range(5)]
    killed = [
        kill_and_resume(training, tmp_path / str(number), uninterrupted(LONG), LONG, **moment)
        for number, moment in enumerate(moments)
    ]
    record_property("killed and resumed", f"{sum(killed)} of {len(moments)}")

    # A busy machine makes a training longer or shorter, never by a third.
    assert sum(killed) >= 17
    assert all(killed[10:])


@pytest.mark.long
def test_killed_again_and_again(training, uninterrupted, tmp_path, record_property):
    """One training that comes on by a measurement and dies in the next; half-written files do not pile up."""
    kills = 0
    while training(tmp_path, LONG, write=6) == -signal.SIGKILL:
        kills += 1
        assert_every_file_is_whole(tmp_path)
        assert kills < 30
    record_property("kills of one training", kills)

    assert kills >= 4
    assert_same_results(tmp_path, uninterrupted(LONG))


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_training_that_is_asked_to_stop_leaves_readable_files(name, training, tmp_path):
    training(tmp_path, SHORT, write=4, signal=int(getattr(signal, name)))
    assert_every_file_is_whole(tmp_path)

    assert list((tmp_path / "interactions").glob(".*.tmp")) == []
    assert History.load(tmp_path / "interactions" / "history.json").epochs[0] == 0
    assert not (tmp_path / "done.json").exists()


def test_files_damaged_between_kill_and_resume_are_named_and_cost_their_epoch_alone(training, uninterrupted, tmp_path):
    assert training(tmp_path, SHORT, forward=40) == -signal.SIGKILL
    folder = tmp_path / "interactions"
    (folder / "epoch=0000.npz").write_bytes((folder / "epoch=0000.npz").read_bytes()[:700])
    (folder / "history.json").write_text('{"schema": 1, "records": [{"epo')

    assert training(tmp_path, SHORT) == 0, (tmp_path / "said.txt").read_text()
    expected = History.load(uninterrupted(SHORT) / "interactions" / "history.json")
    assert History.load(folder / "history.json").epochs == expected.epochs
    with pytest.warns(UserWarning, match=r"epoch=0000\.npz") as told:
        refitted = refit(tmp_path)
    assert len(told) == 1
    assert refitted.column("l1") == expected.column("l1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refit(uninterrupted(SHORT))
