"""Both meanings of newly emerged interactions against loops, and the fits against SciPy and known curves."""

import math

import pytest
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_interactions import InputPatches, decay, explain, spindle
from lightning_interactions.distribution.decay import Decays
from lightning_interactions.distribution.emerged import (
    emerged_between,
    emerged_under_noise,
    fit_decay,
    fit_spindle,
)
from lightning_interactions.masking.fgsm import fgsm
from lightning_interactions.masking.fixed import AsDrawn
from lightning_interactions.masking.weight_noise import weight_noise


def slow_strength(samples, n, threshold):
    """Eq. 4 on lists of effects, one pair of AND and OR lists for each sample."""
    up, down = [0.0] * n, [0.0] * n
    for kinds in samples:
        for effects in kinds:
            for subset in range(1, 2**n):
                if abs(effects[subset]) > threshold:
                    side = up if effects[subset] > 0 else down
                    side[subset.bit_count() - 1] += abs(effects[subset]) / len(samples)
    return up, down


def samples_of(found):
    return list(zip(found.and_.tolist(), found.or_.tolist(), strict=True))


@pytest.mark.parametrize("threshold", [None, 0.0, 0.9])
def test_between_checkpoints_it_is_the_change_of_the_strength(threshold, random_interactions):
    earlier, later = random_interactions(3, 4, seed=1, threshold=0.2), random_interactions(5, 4, seed=2, threshold=0.6)
    found = emerged_between(earlier, later, threshold=threshold)
    before = slow_strength(samples_of(earlier), 4, 0.2 if threshold is None else threshold)
    after = slow_strength(samples_of(later), 4, 0.6 if threshold is None else threshold)

    for side, one, other in zip((found.positive, found.negative), before, after, strict=True):
        assert side.tolist() == pytest.approx([abs(a - b) for a, b in zip(one, other, strict=True)], rel=1e-12)


def test_the_growth_of_the_outputs_can_be_taken_out(make_interactions):
    earlier = make_interactions([[0, 1.0, 1.0, 0.5]])
    later = make_interactions([[0, 10.0, 10.0, 9.0]])

    assert emerged_between(earlier, later).positive.tolist() == [18.0, 8.5]
    assert emerged_between(earlier, later, normalize=True).positive.tolist() == pytest.approx([0, 0.2])


@pytest.mark.parametrize("threshold", [None, 0.0, 0.9])
def test_under_noise_it_is_the_strength_of_the_changes(threshold, random_interactions):
    clean, noisy = random_interactions(3, 4, seed=1, threshold=0.4), random_interactions(3, 4, seed=2)
    found = emerged_under_noise(clean, noisy, threshold=threshold)
    changes = [
        [[i - j for i, j in zip(before, after, strict=True)] for before, after in zip(left, right, strict=True)]
        for left, right in zip(samples_of(clean), samples_of(noisy), strict=True)
    ]

    for side, expected in zip(
        (found.positive, found.negative),
        slow_strength(changes, 4, 0.4 if threshold is None else threshold),
        strict=True,
    ):
        assert side.tolist() == pytest.approx(expected, rel=1e-12)


def test_the_two_meanings_differ(make_interactions):
    one, other = make_interactions([[0, 0, 0, 0, 0, 2.0, 0, 0]]), make_interactions([[0, 0, 0, 0, 0, 0, 2.0, 0]])

    assert emerged_between(one, other).total == 0
    assert emerged_between(one, other).spindle is None
    assert emerged_under_noise(one, other).positive.tolist() == [0, 2, 0]
    assert emerged_under_noise(one, other).negative.tolist() == [0, 2, 0]


