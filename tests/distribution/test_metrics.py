"""The metrics against the functions of all samples at once, also on two processes."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lightning_interactions.distribution.metrics import OrderStrength
from lightning_interactions.distribution.similarity import InteractionSimilarity, similarity
from lightning_interactions.distribution.strength import order_strength

SCRIPT = Path(__file__).with_name("metrics_on_two_processes.py")


@pytest.fixture
def cut(make_interactions):
    def rows_of(found, rows):
        return make_interactions(found.and_[rows], found.or_[rows], found.threshold)

    return rows_of


def assert_same(found, expected):
    for side, wanted in zip(found, expected, strict=True):
        assert side.dtype == torch.float64
        torch.testing.assert_close(side, wanted, rtol=1e-12, atol=0, equal_nan=True)


@pytest.mark.parametrize("threshold", [None, 0.0, 1.0])
def test_it_is_the_strength_of_all_samples(threshold, random_interactions, cut):
    found = random_interactions(7)
    metric = OrderStrength(4, threshold=threshold)
    for rows in (slice(0, 1), slice(1, 1), slice(1, 7)):
        metric.update(cut(found, rows))

    assert_same(metric.compute(), order_strength(found, threshold))


def test_a_call_returns_the_strength_of_the_batch_and_keeps_it(random_interactions, cut):
    found = random_interactions(6)
    metric = OrderStrength(4)
    for rows in (slice(0, 2), slice(2, 6)):
        assert_same(metric(cut(found, rows)), order_strength(cut(found, rows)))

    assert_same(metric.compute(), order_strength(found))


def test_it_can_be_reset_pickled_and_saved(random_interactions):
    found = random_interactions()
    metric = OrderStrength(4)
    metric.update(random_interactions(seed=1))
    metric.reset()
    metric.update(found)
    metric.persistent(mode=True)
    other = OrderStrength(4)
    other.load_state_dict(metric.state_dict())

    assert_same(metric.compute(), order_strength(found))
    assert_same(pickle.loads(pickle.dumps(metric)).compute(), order_strength(found))  # noqa: S301
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert_same(other.compute(), order_strength(found))


def test_without_samples_the_strength_is_nan(random_interactions):
    metric = OrderStrength(4)
    metric.update(random_interactions(0))

    assert all(side.isnan().all() for side in metric.compute())


def test_another_n_is_refused(random_interactions):
    with pytest.raises(ValueError, match="`interactions` must have 3 input variables like the rest, got 4"):
        OrderStrength(3).update(random_interactions(n=4))
    with pytest.raises(ValueError, match="`n_variables`"):
        OrderStrength(0)


def test_two_processes_agree_on_what_one_would_say(tmp_path, random_interactions, cut):
    sets = {"train": random_interactions(5, 3, seed=1), "test": random_interactions(4, 3, seed=2)}
    classes = {"train": torch.tensor([0, 1, 0, 1, 1]), "test": torch.tensor([1, 1, 0, 0])}
    for split, found in sets.items():
        for rank, rows in enumerate((slice(0, 2), slice(2, 9))):  # of unequal size
            cut(found, rows).save(tmp_path / f"{split}-{rank}.npz")
            torch.save(classes[split][rows], tmp_path / f"{split}-{rank}.pt")
    left_out = {"LOCAL_RANK", "NODE_RANK", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
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

    whole = OrderStrength(3, threshold=0.1)
    for found in sets.values():
        whole.update(found)
    by_class = [
        similarity(cut(sets["train"], classes["train"] == label), cut(sets["test"], classes["test"] == label))
        for label in range(2)
    ]
    for rank in range(2):
        *strength, similar = torch.load(tmp_path / f"result-{rank}.pt")
        assert_same(strength, whole.compute())
        torch.testing.assert_close(similar, torch.stack(by_class))


@pytest.mark.parametrize("metric", [OrderStrength(3), InteractionSimilarity(3)])
def test_the_metrics_stay_exact_when_a_module_is_cast(metric):
    module = torch.nn.ModuleDict({"metric": metric}).half()

    assert all(
        getattr(module["metric"], name).dtype in (torch.float64, torch.int64) for name in module["metric"]._defaults
    )
