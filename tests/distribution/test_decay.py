import pytest
import torch

from lightning_interactions import decay
from lightning_interactions.distribution.decay import sample_decay, shrink


def dense_m(n, delta):
    """M(δ) of Theorem 2.3, written out."""
    subsets = range(2**n)
    j = torch.tensor([[float(s & ~t == 0) for s in subsets] for t in subsets], dtype=torch.float64)
    c = torch.tensor([2.0 ** s.bit_count() * delta**2 for s in subsets], dtype=torch.float64)
    return torch.linalg.solve(j.T @ j + 2**n * torch.diag(c), j.T @ j)


@pytest.fixture
def effects():
    return torch.randn(2, 3, 2**6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("delta", [0.0, 1e-4, 0.01, 0.3, 1.0])
@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_the_closed_form_is_the_dense_matrix(n, delta):
    x = torch.randn(3, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
    torch.testing.assert_close(shrink(x, delta), x @ dense_m(n, delta).T, rtol=1e-9, atol=1e-9)


def test_no_noise_leaves_every_effect(effects):
    torch.testing.assert_close(shrink(effects, 0.0), effects)


def test_many_deltas_at_once_equal_each_alone(effects):
    deltas = torch.tensor([0.0, 0.02, 0.5], dtype=torch.float64)
    together = shrink(effects, deltas)
    for row, delta in zip(together, deltas, strict=True):
        torch.testing.assert_close(row, shrink(effects, delta.item()))


@pytest.mark.parametrize("delta", [0.0, 0.03])
def test_strength_sums_the_shrunken_effects_of_each_order_and_sign(effects, delta):
    and_, or_ = effects
    m = dense_m(6, delta)
    shrunken = [and_ @ m.T, or_ @ m.T]
    for sign, side in zip((1, -1), decay(and_, or_, delta, gamma=2.0), strict=True):
        expected = [
            2
            * sum(
                max(sign * part[x, s].item(), 0)
                for part in shrunken
                for x in range(3)
                for s in range(64)
                if s.bit_count() == order
            )
            / 3
            for order in range(1, 7)
        ]
        torch.testing.assert_close(side, torch.tensor(expected, dtype=torch.float64))


def test_the_strength_of_samples_averages_to_the_strength(effects):
    deltas = torch.tensor([0.01, 0.1], dtype=torch.float64)
    by_sample = sample_decay(*effects, deltas)
    assert by_sample[0].shape == (2, 3, 6)
    for mean, side in zip(decay(*effects, deltas), by_sample, strict=True):
        torch.testing.assert_close(mean, side.mean(dim=1))


def test_a_single_sample_needs_no_sample_axis(effects):
    alone = decay(effects[0, 0], effects[1, 0], 0.05)
    torch.testing.assert_close(alone[0], decay(effects[0, :1], effects[1, :1], 0.05)[0])


def test_sixteen_variables_need_no_dense_matrix():
    # 65,536 subsets: the dense matrix would hold 32 GiB.
    x = torch.randn(1, 2**16, dtype=torch.float64)
    assert shrink(x, 0.01).shape == x.shape


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(4), torch.zeros(8), 0.1), "same shape"),
        ((torch.zeros(4), torch.zeros(4), -0.1), "`delta` must be at least 0"),
        ((torch.zeros(4), torch.zeros(4), float("nan")), "`delta` must be at least 0"),
        ((torch.zeros(4), torch.zeros(4), 0.1, -1.0), "`gamma` must be at least 0"),
        ((torch.zeros(3), torch.zeros(3), 0.1), r"2\*\*n"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        decay(*arguments)
