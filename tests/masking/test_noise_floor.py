"""Rounding sent through the alternating sums: against sums over sets, against theory, and in a training."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_interactions.masking.feature_map import FeatureMapPatches
from lightning_interactions.masking.forward import values
from lightning_interactions.masking.noise_floor import NoiseFloor, noise_floor, propagated
from lightning_interactions.masking.outputs import target_logit

PATCHES = FeatureMapPatches("features.4", grid=4, border=0, n_variables=4)


def subsets(n):
    return [frozenset(i for i in range(n) if number >> i & 1) for number in range(2**n)]


def slow_effects(noise):
    """AND and OR effects of half the noise each, subset by subset (inclusion and exclusion)."""
    n = len(noise).bit_length() - 1
    sets = subsets(n)
    half = {s: noise[number] / 2 for number, s in enumerate(sets)}
    everything = frozenset(range(n))
    and_ = {s: sum((-1) ** len(s - t) * half[t] for t in sets if t <= s) for s in sets if s}
    or_ = {s: -sum((-1) ** len(s - t) * half[everything - t] for t in sets if t <= s) for s in sets if s}
    return and_, or_


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(0, 2**20))
def test_it_is_what_sums_over_sets_give(n, n_samples, seed):
    noise = torch.randn(n_samples, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    found = propagated(noise)
    effects = [slow_effects(row) for row in noise.tolist()]
    for order in range(1, n + 1):
        chosen = [[part[s] for part in both for s in part if len(s) == order] for both in effects]
        everything = [effect for row in chosen for effect in row]
        rms = math.sqrt(sum(effect**2 for effect in everything) / len(everything))
        strength = sum(abs(effect) for effect in everything) / n_samples
        assert found.effect[order - 1] == pytest.approx(rms, rel=1e-9)
        assert found.strength[order - 1] == pytest.approx(strength, rel=1e-9)


def test_independent_errors_grow_by_the_square_root_of_two_an_order():
    epsilon = 3e-6
    noise = epsilon * torch.randn(400, 2**6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    theory = [epsilon * 2 ** (order / 2) / 2 for order in range(1, 7)]

    # 800 effects of order 6: their root mean square is known to 1 / sqrt(2 · 800) = 2.5 %; four times that.
    assert propagated(noise).effect == pytest.approx(theory, rel=0.1)


def test_it_is_measured_against_float64(make_conv_net, images, classes):
    model, images = make_conv_net(images).float(), images.float()
    draws = PATCHES.draw(images)
    found = noise_floor(model, images, classes, PATCHES, draws, output=target_logit)
    options = {"output": target_logit}
    usual = values(model, images[:2], classes[:2], PATCHES, draws[:2], **options)
    exact = values(model.double(), images[:2].double(), classes[:2], PATCHES, draws[:2], **options)

    assert found.effect == pytest.approx(propagated(usual - exact).effect, rel=1e-3)
    assert 0 < max(found.effect) < 1e-4


def test_the_floor_sinks_and_rises_with_the_precision(make_conv_net, images, classes):
    model, images = make_conv_net(images).float(), images.float()
    draws = PATCHES.draw(images)
    floors = {
        precision: noise_floor(model, images, classes, PATCHES, draws, precision=precision).effect
        for precision in ("float64", "float32", "bf16")
    }

    assert floors["float64"] == (0.0,) * 4
    assert all(low < high / 100 for low, high in zip(floors["float32"], floors["bf16"], strict=True))


def test_samples_that_are_not_finite_have_no_say():
    noise = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.0, math.nan, 0.0, 0.0], [0.0, math.inf, 1.0, 0.0]])

    assert propagated(noise) == propagated(noise[:1])


def test_orders_above_the_threshold_are_named():
    floor = NoiseFloor(effect=(0.1, 0.3, math.nan), strength=(1.0, 1.0, math.nan))

    assert floor.exceeds(0.2) == [2]
    assert NoiseFloor.unknown(3).exceeds(0.0) == []