def test_samples_are_matched_by_what_is_known_of_them(random_interactions, make_interactions):
    clean = random_interactions(3, 3, seed=1)
    clean.provenance["samples"] = [0, 4, 7]
    noisy = random_interactions(2, 3, seed=2)
    noisy.provenance["samples"] = [7, 0]
    expected = emerged_under_noise(
        make_interactions(clean.and_[[0, 2]], clean.or_[[0, 2]], 0.5),
        make_interactions(noisy.and_[[1, 0]], noisy.or_[[1, 0]]),
    )

    assert torch.equal(emerged_under_noise(clean, noisy).positive, expected.positive)
    noisy.provenance["samples"] = [1, 2]
    with pytest.raises(ValueError, match=r"must have samples in common, got \[0, 4, 7\]"):
        emerged_under_noise(clean, noisy)


@pytest.mark.parametrize("times", [0.5, 2.0])
def test_effects_that_only_grow_or_shrink_are_a_change_of_the_decay(random_interactions, make_interactions, times):
    clean = random_interactions(6, 5, seed=3, threshold=0.0)
    found = emerged_under_noise(clean, make_interactions(times * clean.and_, times * clean.or_), reference=clean)

    assert found.decay.r_squared == pytest.approx(1, abs=1e-3)
    torch.testing.assert_close(found.decay.positive, found.positive, rtol=0.05, atol=1e-3)
    torch.testing.assert_close(found.decay.negative, found.negative, rtol=0.05, atol=1e-3)


def test_a_disturbed_network_and_moved_samples_end_to_end():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(64, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2)
        )
        images = torch.rand(4, 1, 8, 8)
    targets, patches = torch.tensor([0, 1, 0, 1]), InputPatches(grid=4, border=0, n_variables=4)
    clean = explain(model, images, targets, patches)
    totals = []
    for sigma in (0.0, 0.1, 0.5):
        with weight_noise(model, sigma, relative=True):
            found = emerged_under_noise(clean, explain(model, images, targets, patches), reference=clean)
        totals.append(found.total)
    assert totals[0] == 0
    assert 0 < totals[1] < totals[2]
    assert found.as_record()["emerged_total"] == totals[2]
    assert found.as_record()["emerged_alpha"] == found.spindle.shape

    moved = fgsm(model, images, targets, 0.2)
    with pytest.raises(ValueError, match=r"same input variables.*HINT.*`AsDrawn`"):
        emerged_under_noise(clean, explain(model, moved, targets, patches))
    assert emerged_under_noise(clean, explain(model, moved, targets, AsDrawn(patches, images))).total > 0


@given(st.floats(0.15, 1.45), st.floats(1e-3, 1e3), st.integers(3, 12))
@settings(deadline=None, max_examples=25)
def test_a_spindle_is_found_again(alpha, beta, n):
    curve = spindle(n, alpha, beta)
    fit = fit_spindle(curve, curve)

    assert fit.r_squared == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(fit.positive, curve, rtol=1e-2, atol=1e-3 * curve.max().item())


@pytest.mark.parametrize("seed", range(2))
def test_the_spindle_fit_is_the_best_of_many_starts(seed):
    strength = torch.rand(2, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))

    def loss(point):
        curve = spindle(7, float(point[0]), max(float(point[1]), 0.0))
        return (strength - curve).square().sum().item()

    starts = [(alpha, beta) for alpha in (0.15, 0.4, 0.7, 1.0, 1.3) for beta in (0.01, 0.1, 0.5)]
    options = {"method": "Nelder-Mead", "bounds": [(0.1, 1.5), (0, None)], "options": {"xatol": 1e-9, "fatol": 1e-12}}
    best = min(scipy.optimize.minimize(loss, start, **options).fun for start in starts)
    fit = fit_spindle(*strength)
    spread = ((strength - strength.mean()) ** 2).sum().item()

    assert loss((fit.shape, fit.size)) == pytest.approx(best, rel=1e-6)
    assert fit.r_squared == pytest.approx(1 - best / spread, abs=1e-6)
    assert torch.equal(fit.positive, fit.negative)


