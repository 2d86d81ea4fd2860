"""The phase detector against its definition written as a loop, and on curves whose answer is plain."""

import io
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_interactions.distribution.phases import PhaseDetector


def run(gaps, every=1, **options):
    """The detector after all gaps, and the phase and onset after each."""
    detector = PhaseDetector(**options)
    seen = []
    for number, gap in enumerate(gaps):
        phase = detector.update(epoch=every * number, gap=gap)
        assert phase == detector.phase
        seen.append((phase, detector.onset_epoch))
    return detector, seen


def slow_run(gaps, rise, patience):
    """Phase and onset after each gap: look back over everything for each."""
    phase, onset, changed_at, seen = "normal", None, -1, []
    high = [
        math.isfinite(gap) and any(gap > earlier + rise for earlier in gaps[:number] if math.isfinite(earlier))
        for number, gap in enumerate(gaps)
    ]
    for number, gap in enumerate(gaps):
        if math.isfinite(gap):
            recent = [k for k in range(changed_at + 1, number + 1) if math.isfinite(gaps[k])][-patience:]
            if len(recent) == patience and all(high[k] == (phase == "normal") for k in recent):
                phase, onset = ("overfitting", recent[0]) if phase == "normal" else ("normal", None)
                changed_at = number
        seen.append((phase, onset))
    return seen


@given(
    st.lists(st.one_of(st.integers(-8, 8).map(lambda k: k / 4), st.just(math.nan)), max_size=30),
    st.sampled_from([0.125, 0.5, 1.0]),
    st.integers(1, 4),
)
@settings(max_examples=300, deadline=None)
def test_every_step_follows_the_definition(gaps, rise, patience):
    assert run(gaps, rise=rise, patience=patience)[1] == slow_run(gaps, rise, patience)


@pytest.mark.parametrize("gap", [0.0, -0.3, 2.0])
def test_a_flat_gap_never_flips(gap):
    _, seen = run([gap] * 50)

    assert set(seen) == {("normal", None)}


def test_a_falling_gap_never_flips():
    _, seen = run([-0.2 * epoch for epoch in range(20)])

    assert set(seen) == {("normal", None)}


def test_noise_below_the_rise_never_flips():
    generator = torch.Generator().manual_seed(0)
    _, seen = run((0.09 * torch.rand(200, generator=generator)).tolist())

    assert set(seen) == {("normal", None)}


@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize("start", [0.0, -0.3, 0.5])
def test_a_knee_flips_at_its_first_high_measurement(start, every):
    gaps = [start] * 10 + [start + 0.15 * k for k in range(1, 11)]
    detector, seen = run(gaps, every)

    assert (detector.phase, detector.onset_epoch) == ("overfitting", 10 * every)
    assert seen[10] == ("normal", None)  # one high value may be noise
    assert seen[11] == ("overfitting", 10 * every)


def test_a_slow_rise_counts_from_the_lowest_gap():
    detector, _ = run([0.2, 0.0, 0.04, 0.08, 0.12, 0.16])

    assert (detector.phase, detector.onset_epoch) == ("overfitting", 4)


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_patience_is_how_many_high_measurements_it_takes(patience):
    def phase_after(high):
        return run([0.0] * 3 + [1.0] * high, patience=patience)[0].phase

    assert phase_after(patience - 1) == "normal"
    assert phase_after(patience) == "overfitting"


def test_a_single_spike_does_not_flip():
    _, seen = run([0.0, 0.0, 5.0, 0.0, 0.0, 5.0, 0.0])

    assert set(seen) == {("normal", None)}


def test_a_gap_that_falls_back_returns_to_normal_and_may_flip_again():
    _, seen = run([0.0, 0.5, 0.5, 0.0, 0.5, 0.0, 0.0, 0.5, 0.5])

    assert [phase for phase, _ in seen] == ["normal"] * 2 + ["overfitting"] * 4 + ["normal"] * 2 + ["overfitting"]
    assert [onset for _, onset in seen] == [None, None, 1, 1, 1, 1, None, None, 7]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_gap_that_is_not_finite_is_passed_over(bad):
    with_holes, _ = run([bad, 0.0, bad, 0.5, bad, 0.5, bad])

    assert (with_holes.phase, with_holes.onset_epoch) == ("overfitting", 3)
    assert "its lowest was 0.000 at epoch 1" in with_holes.phase_message


