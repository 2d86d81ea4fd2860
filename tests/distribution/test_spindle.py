import math

import pytest
import torch
from scipy.special import rgamma

from lightning_interactions import spindle


@pytest.mark.parametrize("alpha", [0.17, 0.3, 0.45, 0.99, 1.0, 1.5])
@pytest.mark.parametrize("n", [1, 4, 10])
def test_the_curve_is_the_formula_with_negative_strength_cut_off(n, alpha):
    expected = [
        max(0.0, 3 * math.gamma(alpha * n + 1) * rgamma(m + 1) * rgamma(alpha * n - m + 1)) for m in range(1, n + 1)
    ]
    torch.testing.assert_close(
        spindle(n, alpha, beta=3.0), torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-6
    )


def test_alpha_one_is_the_number_of_subsets_of_each_order():
    torch.testing.assert_close(
        spindle(10, 1.0), torch.tensor([math.comb(10, m) for m in range(1, 11)], dtype=torch.float64)
    )


def test_many_curves_at_once_equal_each_alone():
    alphas, betas = torch.tensor([0.2, 0.7]), torch.tensor([1.0, 5.0])
    together = spindle(6, alphas, betas)
    assert together.shape == (2, 6)
    for row, alpha, beta in zip(together, alphas, betas, strict=True):
        torch.testing.assert_close(row, spindle(6, alpha.item(), beta.item()), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0, 1.0), "`n` must be"), ((4, 0.0), "`alpha` must be positive"), ((4, 1.0, -1.0), "`beta` at least 0")],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        spindle(*arguments)
