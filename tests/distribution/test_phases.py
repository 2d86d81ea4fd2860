"""The phase detector on curves whose answer is plain, on many simulated ones, and across checkpoints."""

import io
import json
import math
import time
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_interactions.distribution.phases import PhaseDetector, end_of_normal_phase


def run(gaps, every=1, **options):
    """The detector after all gaps, and the phase and onset after each."""
    detector = PhaseDetector(**options)
    seen = []
    for number, gap in enumerate(gaps):
        phase = detector.update(epoch=every * number, gap=gap)
        assert phase == detector.phase
        seen.append((phase, detector.onset_epoch))
    return detector, seen


def noise(size, scale, seed=0):
    return scale * np.random.default_rng(seed).normal(size=size)


def knee(length, at, growth, scale=0.01, seed=0):
    """Constant up to ``at``, then linear growth up to ``growth``."""
    position = np.arange(length)
    return growth * np.maximum(position - at, 0) / (length - 1 - at) + noise(length, scale, seed)


@pytest.mark.parametrize("gap", [0.0, -0.3, 2.0])
def test_a_flat_gap_never_flips(gap):
    _, seen = run([gap] * 200)
    assert set(seen) == {("normal", None)}


def test_a_gap_that_wrong_labels_push_down_first_is_seen_to_grow():
    # LeNet on 1,000 digits with 5 % of the labels reset, measured after 0, 1, 2, 3, 5, 8, 12, 18 … 120 epochs.
    gaps = [0.0, 0.02, -0.15, -0.19, -0.16, -0.01, 0.09, 0.21, 0.2, 0.18, 0.2, 0.2, 0.2]
    detector, seen = run(gaps)
    assert seen[7] == ("overfitting", 5)
    assert detector.phase == "overfitting"


def test_noise_that_is_correlated_in_time_rarely_flips():
    flips = 0
    for seed in range(200):
        gaps = noise(50, 0.2, seed)
        for index in range(1, 50):
            gaps[index] = 0.5 * gaps[index - 1] + math.sqrt(0.75) * gaps[index]
        flips += any(phase == "overfitting" for phase, _ in run(gaps)[1])
    # Measured: 5.5 % of 400 other curves; three standard errors of a twentieth are 4.6 %.
    assert flips <= 200 * 0.05 + 3 * math.sqrt(200 * 0.05 * 0.95)


def test_a_falling_gap_never_flips():
    _, seen = run(-0.2 * np.arange(50))
    assert set(seen) == {("normal", None)}


def test_a_drift_below_the_rise_never_flips():
    _, seen = run(np.linspace(0.0, 0.05, 500) + noise(500, 0.01))
    assert set(seen) == {("normal", None)}


@pytest.mark.parametrize("scale", [0.001, 0.05, 0.5, 5.0])
@pytest.mark.parametrize("length", [5, 20, 100])
def test_noise_of_any_size_rarely_flips(scale, length):
    flips = sum(any(phase == "overfitting" for phase, _ in run(noise(length, scale, seed))[1]) for seed in range(60))
    assert flips <= 60 * 0.05 + 3 * math.sqrt(60 * 0.05 * 0.95)


@pytest.mark.parametrize(
    ("gaps", "onset"),
    [
        ([0.0, 0.01, 0.2, 0.5, 0.9], 2),
        ([0.0, 0.2, 0.4, 0.6, 0.8], 1),
        ([0.3, 0.29, 0.5, 0.7, 0.9], 2),
        ([-0.5, -0.51, -0.3, -0.1, 0.1], 2),
    ],
)
def test_five_points_are_enough_for_obvious_growth(gaps, onset):
    detector, _ = run(gaps)
    assert (detector.phase, detector.onset_epoch) == ("overfitting", onset)


@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize("start", [0.0, -0.3, 0.5])
def test_a_knee_flips_after_three_measurements_and_dates_back_to_the_first(start, every):
    detector, seen = run(start + np.array([0.0] * 10 + [0.15 * k for k in range(1, 11)]), every)
    assert (detector.phase, detector.onset_epoch) == ("overfitting", 10 * every)
    assert seen[11] == ("normal", None)
    assert seen[12] == ("overfitting", 10 * every)


