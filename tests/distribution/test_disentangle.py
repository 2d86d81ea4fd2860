import math

import numpy as np
import pytest
import scipy.optimize
import torch

from lightning_interactions import decay, disentangle, lattice, sparsify, spindle
from lightning_interactions.distribution.decay import Decays, sample_decay
from lightning_interactions.distribution.disentangle import PROFILE_TOLERANCE
from lightning_interactions.distribution.projection import Products
from lightning_interactions.distribution.strength import Effects

N = 7
SAMPLES = 20


@pytest.fixture(scope="module")
def reference():
    """Networks' interactions at the end of the normal phase: few effects, most of low order."""
    generator = torch.Generator().manual_seed(0)
    order = lattice.subset_order(N).double()
    effects = torch.randn(2, SAMPLES, 2**N, dtype=torch.float64, generator=generator) * torch.exp(-1.2 * order)
    present = torch.rand(2, SAMPLES, 2**N, generator=generator) < 0.4
    and_, or_ = torch.where(present & (order > 0), effects, 0.0)
    return sparsify(lattice.reconstruct(and_, or_), solver="none", threshold=0.0)


def mixture(reference, share, delta=0.02, alpha=0.9, noise=0.0, seed=1):
    """γM(δ)I* + spindle, sample by sample, with a known share of spindle."""
    positive, negative = sample_decay(reference.and_, reference.or_, delta)
    curve = spindle(N, alpha)
    beta = share * (positive.mean(dim=0).sum() + negative.mean(dim=0).sum()) / (2 * curve.sum())
    generator = torch.Generator().manual_seed(seed)
    factors = 1 + noise * torch.randn(2, SAMPLES, N, dtype=torch.float64, generator=generator)
    return [
        ((1 - share) * side + beta * curve) * factor.clamp(min=0)
        for side, factor in zip((positive, negative), factors, strict=True)
    ]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.6, 0.9])
def test_a_clean_mixture_is_taken_apart_exactly(reference, share):
    found = disentangle(*mixture(reference, share), reference)
    assert found.spindle_share == pytest.approx(share, abs=0.01)
    assert found.r_squared > 0.9999
    assert found.gamma == pytest.approx(1 - share, abs=0.02)
    low, high = found.intervals["spindle_share"]
    assert low <= share + 1e-3
    assert high >= share - 1e-3
    assert found.identified
    if share > 0:
        assert found.alpha == pytest.approx(0.9, abs=0.02)


def test_the_parts_and_the_residual_add_up_to_the_strength(reference):
    strength = mixture(reference, 0.4, noise=0.3)
    found = disentangle(*strength, reference)
    total = found.decay + found.spindle + found.residual
    torch.testing.assert_close(total, torch.stack([side.mean(dim=0) for side in strength]))
    expected = decay(reference.and_, reference.or_, found.delta, found.gamma)
    torch.testing.assert_close(found.decay, torch.stack(expected))
    torch.testing.assert_close(found.spindle, spindle(N, found.alpha, found.beta))
    amount = sum(side.mean(dim=0).sum() for side in strength)
    assert found.relative_l1 == pytest.approx((found.residual.abs().sum() / amount).item())


def test_pure_noise_is_all_spindle(reference):
    # i.i.d. Gaussian effects: strength proportional to the number of subsets of each order, hence α = 1.
    curve = spindle(N, 1.0).expand(SAMPLES, N)
    found = disentangle(curve, curve, reference)
    assert found.spindle_share == pytest.approx(1.0, abs=0.02)
    assert found.alpha == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize("samples", [1, SAMPLES])
def test_against_a_reference_without_effects_all_is_spindle(samples):
    generator = torch.Generator().manual_seed(0)
    curve = spindle(N, 0.9) * (1 + 0.1 * torch.randn(samples, 1, dtype=torch.float64, generator=generator))
    nothing = torch.zeros(samples, 2**N)
    found = disentangle(curve, curve, Effects(nothing, nothing))

    assert found.spindle_share == 1
    assert found.intervals["spindle_share"] == (1, 1)
    assert found.identified


def test_many_fits_can_share_the_decays_of_one_reference(reference):
    decays = Decays(reference.and_, reference.or_)
    for share in (0.2, 0.5):
        strength = mixture(reference, share, noise=0.3)
        alone, shared = (disentangle(*strength, one, bootstraps=10) for one in (reference, decays))
        assert shared.intervals == alone.intervals
        assert torch.equal(shared.residual, alone.residual)


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_a_threshold_comes_too_late_for_decays(reference, threshold):
    strength = mixture(reference, 0.2, noise=0.3)
    with pytest.raises(ValueError, match=rf"`threshold` must be None .* got {threshold}: .* HINT: make them of"):
        disentangle(*strength, Decays(reference.and_, reference.or_), threshold=threshold)


