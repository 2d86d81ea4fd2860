"""Two processes measure the same as one, write once, and train as if nobody watched."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

SCRIPT = Path(__file__).with_name("ddp_training.py")


def test_a_training_on_two_processes(tmp_path):
    left_out = {"LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
    environment = {key: value for key, value in os.environ.items() if key not in left_out}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(  # noqa: S603
        [sys.executable, str(SCRIPT), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    watched, plain = (
        [torch.load(tmp_path / f"{name}-{rank}.pt", weights_only=True) for rank in (0, 1)]
        for name in ("with", "without")
    )
    single = torch.load(tmp_path / "single-0.pt", weights_only=True)

    for rank, other in zip(watched, plain, strict=True):
        assert rank["weights"].keys() == other["weights"].keys()
        assert all(torch.equal(value, other["weights"][key]) for key, value in rank["weights"].items())
    assert torch.equal(*(rank["weights"]["head.2.weight"] for rank in watched))

    assert [record["epoch"] for record in watched[0]["history"]] == [0, 1, 2, 3]
    assert [record["failures"] for record in watched[0]["history"]] == [0, 0, 0, 0]
    for key in single["history"][0].keys() - {"seconds", "phase", "phase_message"}:
        expected = pytest.approx(single["history"][0][key], rel=1e-9, nan_ok=True)
        assert watched[0]["history"][0][key] == expected, key

    # The batch norms differ between the ranks, what is known about the network does not.
    assert not torch.equal(*(rank["weights"]["body.1.running_mean"] for rank in watched))
    assert watched[0]["phase"] == watched[1]["phase"]
    for record, other in zip(watched[0]["history"], watched[1]["history"], strict=True):
        assert record["phase_message"] == other["phase_message"]
        for key in record.keys() - {"seconds", "phase", "phase_message"}:
            assert np.array_equal(record[key], other[key], equal_nan=True), (record["epoch"], key)
    for rank in watched:
        assert rank["metrics"]["interactions/l1"] == pytest.approx(watched[0]["history"][3]["l1"], rel=1e-6)

    # At each measurement an .npz and the history, on rank 0 alone.
    assert [rank["writes"] for rank in watched] == [8, 0]
    names = {path.name for path in (tmp_path / "with" / "interactions").iterdir()}
    assert names == {"history.json", *(f"epoch={epoch:04d}.npz" for epoch in range(4))}