def test_a_decay_is_found_again_and_fits_better_than_a_spindle(random_interactions):
    reference = random_interactions(4, 6, seed=3)
    salient = [torch.where(effects.abs() > 0.5, effects, 0.0) for effects in (reference.and_, reference.or_)]
    up, down = decay(*salient, delta=0.05, gamma=0.7)
    fit = fit_decay(up, down, reference)

    assert (fit.shape, fit.size) == pytest.approx((0.05, 0.7), rel=1e-4)
    assert fit.r_squared == pytest.approx(1, abs=1e-9)
    torch.testing.assert_close(fit.positive, up, rtol=1e-5, atol=1e-8)
    assert fit_spindle(up, down).r_squared < fit.r_squared


def test_either_sign_of_a_change_is_fitted_with_the_same_curves(random_interactions, monkeypatch):
    """The better of two fits on their own, though the curves on the grid are made once."""
    clean, noisy = random_interactions(4, 6, seed=3), random_interactions(4, 6, seed=4)
    made = []
    both_signs = Decays.both_signs
    monkeypatch.setattr(
        Decays, "both_signs", lambda self, deltas: (made.append(len(deltas)), both_signs(self, deltas))[1]
    )
    found = emerged_under_noise(clean, noisy, reference=clean)
    grids = [count for count in made if count > 1]
    straight = fit_decay(found.positive, found.negative, clean)
    turned = fit_decay(found.negative, found.positive, clean)
    best = max(straight, turned, key=lambda fit: fit.r_squared)

    assert len(grids) == 1
    assert (found.decay.shape, found.decay.size, found.decay.r_squared) == (best.shape, best.size, best.r_squared)
    sides = (best.positive, best.negative) if best is straight else (best.negative, best.positive)
    assert torch.equal(found.decay.positive, sides[0])
    assert torch.equal(found.decay.negative, sides[1])


def test_strength_that_is_the_same_everywhere_has_no_variance_to_explain():
    ones = torch.ones(3, dtype=torch.float64)

    assert math.isnan(fit_spindle(ones, ones).r_squared)


def test_a_reference_without_effects_explains_nothing(make_interactions):
    fit = fit_decay(torch.tensor([1.0, 0.0]), torch.zeros(2), make_interactions([[0.0] * 4]))

    assert fit.size == 0
    assert fit.r_squared < 0


def test_bad_input_is_refused(random_interactions, make_interactions):
    three, four = random_interactions(n=3), random_interactions(n=4)
    for call in (emerged_between, emerged_under_noise):
        with pytest.raises(ValueError, match="must have 3 input variables like the rest, got 4"):
            call(three, four)
        with pytest.raises(ValueError, match="`reference` must have 3"):
            call(three, three, reference=four)
        with pytest.raises(ValueError, match="`threshold`"):
            call(three, three, threshold=-1.0)
    with pytest.raises(ValueError, match="must hold the same samples, at least one, got 3 and 2"):
        emerged_under_noise(three, random_interactions(2, 3))
    with pytest.raises(ValueError, match=r"not finite.*HINT: nothing of order 1"):
        emerged_between(make_interactions([[0, 0, 0, 1.0]]), make_interactions([[0, 0, 0, 1.0]]), normalize=True)
    with pytest.raises(ValueError, match=r"shape \(n,\), got \(3,\) and \(2,\)"):
        fit_spindle(torch.ones(3), torch.ones(2))
    for wrong in (torch.zeros(3), torch.full((3,), math.nan), -torch.ones(3)):
        with pytest.raises(ValueError, match="finite, non-negative and not all zero"):
            fit_spindle(wrong, wrong)
    with pytest.raises(ValueError, match="`alpha_range`"):
        fit_spindle(torch.ones(3), torch.ones(3), alpha_range=(1.0, 0.1))
    with pytest.raises(ValueError, match="`delta_range`"):
        fit_decay(torch.ones(3), torch.ones(3), three, delta_range=(0.0, 1.0))