def test_a_negative_gap_is_measured_from_the_lowest_one():
    detector, _ = run([-0.1, -0.6, -0.3, -0.2])

    assert (detector.phase, detector.onset_epoch) == ("overfitting", 2)


def test_an_epoch_that_a_resumed_training_measures_again_counts_once():
    detector, _ = run([0.0, 0.0, 0.5])
    detector.update(epoch=2, gap=0.5)

    assert detector.phase == "normal"
    assert detector.update(epoch=3, gap=0.5) == "overfitting"
    assert detector.onset_epoch == 2


GAPS = [0.1, -0.05, math.nan, 0.0, 0.3, -0.02, 0.3, 0.4, 0.35, 0.0, 0.0, 0.5, 0.6]


@pytest.mark.parametrize("cut", range(len(GAPS) + 1))
@pytest.mark.parametrize("travel", ["as it is", "json", "checkpoint"])
def test_a_detector_resumed_anywhere_goes_on_as_if_never_stopped(cut, travel):
    expected, _ = run(GAPS)
    first, _ = run(GAPS[:cut])
    state = first.state_dict()
    if travel == "json":
        state = json.loads(json.dumps(state))
    elif travel == "checkpoint":
        buffer = io.BytesIO()
        torch.save(state, buffer)
        buffer.seek(0)
        state = torch.load(buffer, weights_only=True)

    resumed = PhaseDetector()
    resumed.load_state_dict(state)
    assert (resumed.phase, resumed.onset_epoch) == (first.phase, first.onset_epoch)
    assert resumed.phase_message == first.phase_message
    for epoch in range(cut, len(GAPS)):
        resumed.update(epoch=epoch, gap=GAPS[epoch])
        first.update(epoch=epoch, gap=GAPS[epoch])
        assert resumed.phase_message == first.phase_message

    assert (resumed.phase, resumed.onset_epoch) == (expected.phase, expected.onset_epoch)
    assert resumed.phase_message == expected.phase_message


def plain(value):
    if isinstance(value, (dict, list)):
        return all(plain(entry) for entry in (value.values() if isinstance(value, dict) else value))
    return value is None or type(value) in {int, float, str, bool}


@pytest.mark.parametrize("number", [float, np.float32, np.float64, torch.tensor])
def test_the_state_is_plain_data_whatever_the_gap_was(number):
    detector, _ = run([number(gap) for gap in GAPS])

    assert plain(detector.state_dict())


def test_the_state_is_a_copy():
    detector, _ = run([0.0, 0.5])
    state = detector.state_dict()
    resumed = PhaseDetector()
    resumed.load_state_dict(state)
    resumed.update(epoch=2, gap=0.5)

    assert (resumed.phase, detector.phase) == ("overfitting", "normal")
    assert state == run([0.0, 0.5])[0].state_dict()


def test_the_options_stay_those_of_the_new_detector():
    old, _ = run([0.0, 0.5], rise=0.1)
    resumed = PhaseDetector(rise=0.6, patience=1)
    resumed.load_state_dict(old.state_dict())

    assert resumed.update(epoch=2, gap=0.55) == "normal"
    assert resumed.update(epoch=3, gap=0.65) == "overfitting"


@pytest.mark.parametrize("rise", [0.0, -0.1, math.nan])
def test_a_rise_that_is_not_positive_is_refused(rise):
    with pytest.raises(ValueError, match="`rise` must be a positive number"):
        PhaseDetector(rise=rise)


@pytest.mark.parametrize("patience", [0, -1])
def test_a_patience_below_one_is_refused(patience):
    with pytest.raises(ValueError, match="`patience` must be at least 1 measurement"):
        PhaseDetector(patience=patience)


def test_the_message_before_any_measurement():
    assert PhaseDetector().phase_message == "normal: no loss gap has been measured yet"
    assert run([math.nan])[0].phase_message == "normal: no loss gap has been measured yet"


def test_the_message_in_both_phases():
    detector, _ = run([0.1, -0.0504, 0.02], every=10)
    assert detector.phase_message == "normal: the loss gap is 0.020, its lowest was -0.050 at epoch 10"

    detector.update(epoch=30, gap=0.3)
    detector.update(epoch=40, gap=0.4)
    assert detector.phase_message == (
        "overfitting since epoch 30: the loss gap is 0.400, its lowest was -0.050 at epoch 10"
    )