def test_no_other_parameters_fit_better(reference):
    """A global search over all four parameters at once, with no grid and no closed form."""
    strength = mixture(reference, 0.35, noise=0.4, seed=5)
    target = torch.cat([side.mean(dim=0) for side in strength])

    def loss(point):
        alpha, log_delta, gamma, beta = point
        parts = torch.cat(decay(reference.and_, reference.or_, math.exp(log_delta), gamma))
        curve = spindle(N, alpha, beta)
        return (target - parts - torch.cat([curve, curve])).square().sum().item()

    bounds = [(0.1, 1.5), (math.log(1e-6), 0.0), (0.0, 3.0), (0.0, 1.0)]
    best = scipy.optimize.differential_evolution(loss, bounds, seed=0, maxiter=60, popsize=12, tol=1e-10)
    found = disentangle(*strength, reference)
    ours = loss((found.alpha, math.log(found.delta), found.gamma, found.beta))
    assert ours <= best.fun * (1 + 1e-3)


def test_two_columns_are_solved_like_scipys_non_negative_least_squares():
    generator = np.random.default_rng(0)
    for _ in range(50):
        target, first, second = generator.normal(size=(3, 6))
        expected, norm = scipy.optimize.nnls(np.stack([first, second], axis=1), target)
        found = Products.of(*(torch.from_numpy(x) for x in (target[None], first[None, None], second[None]))).fits()
        np.testing.assert_allclose([found.gamma.item(), found.beta.item()], expected, atol=1e-9)
        assert found.r_squared.item() == pytest.approx(1 - norm**2 / (target**2).sum(), abs=1e-9)


def test_without_samples_the_interval_are_the_shares_that_fit_nearly_as_well(reference):
    """A scan over α, δ and the share, each curve made and fitted on its own."""
    positive, negative = (side.mean(dim=0) for side in mixture(reference, 0.3, noise=0.3))
    low, high = disentangle(positive, negative, reference).intervals["spindle_share"]
    target = torch.cat([positive, negative])
    decays = torch.cat(decay(reference.and_, reference.or_, torch.logspace(-3, 0, 31)), dim=-1)

    def r_squared(share):
        best = 0.0
        for alpha in torch.linspace(0.1, 1.5, 57):
            curve = spindle(N, alpha.item())
            noise = torch.cat([curve, curve]) / (2 * curve.sum())
            shape = (1 - share) * decays / decays.sum(dim=-1, keepdim=True) + share * noise
            best = max(best, ((shape @ target) ** 2 / (shape**2).sum(dim=-1)).max().item())
        return best / (target @ target).item()

    inside = r_squared(low), r_squared(high)
    best = max(r_squared(share.item()) for share in torch.linspace(low, high, 21))
    assert min(inside) >= best - PROFILE_TOLERANCE - 2e-3
    assert low == 0 or r_squared(low - 0.02) < best - PROFILE_TOLERANCE + 2e-3
    assert high == 1 or r_squared(high + 0.02) < best - PROFILE_TOLERANCE + 2e-3


def test_a_share_that_nothing_pins_down_is_called_not_identified():
    # The reference is itself the spindle's curve: decay and spindle are the same column.
    order = lattice.subset_order(N)
    and_ = torch.where(order > 0, 1.0, 0.0).double().expand(4, -1)
    flat = sparsify(lattice.reconstruct(and_, -and_), solver="none", threshold=0.0)
    reference = type(flat)(
        values=flat.values,
        and_=and_.clone(),
        or_=-and_.clone(),
        l1=flat.l1,
        gap=flat.gap,
        noise_bound=flat.noise_bound,
        threshold=0.0,
    )
    noisy = spindle(N, 1.0) * (1 + 0.05 * torch.randn(4, N, generator=torch.Generator().manual_seed(0)).double())
    found = disentangle(noisy, noisy, reference)
    assert not found.identified
    assert found.verdict.startswith("not identified")


def test_the_same_seed_gives_the_same_intervals(reference):
    strength = mixture(reference, 0.1, noise=0.5)
    first, second = (disentangle(*strength, reference, seed=3).intervals for _ in range(2))
    assert first == second
    assert first != disentangle(*strength, reference, seed=4).intervals


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positive": torch.ones(N + 1)}, "n = 7 orders"),
        ({"negative": torch.full((N,), float("nan"))}, "finite"),
        ({"positive": torch.zeros(N), "negative": torch.zeros(N)}, "not all zero"),
        ({"negative": -torch.ones(N)}, "non-negative"),
        ({"delta_range": (1.0, 0.1)}, "`delta_range`"),
        ({"delta_range": (0.0, 0.1)}, "`delta_range`"),
        ({"alpha_range": (0.5, 0.5)}, "`alpha_range`"),
    ],
)
def test_bad_input_is_refused(reference, change, message):
    arguments = {"positive": torch.ones(N), "negative": torch.ones(N)} | change
    with pytest.raises(ValueError, match=message):
        disentangle(arguments.pop("positive"), arguments.pop("negative"), reference, **arguments)
