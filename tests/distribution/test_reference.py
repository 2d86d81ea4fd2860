"""Which network the decay is made from, and what is fitted anew when that changes."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_interactions import disentangle, lattice, order_strength, sparsify
from lightning_interactions.distribution.reference import (
    FIT_LISTS,
    FIT_NUMBERS,
    REFITS_PER_EPOCH,
    ReferenceFits,
    unfitted,
)
from lightning_interactions.distribution.strength import sample_order_strength

N = 4
QUICK = {"bootstraps": 5}


def interactions_of(seed, samples=3):
    generator = torch.Generator().manual_seed(seed)
    order = lattice.subset_order(N).double()
    and_ = torch.randn(samples, 2**N, dtype=torch.float64, generator=generator) * torch.exp(-order) * (order > 0)
    return sparsify(lattice.values_from_and(and_), solver="none", threshold=1e-6)


MEASURED = {epoch: interactions_of(epoch) for epoch in range(0, 60, 5)}


def run(losses, reference="onset", onset=None, **options):
    """All that the fits say when the epochs are added one after the other."""
    fits, records = ReferenceFits(reference, **QUICK | options), {}
    for epoch, loss in losses.items():
        fits.add(epoch, MEASURED[epoch], loss)
        records |= fits.update(onset if onset is not None and epoch >= onset else None)
    return fits, records


def reference_epochs(records):
    return {record["reference_epoch"] for record in records.values()}


def test_before_an_onset_the_smallest_held_out_loss_so_far_is_the_reference():
    fits = ReferenceFits(**QUICK)
    fits.add(0, MEASURED[0], 2.3)
    assert fits.update() == {}  # an untrained network has nothing that generalises
    fits.add(5, MEASURED[5], 0.9)
    assert reference_epochs(fits.update()) == {5}
    fits.add(10, MEASURED[10], 0.5)
    changed = fits.update()
    assert sorted(changed) == [0, 5, 10]
    assert reference_epochs(changed) == {10}
    fits.add(15, MEASURED[15], 0.7)
    assert sorted(fits.update()) == [15]


def test_a_long_normal_phase_costs_a_bounded_number_of_fits_and_ends_with_one_reference(monkeypatch):
    made = []

    def fit(_, epoch, reference, *__):
        made.append(epoch)
        return {"reference_epoch": reference}

    monkeypatch.setattr(ReferenceFits, "_fit", fit)
    fits, records = ReferenceFits(), {}
    for epoch in range(1, 61):
        fits.add(epoch, MEASURED[5], 1 / epoch)
        records |= fits.update()
        assert records[epoch] == {"reference_epoch": epoch}
        assert len(made) <= REFITS_PER_EPOCH * epoch
    assert len(reference_epochs(records)) > 1
    records |= fits.update(finished=True)
    assert reference_epochs(records) == {60}

    records |= fits.update(onset_epoch=41)
    assert reference_epochs(records) == {40}
    assert fits.update(onset_epoch=41, finished=True) == {}


@pytest.mark.parametrize(("kept", "kept_by_reference"), [([0, 1, 3, 4], range(5)), (range(5), [0, 2, 3, 4])])
def test_a_sample_that_one_of_the_two_has_dropped_is_left_out_of_both(kept, kept_by_reference):
    reference, later = (
        interactions_of(seed, samples=5).rows(list(rows)) for seed, rows in ((5, kept_by_reference), (10, kept))
    )
    fits = ReferenceFits(**QUICK)
    fits.add(5, reference, 0.5)
    fits.add(10, later, 0.9)
    record = fits.update(10)[10]

    both = sorted({*kept} & {*kept_by_reference})
    expected = disentangle(
        *sample_order_strength(interactions_of(10, samples=5).rows(both)),
        interactions_of(5, samples=5).rows(both),
        bootstraps=5,
    )
    assert record["spindle_share"] == expected.spindle_share
    assert (record["spindle_share_low"], record["spindle_share_high"]) == expected.intervals["spindle_share"]


def test_an_onset_freezes_the_reference_before_it():
    fits, records = run({0: 2.3, 5: 0.9, 10: 0.5, 15: 0.4, 20: 0.3}, onset=15)
    assert reference_epochs(records) == {10}
    fits.add(25, MEASURED[25], 0.1)
    changed = fits.update(15)
    assert sorted(changed) == [25]
    assert reference_epochs(changed) == {10}


def test_an_onset_that_is_taken_back_frees_the_reference():
    fits, _ = run({5: 0.9, 10: 0.5, 15: 0.4}, onset=15)
    assert reference_epochs(fits.update(math.nan)) == {15}


def test_an_onset_before_all_trained_epochs_takes_the_first():
    _, records = run({0: 2.3, 5: 0.9, 10: 0.5}, onset=5)
    assert reference_epochs(records) == {5}


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.floats(0.1, 3.0) | st.just(math.nan), min_size=2, max_size=12),
    st.none() | st.sampled_from(range(5, 60, 5)),
)
def test_the_reference_is_the_best_epoch_before_the_onset(losses, onset):
    by_epoch = dict(zip(MEASURED, losses, strict=False))
    fits = ReferenceFits(**QUICK)
    fits._fit = lambda _, reference_epoch, *__: {"reference_epoch": reference_epoch}
    for epoch, loss in by_epoch.items():
        fits.add(epoch, MEASURED[epoch], loss)
    records = fits.update(onset)

    known = {epoch: loss for epoch, loss in by_epoch.items() if epoch > 0 and not math.isnan(loss)}
    allowed = {epoch: loss for epoch, loss in known.items() if onset is None or epoch < onset}
    if not known:
        assert records == {}
    elif allowed:
        assert reference_epochs(records) == {min(allowed, key=lambda epoch: (allowed[epoch], epoch))}
    else:
        assert reference_epochs(records) == {min(known)}


def test_the_keys_are_those_of_the_fit():
    _, records = run({5: 0.5, 10: 0.9})
    expected = disentangle(*sample_order_strength(MEASURED[10]), MEASURED[5], bootstraps=5)
    record = records[10]
    assert record.keys() == {*FIT_NUMBERS, *FIT_LISTS} == unfitted(N).keys()
    for key in ("alpha", "beta", "gamma", "delta", "r_squared", "relative_l1", "spindle_share"):
        assert record[key] == getattr(expected, key)
    low, high = expected.intervals["spindle_share"]
    assert (record["spindle_share_low"], record["spindle_share_high"]) == (low, high)
    assert record["identified"] == expected.identified
    total = torch.tensor([record["decay_positive"], record["decay_negative"]]) + torch.tensor(record["spindle"])
    total += torch.tensor([record["residual_positive"], record["residual_negative"]])
    torch.testing.assert_close(total, torch.stack(order_strength(MEASURED[10])), check_dtype=False)


def test_final_waits_for_the_end_and_takes_the_last_epoch():
    fits, records = run({5: 0.5, 10: 0.4, 15: 0.9}, "final")
    assert records == {}
    records = fits.update(finished=True)
    assert sorted(records) == [5, 10, 15]
    assert reference_epochs(records) == {15}
    assert records[15]["spindle_share"] == pytest.approx(0.0, abs=1e-3)


def test_current_is_every_epoch_itself():
    _, records = run({5: 0.5, 10: 0.4}, "current", delta_range=(0.02, 1.0))
    assert records[5]["reference_epoch"] == 5
    assert records[10]["reference_epoch"] == 10
    assert records[10]["delta"] >= 0.02


def test_interactions_of_another_network():
    _, records = run({0: 2.0, 5: 0.5}, MEASURED[30])
    assert all(math.isnan(record["reference_epoch"]) for record in records.values())
    expected = disentangle(*sample_order_strength(MEASURED[5]), MEASURED[30], bootstraps=5)
    assert records[5]["spindle_share"] == expected.spindle_share


def test_a_network_without_salient_effects_has_no_fit():
    nothing = sparsify(torch.zeros(3, 2**N), solver="none", threshold=0.1)
    fits = ReferenceFits(**QUICK)
    fits.add(0, nothing, 2.3)
    fits.add(5, MEASURED[5], 0.5)
    records = fits.update()
    assert math.isnan(records[0]["spindle_share"])
    assert all(map(math.isnan, records[0]["spindle"]))
    assert math.isfinite(records[5]["spindle_share"])


@pytest.mark.parametrize("reference", ["onset", "final"])
def test_stopped_and_resumed_is_the_same(reference):
    losses = {0: 2.3, 5: 0.9, 10: 0.5, 15: 0.7, 20: 0.8}
    whole, expected = run(losses, reference, onset=20)
    first, records = run(dict(list(losses.items())[:3]), reference)
    second = ReferenceFits(reference, **QUICK)
    second.load_state_dict(first.state_dict())
    for epoch in (15, 20):
        second.add(epoch, MEASURED[epoch], losses[epoch])
        records |= second.update(20 if epoch == 20 else None)
    records |= second.update(20, finished=True)
    expected |= whole.update(20, finished=True)
    assert records == expected


def test_the_state_loads_with_weights_only(tmp_path):
    fits, _ = run({5: 0.9, 10: 0.5})
    torch.save(fits.state_dict(), tmp_path / "state.pt")
    other = ReferenceFits(**QUICK)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    other.add(15, MEASURED[15], 0.9)
    assert reference_epochs(other.update()) == {10}


def test_only_what_may_become_the_reference_is_kept():
    fits, _ = run({5: 0.9, 10: 0.5, 15: 0.7, 20: 0.4, 25: 0.8})
    assert sorted(fits.state_dict()["candidates"]) == [5, 10, 20]


def test_a_measurement_of_an_epoch_again_replaces_the_first():
    fits, _ = run({5: 0.9, 10: 0.5})
    fits.add(10, MEASURED[30], 0.5)
    changed = fits.update()
    expected = disentangle(*sample_order_strength(MEASURED[30]), MEASURED[30], bootstraps=5)
    assert changed[10]["r_squared"] == expected.r_squared


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reference": "best"}, r"`reference`.*'onset', 'final', 'current'.*got 'best'.*HINT"),
        ({"reference": "current"}, r"`reference='current'` needs `delta_range.*HINT"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ReferenceFits(**arguments)


def test_nothing_added_nothing_fitted():
    assert ReferenceFits().update() == {}
