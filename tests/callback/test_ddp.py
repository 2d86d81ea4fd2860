"""Two processes measure the same as one, write once, and train as if nobody watched."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_interactions import Interactions

SCRIPT = Path(__file__).with_name("ddp_training.py")

WHATEVER = {"seconds", "phase", "phase_message"}
"""Texts, and what differs from one run to the next."""

MEASURED = {
    "positive",
    "negative",
    "normalized_positive",
    "normalized_negative",
    "cancellation",
    "mean_order",
    "high_order_share",
    "salient_count",
    "l1",
    "threshold",
    "noise_bound",
    "train_loss",
    "held_out_loss",
    "loss_gap",
    "n_samples",
    "n_dropped",
}
"""What the network and the samples decide. The fit to it may be ill-conditioned, and errors and gaps are rounding."""


def run_script(folder, *strategy):
    """Trainings in processes of their own, which know nothing of the test's."""
    left_out = {"LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
    environment = {key: value for key, value in os.environ.items() if key not in left_out}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(  # noqa: S603
        [sys.executable, str(SCRIPT), str(folder), *strategy],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the trainings have left their reports; one process of ours runs them all."""
    tmp_path = tmp_path_factory.mktemp("ddp")
    run_script(tmp_path)
    return tmp_path


def reports(folder, name, ranks=2):
    return [torch.load(folder / f"{name}-{rank}.pt", weights_only=True) for rank in range(ranks)]


def assert_measured_alike(rank, single):
    assert rank["explained"] == 5
    for key in MEASURED:
        expected = pytest.approx(single["history"][0][key], rel=1e-9, abs=1e-12, nan_ok=True)
        assert rank["history"][0][key] == expected, key


@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn"])
def test_processes_that_are_started_otherwise_measure_the_same(folder, tmp_path, strategy):
    run_script(tmp_path, strategy)
    (single,) = reports(folder, "single", ranks=1)
    for rank in reports(tmp_path, strategy):
        assert_measured_alike(rank, single)


def test_two_processes_measure_what_one_does(folder):
    (single,) = reports(folder, "single", ranks=1)
    for rank in reports(folder, "with"):
        assert_measured_alike(rank, single)
    found, expected = (
        Interactions.load(folder / name / "interactions" / "epoch=0000.npz") for name in ("with", "single")
    )
    for array in ("values", "and_", "or_", "l1", "noise_bound"):
        torch.testing.assert_close(getattr(found, array), getattr(expected, array), rtol=1e-9, atol=1e-9)
    assert found.provenance == expected.provenance


def test_more_processes_than_samples(folder):
    for rank in reports(folder, "one sample"):
        assert [record["n_samples"] for record in rank["history"]] == [1, 1]
        assert [record["failures"] for record in rank["history"]] == [0, 0]


def test_a_process_that_fails_makes_the_others_fail_and_not_wait(folder):
    for rank in reports(folder, "failing"):
        assert [record["failures"] for record in rank["history"]] == [0, 1]
        assert [record["n_samples"] for record in rank["history"]] == [5, 0]
        assert np.isnan(rank["history"][1]["l1"])


def test_an_error_of_one_process_is_raised_in_all_where_that_is_wanted(folder):
    first, second = reports(folder, "raising")
    assert first.startswith(("FileExistsError", "NotADirectoryError"))
    assert second.startswith("RankError")
    assert first.partition(":")[0] in second


def test_a_training_on_two_processes(folder):
    watched, plain = (reports(folder, name) for name in ("with", "without"))

    for rank, other in zip(watched, plain, strict=True):
        assert rank["weights"].keys() == other["weights"].keys()
        assert all(torch.equal(value, other["weights"][key]) for key, value in rank["weights"].items())
    assert torch.equal(*(rank["weights"]["head.2.weight"] for rank in watched))

    assert [record["epoch"] for record in watched[0]["history"]] == [0, 1, 2, 3]
    assert [record["failures"] for record in watched[0]["history"]] == [0, 0, 0, 0]

    # The batch norms differ between the ranks, what is known about the network does not.
    assert not torch.equal(*(rank["weights"]["body.1.running_mean"] for rank in watched))
    assert watched[0]["phase"] == watched[1]["phase"]
    for record, other in zip(watched[0]["history"], watched[1]["history"], strict=True):
        assert record["phase_message"] == other["phase_message"]
        for key in record.keys() - WHATEVER:
            assert np.array_equal(record[key], other[key], equal_nan=True), (record["epoch"], key)
    for rank in watched:
        assert rank["metrics"]["interactions/l1"] == pytest.approx(watched[0]["history"][3]["l1"], rel=1e-6)

    # What the samples look like, and at each measurement an .npz, a picture and the history, on rank 0 alone; after a
    # training epoch there is a fit, and so a second picture.
    assert [rank["writes"] for rank in watched] == [1 + 4 * 3 + 3, 0]
    names = {path.name for path in (folder / "with" / "interactions").iterdir()}
    files = {f"epoch={epoch:04d}{kind}" for epoch in range(4) for kind in (".npz", "_strength.png")}
    decompositions = {f"epoch={epoch:04d}_decomposition.png" for epoch in range(1, 4)}
    assert names == {"history.json", "samples.json"} | files | decompositions