@pytest.mark.parametrize("length", [50, 500, 5000])
@pytest.mark.parametrize("scale", [0.005, 0.05, 0.1])
def test_a_knee_is_found_early_and_in_its_place(length, scale):
    gaps = knee(length, length // 2, growth=2.0, scale=scale)
    detector, seen = run(gaps)
    detected = next(number for number, (phase, _) in enumerate(seen) if phase == "overfitting")
    assert length // 2 < detected <= 0.65 * length
    assert abs(detector.onset_epoch - length // 2) <= 0.05 * length + 1
    low, high = detector.onset_interval
    assert low <= detector.onset_epoch <= high


def test_spikes_do_not_flip():
    gaps = noise(200, 0.01)
    gaps[[20, 21, 60, 130, 131]] += 5.0
    _, seen = run(gaps)
    assert set(seen) == {("normal", None)}


def test_the_jumps_after_restarts_of_the_learning_rate_do_not_flip():
    cycle = np.arange(200) % 25
    _, seen = run(0.4 * np.exp(-cycle / 2) + noise(200, 0.01))
    assert set(seen) == {("normal", None)}


def test_double_descent_returns_to_normal_and_may_flip_again():
    hump = np.interp(np.arange(120), [0, 30, 50, 70, 100, 119], [0.0, 0.0, 1.0, 0.0, 0.0, 1.5])
    detector, seen = run(hump + noise(120, 0.01))
    phases = [phase for phase, _ in seen]
    assert phases[29] == "normal"
    assert phases[50] == "overfitting"
    assert phases[85:100] == ["normal"] * 15
    assert seen[90] == ("normal", None)
    assert (detector.phase, detector.onset_epoch) == ("overfitting", pytest.approx(101, abs=2))


def test_a_level_that_falls_early_in_training_does_not_hide_the_growth_after_it():
    gaps = np.interp(np.arange(60), [0, 10, 40, 59], [0.6, 0.0, 0.0, 0.4]) + noise(60, 0.01)
    detector, _ = run(gaps)
    assert detector.phase == "overfitting"
    assert detector.onset_epoch == pytest.approx(41, abs=3)


def test_a_dip_does_not_hide_the_growth_after_it():
    # A run with wrong labels: the gap dips while the right ones are learned, and grows with the others.
    gaps = [0.0, -0.01, -0.38, -0.38, -0.32, -0.14, 0.14, 0.32, 0.38, 0.50]
    detector, seen = run(gaps)
    assert detector.phase == "overfitting"
    assert detector.onset_epoch == pytest.approx(5, abs=1)
    assert seen[4] == ("normal", None)


def test_a_smaller_false_alarm_rate_waits_longer():
    gaps = knee(100, 50, growth=1.0, scale=0.1)

    def detected(rate):
        _, seen = run(gaps, false_alarm_rate=rate)
        return [phase for phase, _ in seen].index("overfitting")

    assert detected(0.2) < detected(1e-6)


def test_growth_below_the_rise_is_none():
    gaps = knee(100, 50, growth=0.4)
    assert run(gaps, rise=0.1)[0].phase == "overfitting"
    assert run(gaps, rise=0.6)[0].phase == "normal"


@given(
    st.lists(st.floats(-2, 2), min_size=1, max_size=40),
    st.floats(-5, 5),
    st.sampled_from([0.25, 4.0]),
)
@settings(deadline=None, max_examples=25)
def test_the_answer_depends_neither_on_the_level_nor_on_the_unit(gaps, level, unit):
    gaps = np.round(np.array(gaps), 3)
    plain = run(gaps, rise=0.1)[1]
    moved = run(np.round(unit * (gaps + np.round(level, 3)), 6), rise=0.1 * unit)[1]
    assert [onset for _, onset in moved] == [onset for _, onset in plain]


def test_five_thousand_measurements_take_seconds():
    gaps = noise(5000, 0.1)
    started = time.process_time()
    run(gaps)
    assert time.process_time() - started < 4


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_gap_that_is_not_finite_is_passed_over(bad):
    with_holes, _ = run([bad, 0.0, bad, 0.01, bad, 0.3, bad, 0.6, bad, 0.9, bad])
    assert (with_holes.phase, with_holes.onset_epoch) == ("overfitting", 5)
    assert run([bad])[0].phase_message == "normal: no loss gap has been measured yet"


def test_an_epoch_that_a_resumed_training_measures_again_counts_once():
    once, _ = run([0.0, 0.01, 0.2, 0.5])
    twice, _ = run([0.0, 0.01, 0.2, 0.5])
    twice.update(epoch=3, gap=9.0)
    assert twice.state_dict() == once.state_dict()


GAPS = [0.1, -0.05, math.nan, 0.0, 0.3, 0.6, 0.9, 1.2, 0.6, *[0.0, -0.02, 0.02, 0.01] * 3, 0.3, 0.6, 0.9, 1.1]


def test_the_curve_of_the_resumed_trainings_flips_there_and_back_and_there():
    _, seen = run(GAPS)
    phases = [phase for phase, _ in seen]
    assert sum(before != after for before, after in pairwise(phases)) == 3


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
    for epoch in range(cut, len(GAPS)):
        resumed.update(epoch=epoch, gap=GAPS[epoch])
        first.update(epoch=epoch, gap=GAPS[epoch])
        assert resumed.phase_message == first.phase_message

    assert (resumed.phase, resumed.onset_epoch) == (expected.phase, expected.onset_epoch)
    assert resumed.onset_interval == expected.onset_interval
    assert resumed.phase_message == expected.phase_message


def plain(value):
    if isinstance(value, (dict, list)):
        return all(plain(entry) for entry in (value.values() if isinstance(value, dict) else value))
    return value is None or type(value) in {int, float, str, bool}


@pytest.mark.parametrize("number", [float, np.float32, np.float64, torch.tensor])
@pytest.mark.parametrize("length", [0, 1, 7, len(GAPS)])
def test_the_state_is_plain_data_whatever_the_gap_was(number, length):
    detector, _ = run([number(gap) for gap in GAPS[:length]])
    assert plain(detector.state_dict())


def test_the_state_is_a_copy():
    detector, _ = run(GAPS[:5])
    state = detector.state_dict()
    kept = json.dumps(state)
    resumed = PhaseDetector()
    resumed.load_state_dict(state)
    resumed.update(epoch=5, gap=0.5)
    assert json.dumps(state) == kept == json.dumps(detector.state_dict())


def test_the_options_stay_those_of_the_new_detector():
    old, _ = run([0.0, 0.01, 0.2, 0.4], rise=0.1)
    resumed = PhaseDetector(rise=2.0)
    resumed.load_state_dict(old.state_dict())
    assert resumed.update(epoch=4, gap=0.6) == "normal"
    assert old.update(epoch=4, gap=0.6) == "overfitting"


@pytest.mark.parametrize(
    ("losses", "onset", "expected"),
    [
        ({0: 0.1, 10: 0.9, 20: 0.5, 30: 0.6, 40: 0.3}, 40, 20),
        ({0: 0.1, 10: 0.9, 20: 0.5, 30: 0.6, 40: 0.3}, None, 40),
        ({0: 0.1, 10: 0.9, 20: 0.5, 30: 0.6, 40: 0.3}, math.nan, 40),
        ({10: 0.5, 20: 0.5, 30: 0.5}, None, 10),
        ({10: math.nan, 20: 0.5, 30: math.inf}, None, 20),
        ({0: 0.1, 10: 0.9, 20: 0.5}, 10, 10),  # no trained epoch before the onset: the nearest
        ({0: 0.1, 10: math.nan, 20: 0.5}, 20, 20),
        ({30: 0.3, 10: 0.9, 20: 0.5}, 30, 20),
        ({0: 0.1}, None, None),
        ({10: math.nan}, 10, None),
        ({}, None, None),
    ],
)
def test_the_end_of_the_normal_phase(losses, onset, expected):
    assert end_of_normal_phase(losses, losses.values(), onset) == expected


def test_there_must_be_a_loss_for_each_epoch():
    with pytest.raises(ValueError, match="shorter"):
        end_of_normal_phase([1, 2], [0.5])


@pytest.mark.parametrize("rise", [0.0, -0.1, math.nan, math.inf])
def test_a_rise_that_is_not_positive_is_refused(rise):
    with pytest.raises(ValueError, match="`rise` must be a positive number"):
        PhaseDetector(rise=rise)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, math.nan])
def test_a_rate_that_is_no_probability_is_refused(rate):
    with pytest.raises(ValueError, match="`false_alarm_rate` must lie between 0 and 1"):
        PhaseDetector(false_alarm_rate=rate)


def test_the_message_in_both_phases():
    assert PhaseDetector().phase_message == "normal: no loss gap has been measured yet"
    detector, _ = run([0.01, -0.01, 0.0], every=10)
    assert detector.phase_message == (
        "normal: the loss gap is 0.000 and has not grown for long by more than 0.1 above 0.000, its mean since epoch 0"
    )
    for epoch, gap in ((30, 0.3), (40, 0.6), (50, 0.9)):
        detector.update(epoch=epoch, gap=gap)
    assert detector.phase_message.startswith("overfitting since epoch 30: the loss gap rose by 0.9")
    assert detector.phase_message.endswith("and is now 0.900")
