"""The sequential test against integrals taken numerically and against sums written out."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from lightning_interactions.distribution import hinge
from lightning_interactions.distribution.hinge import HingeTest

LEVELS = [0.1, -0.2, 0.05, 0.3, 0.2, 0.9, 1.4, 1.2]


def fed(levels, noise=0.1):
    test = HingeTest(noise=noise)
    for level in levels:
        test.add(level)
    return test


def slow_log_bayes_factor(levels, knee, slope_size, noise):
    """Log of the marginal likelihoods' ratio, integrating numerically over the slope and log σ.

    The mean has a flat prior, σ a density ∝ 1/σ times the likelihood of one more measurement of size ``noise``.
    """
    y = np.array(levels) - np.mean(levels)
    x = np.maximum(np.arange(len(y)) - knee, 0.0)
    x = x - x.mean()

    def density(log_sigma, b):
        sigma = math.exp(log_sigma)
        left = ((y - b * sigma * x) ** 2).sum() + noise**2
        return math.exp(-left / 2 / sigma**2 - len(y) * log_sigma)

    def with_slope(b, log_sigma):
        prior = 2 * math.exp(-(b**2) / 2 / slope_size**2) / math.sqrt(2 * math.pi) / slope_size
        return density(log_sigma, b) * prior

    constant = integrate.quad(lambda s: density(s, 0.0), -6, 4, epsrel=1e-8)[0]
    rising = integrate.dblquad(with_slope, -6, 4, 0, 8 * slope_size, epsrel=1e-6)[0]
    return math.log(rising / constant)


@pytest.mark.parametrize("knee", [0, 2, 4])
@pytest.mark.parametrize("slope_size", [0.5, 1 / 32])
def test_the_bayes_factor_is_the_ratio_of_two_integrals(knee, slope_size, monkeypatch):
    monkeypatch.setattr(hinge, "_SLOPES", np.array([slope_size]))
    monkeypatch.setattr(hinge, "_FEWEST_FOR_CORRELATION", math.inf)  # the integrals are of independent noise
    fit = fed(LEVELS)._fit(1)
    place = fit.knees.tolist().index(knee)
    found = hinge._log_bayes_factors(fit, len(LEVELS))[place]
    assert found == pytest.approx(slow_log_bayes_factor(LEVELS, knee, slope_size, 0.1), abs=1e-4)


@given(st.lists(st.floats(-3, 3), min_size=5, max_size=120))
@settings(deadline=None, max_examples=25)
def test_the_running_sums_fit_like_least_squares(levels):
    fit = fed(levels)._fit(1)
    for place, knee in enumerate([] if fit is None else fit.knees):
        columns = np.stack([np.ones(len(levels)), np.maximum(np.arange(len(levels)) - knee, 0)], axis=1)
        (_, slope), *_ = np.linalg.lstsq(columns, np.array(levels), rcond=None)
        left = ((levels - columns @ np.linalg.lstsq(columns, np.array(levels), rcond=None)[0]) ** 2).sum()
        assert fit.product[place] / fit.size[place] == pytest.approx(slope, abs=1e-7)
        assert fit.residual[place] == pytest.approx(left + 0.1**2, abs=1e-7)


@given(st.lists(st.floats(-3, 3), min_size=4, max_size=60))
@settings(deadline=None, max_examples=25)
def test_a_fall_is_a_rise_upside_down(levels):
    up, down = fed(levels).knee(1), fed([-level for level in levels]).knee(-1)
    assert (up is None) == (down is None)
    if up is not None:
        assert down.evidence == pytest.approx(up.evidence, abs=1e-9)
        assert down.index == up.index
        assert down.change == pytest.approx(-up.change, abs=1e-9)


@pytest.mark.parametrize("least", [0.0, 1.0, 3.0, 10.0])
def test_evidence_below_what_is_asked_for_is_left_out_and_no_other(least):
    generator = np.random.default_rng(0)
    for _ in range(50):
        test = fed(generator.normal(size=30) + 0.05 * np.arange(30))
        whole = test.knee(1)
        expected = whole if whole is not None and whole.evidence >= least else None
        assert test.knee(1, least) == expected


def test_the_weights_of_all_knees_never_exceed_one():
    test = fed(np.sin(np.arange(3000)))
    ends = np.append(test.knees[1:], test.count)
    weights = math.log(2) * (1 / np.log(np.array(test.knees) + 2) - 1 / np.log(ends + 2))
    assert (weights > 0).all()
    assert weights.sum() < 1


def test_noise_alone_rarely_reaches_the_evidence_that_its_rate_allows():
    # Ville: at most 1 in 10 may ever reach evidence 10. 300 series, so that 0.1 + 3 standard errors is 0.152.
    generator = np.random.default_rng(1)
    alarms = 0
    for _ in range(300):
        test = HingeTest(noise=0.02)
        for level in generator.normal(size=40):
            test.add(level)
            if test.knee(1, math.log(10)) is not None:
                alarms += 1
                break
    assert alarms / 300 < 0.152


def test_knees_stay_few_and_looks_become_rare():
    test = HingeTest(noise=0.02)
    looks = 0
    for number in range(5000):
        test.add(number % 7)
        looks += test.is_due
    assert len(test.knees) < 32 * math.log2(5000)
    assert looks < 64 * math.log2(5000)
    assert np.diff(test.knees).max() <= 5000 / 32


def test_a_knee_is_found_where_it_is_with_its_size():
    generator = np.random.default_rng(2)
    levels = 0.5 + 0.1 * np.maximum(np.arange(40) - 25, 0) + 0.02 * generator.normal(size=40)
    knee = fed(levels, noise=0.02).knee(1)
    assert knee.interval[0] <= knee.index <= knee.interval[1]
    assert abs(knee.index - 25) <= 1
    assert knee.baseline == pytest.approx(0.5, abs=0.02)
    assert knee.change == pytest.approx(1.4, abs=0.05)


def test_the_state_goes_through_plain_data():
    test = fed(LEVELS)
    resumed = HingeTest.from_state(test.state_dict())
    resumed.add(2.0)
    assert test.count == len(LEVELS)
    test.add(2.0)
    assert resumed == test
