"""A measurement by ``solver="admm"`` starts from the one before it and is as right as one that starts from nothing."""

import sys
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import lightning.pytorch as pl
import pytest
import torch

from lightning_interactions import FeatureMapPatches, Interactions, sparsify

sparsify_module = sys.modules["lightning_interactions.sparsify"]
PATCHES = FeatureMapPatches("features.4", grid=4, border=0, n_variables=8)


class Solved(NamedTuple):
    """A call of the solver."""

    values: torch.Tensor
    start: Interactions | None
    solution: Any
    cold: Any
    """What it gives for the same values from nothing."""


@pytest.fixture
def solved(monkeypatch):
    """Every call of the solver, in order; a rehearsal solves nothing."""
    calls, solve = [], sparsify_module.solve

    def spy(values, noise_bound, solver, *, warm_start=None, **options):
        cold = solve(values, noise_bound, solver, **options)
        if solver != "admm":
            return cold
        start = {} if warm_start is None else {"warm_start": warm_start}
        solution = solve(values, noise_bound, solver, **options, **start)
        calls.append(Solved(values, warm_start, solution, cold))
        return solution

    monkeypatch.setattr(sparsify_module, "solve", spy)
    return calls


@pytest.fixture
def slow(conv_module_class, make_module):
    """A module that hardly changes: small steps, batch norms that learn nothing, and no dropout to resume with."""

    class Slow(conv_module_class):
        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), self.lr)

    def make(lr=1e-3, **options):
        module = make_module(Slow, **options)
        module.lr = lr
        module.features[1].momentum = 0.0
        module.features[5].p = module.head[2].p = 0.0
        return module

    return make


@pytest.fixture
def make_admm(make_monitor):
    """A monitor that measures by the solver that can start somewhere."""
    return lambda **options: make_monitor(variables=PATCHES, solver="admm", on_error="raise", **options)


def iterations(solution):
    return solution.iterations.sum().item()


def assert_certified_alike(one, two):
    """Neither has a smaller sum of effects than what the other proves to be the least."""
    for found, other in ((one, two), (two, one)):
        assert (found.l1 >= (1 - other.gap) * other.l1 * (1 - 1e-9)).all()


@pytest.mark.usefixtures("quick")
def test_an_unchanged_network_needs_no_further_iteration(fit, make_admm, slow, solved):
    monitor = make_admm()
    fit(monitor, module=slow(lr=0.0))
    first, *later = solved
    assert len(later) == 2
    assert first.start is None
    assert (first.solution.gap <= 0.01).all()
    assert (first.solution.iterations > 0).all()
    for call in later:
        assert torch.equal(call.values, first.values)
        assert call.solution.iterations.tolist() == [0, 0, 0, 0]
        assert torch.equal(call.cold.iterations, first.solution.iterations)
        assert (call.solution.gap <= first.solution.gap + 1e-12).all()
    # The iterations begin with the effects rounded to float32, which are taken where that happens to be less.
    before, *after = monitor.history.column("l1")
    for l1 in after:
        assert before * (1 - torch.finfo(torch.float32).eps) <= l1 <= before * (1 + 1e-12)


@pytest.mark.usefixtures("quick")
def test_a_network_that_learns_needs_fewer_than_from_nothing(fit, make_admm, slow, solved):
    fit(make_admm(), module=slow(), max_epochs=4)
    assert len(solved) == 5
    for before, call in pairwise(solved):
        assert torch.equal(call.start.duals, before.solution.duals)
        assert not torch.equal(call.values, before.values)
        assert iterations(call.solution) < iterations(call.cold)
        assert_certified_alike(call.solution, call.cold)


@pytest.mark.usefixtures("quick")
def test_a_sample_that_is_left_out_once_shifts_no_other(fit, make_admm, slow, solved, draw):
    def one_missing(logits, targets):
        scores = logits.gather(1, targets[:, None])[:, 0]
        return scores.masked_fill((targets == 1) & (len(monitor.history) == 1), torch.nan)

    images, _ = draw(3, 2)
    monitor = make_admm(samples=(images, torch.arange(3)), output=one_missing)
    with pytest.warns(UserWarning, match="NaN or infinite on masked versions of 1 of 3 samples"):
        fit(monitor, module=slow(), max_epochs=3)

    assert monitor.history.column("n_dropped") == [0, 1, 0, 0]
    first, without, again, last = solved
    assert torch.equal(without.start.duals, first.solution.duals[[0, 2]])
    assert torch.equal(without.start.and_, first.solution.and_[[0, 2]])
    assert iterations(without.solution) < iterations(without.cold)
    assert again.start is None  # of the sample that is back nothing is known
    assert torch.equal(last.start.duals, again.solution.duals)
    for call in solved:
        assert_certified_alike(call.solution, call.cold)


@pytest.mark.usefixtures("quick")
def test_a_resumed_training_starts_from_nothing_and_is_as_right(fit, make_admm, slow, make_loaders, solved, tmp_path):
    def go_on(**options):
        loaders = make_loaders(shuffle=False)
        return fit(make_admm(), module=slow(), loaders=loaders, **options)

    go_on(max_epochs=4, default_root_dir=str(tmp_path / "whole"))
    whole = solved[3:]
    go_on(max_epochs=2)[0].save_checkpoint(tmp_path / "two.ckpt")
    solved.clear()
    go_on(max_epochs=4, ckpt_path=tmp_path / "two.ckpt")

    assert [call.start is None for call in solved] == [True, False]
    assert [call.start is None for call in whole] == [False, False]
    for call, expected in zip(solved, whole, strict=True):
        assert torch.equal(call.values, expected.values)
        assert_certified_alike(call.solution, expected.solution)


FEWER, UNKNOWN = (
    sparsify(torch.rand(4, 2**n, generator=torch.Generator().manual_seed(n)), solver="admm") for n in (5, 8)
)
OTHERS = {
    "of fewer variables": lambda _: FEWER,
    "of unknown samples": lambda _: UNKNOWN,
    "of fewer samples": lambda found: found.rows([0, 1]),
    "of other patches": lambda found: replace(
        found, provenance=found.provenance | {"draws": found.provenance["draws"][::-1]}
    ),
    "as from a file": lambda found: replace(found, duals=None),
    "none": lambda _: None,
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_interactions_that_do_not_fit_are_no_start_and_break_no_measurement(other, fit, make_admm, slow, solved):
    monitor = make_admm()

    class Exchange(pl.Callback):
        def on_train_epoch_end(self, *_):
            monitor.interactions = other(monitor.interactions)

    fit(Exchange(), monitor, module=slow())
    assert [call.start for call in solved] == [None] * 3
    assert all(torch.equal(call.solution.l1, call.cold.l1) for call in solved)
    assert monitor.history.epochs == [0, 1, 2]
    assert monitor.failures == 0
