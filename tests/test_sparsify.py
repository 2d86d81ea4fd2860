"""From values to interactions: what the result says about itself, and that it explains every masked sample."""

from statistics import mean

import pytest
import torch

import lightning_interactions
from lightning_interactions import Interactions, sparsify
from lightning_interactions.sparsify import output_scale

SOLVERS = ("interior_point", "none")


def subsets(n):
    """Subset number T as a set: variable i is present when digit i of T, counted from the lowest, is 1."""
    return [frozenset(i for i in range(n) if T // 2**i % 2 == 1) for T in range(2**n)]


def matching_errors(found, row):
    """|v(x_T) - h(x_T)| of one sample for every T, by sums over sets (Theorem 2.1)."""
    numbered = list(enumerate(subsets(found.n_variables)))
    v, and_, or_ = (array[row].tolist() for array in (found.values, found.and_, found.or_))
    errors = []
    for number, t in numbered:
        h = v[0] + sum(and_[k] for k, s in numbered if s and s <= t) + sum(or_[k] for k, s in numbered if s & t)
        errors.append(abs(v[number] - h))
    return errors


def random_values(samples=3, n=3, seed=0, dtype=torch.float64):
    return torch.randn(samples, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def sparse_values(n=4, seed=0):
    """Two samples that a handful of interactions explain, and a little noise."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(2):
        chosen = torch.randint(1, 2**n, (5,), generator=generator).tolist()
        effects = torch.randn(5, dtype=torch.float64, generator=generator).tolist()
        sets = subsets(n)
        rows.append([sum(e for k, e in zip(chosen, effects, strict=True) if sets[k] <= t) for t in sets])
    values = torch.tensor(rows, dtype=torch.float64)
    return values + 1e-3 * torch.randn(values.shape, dtype=torch.float64, generator=generator)


def slow_scale(values):
    return mean(abs(row[-1] - row[0]) for row in values.double().tolist())


def test_values_are_kept_as_they_were():
    values = random_values()
    found = sparsify(values, 0.1)

    assert isinstance(found, Interactions)
    assert torch.equal(found.values, values)
    assert (found.n_variables, found.n_samples) == (3, 3)


@pytest.mark.parametrize("samples", [1, 4])
def test_scale_is_the_mean_over_the_samples(samples):
    values = random_values(samples)

    assert output_scale(values) == pytest.approx(slow_scale(values), rel=1e-12)


def test_threshold_is_two_per_cent_of_the_scale_unless_given():
    values = random_values()

    assert sparsify(values).threshold == pytest.approx(0.02 * slow_scale(values), rel=1e-12)
    assert sparsify(values, threshold=0.7).threshold == 0.7
    assert sparsify(values, threshold=0.0).threshold == 0.0


@pytest.mark.parametrize("solver", SOLVERS)
def test_one_noise_bound_holds_for_every_sample(solver):
    found = sparsify(random_values(), 0.25, solver)

    assert found.noise_bound.dtype == torch.float64
    assert found.noise_bound.tolist() == [0.25, 0.25, 0.25]


@pytest.mark.parametrize("solver", SOLVERS)
def test_each_sample_may_have_its_own_noise_bound(solver):
    bounds = [0.0, 0.1, 0.5]
    values = random_values()
    found = sparsify(values, torch.tensor(bounds, dtype=torch.float64), solver)

    assert found.noise_bound.tolist() == bounds
    for row, bound in enumerate(bounds):
        alone = sparsify(values[row : row + 1], bound, solver)
        assert found.l1[row].item() == pytest.approx(alone.l1.item(), rel=1e-5)
        assert max(matching_errors(found, row)) <= bound * (1 + 1e-9) + 1e-9 * values[row].abs().max().item()


def test_the_given_noise_bounds_are_not_shared():
    bounds = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    found = sparsify(random_values(), bounds, "none")
    bounds[0] = 9.0

    assert found.noise_bound.tolist() == [0.1, 0.2, 0.3]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("ratio", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_universal_matching(n, ratio, solver):
    for values in (random_values(2, n, seed=n), sparse_values(n, seed=n)):
        bound = ratio * slow_scale(values)
        found = sparsify(values, bound, solver)

        for row in range(2):
            # Without noise the error must vanish relative to the values.
            allowed = bound * (1 + 1e-9) if bound else 1e-9 * values[row].abs().max().item()
            assert max(matching_errors(found, row)) <= allowed
            assert found.matching_error()[row].item() == pytest.approx(max(matching_errors(found, row)), abs=1e-12)


def test_universal_matching_of_the_published_recipe():
    values = random_values(1, 2)
    found = sparsify(values, 0.05, "sgd", steps=200)

    assert max(matching_errors(found, 0)) <= 0.05 * (1 + 1e-9)


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("solver", SOLVERS)
def test_l1_is_that_of_the_effects(solver, merge):
    found = sparsify(random_values(), 0.1, solver, merge_order_one=merge)

    for row in range(3):
        total = sum(abs(effect) for effect in [*found.and_[row].tolist(), *found.or_[row].tolist()])
        assert found.l1[row].item() == pytest.approx(total, rel=1e-12)


def test_without_optimisation_half_of_every_value_is_and_and_half_is_or():
    found = sparsify(torch.tensor([[1.0, 3.0, 4.0, 10.0]]), solver="none", merge_order_one=False)

    assert found.and_.tolist() == [[0.0, 1.0, 1.5, 2.0]]
    assert found.or_.tolist() == [[0.0, 3.0, 3.5, -2.0]]


def test_order_one_is_reported_as_and():
    values = random_values(2, 4)
    merged = sparsify(values, solver="none")
    split = sparsify(values, solver="none", merge_order_one=False)

    singles = [number for number, s in enumerate(subsets(4)) if len(s) == 1]
    assert merged.or_[:, singles].count_nonzero() == 0
    torch.testing.assert_close(merged.and_[:, singles], (split.and_ + split.or_)[:, singles])


def test_the_exact_solver_is_sparser_and_proves_it():
    values = sparse_values()
    exact, half = (sparsify(values, 0.01, solver) for solver in SOLVERS)

    assert (exact.l1 < 0.9 * half.l1).all()
    assert (exact.gap <= 1e-6).all()
    # What the bound proves for one holds for all solvers.
    assert (half.l1 * (1 - half.gap) <= exact.l1 * (1 + 1e-9)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision_is_computed_in_float64(dtype):
    values = random_values(dtype=dtype)
    found, expected = sparsify(values, 0.1), sparsify(values.double(), 0.1)

    assert {found.values.dtype, found.and_.dtype, found.or_.dtype, found.l1.dtype} == {torch.float64}
    assert torch.equal(found.values, values.double())
    assert torch.equal(found.and_, expected.and_)
    assert found.threshold == expected.threshold


def test_values_that_carry_a_gradient_are_taken_and_left_alone(tmp_path):
    values = random_values().requires_grad_()
    found = sparsify(values, 0.1)

    assert not found.values.requires_grad
    assert not found.and_.requires_grad
    assert torch.equal(found.and_, sparsify(values.detach(), 0.1).and_)
    assert Interactions.load(found.save(tmp_path / "found.npz")).l1.tolist() == found.l1.tolist()
    assert values.requires_grad


def test_provenance_says_how_it_was_made():
    found = sparsify(random_values(), 0.1, "none", tolerance=1e-4, merge_order_one=False, provenance={"seed": 3})

    assert found.provenance == {
        "solver": "none",
        "tolerance": 1e-4,
        "merge_order_one": False,
        "versions": {"lightning_interactions": lightning_interactions.__version__, "torch": torch.__version__},
        "n_variables": 3,
        "seed": 3,
    }
    assert {type(version) for version in found.provenance["versions"].values()} == {str}


def test_given_provenance_is_not_changed():
    given = {"seed": 3}
    sparsify(random_values(), provenance=given)

    assert given == {"seed": 3}


@pytest.mark.parametrize("solver", SOLVERS)
def test_no_samples(solver):
    found = sparsify(torch.zeros(0, 8), 0.1, solver)

    assert found.and_.shape == (0, 8)
    assert (len(found), found.threshold) == (0, 0.0)


def test_a_network_that_sees_nothing_has_no_interactions():
    found = sparsify(torch.full((2, 8), 1.5))

    assert found.l1.tolist() == [0.0, 0.0]
    assert found.gap.tolist() == [0.0, 0.0]
    assert found.threshold == 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"solver": "newton"}, "'interior_point', .*'sgd', .*'auto', got 'newton'"),
        ({"noise_bound": -0.1}, "`noise_bound` must be finite and at least 0, got -0.1"),
        ({"noise_bound": float("nan")}, "`noise_bound`"),
        ({"noise_bound": torch.zeros(2)}, "`noise_bound`"),
        ({"tolerance": 0.0}, "`tolerance` must be a positive number"),
        ({"values": torch.zeros(8)}, r"`values` must have the shape \(samples, 2\*\*n\)"),
        ({"values": torch.zeros(3, 7)}, "`values`"),
        ({"values": torch.tensor([[0.0, float("nan")]])}, "`values` must be finite"),
    ],
)
def test_the_solvers_errors_pass_through(arguments, message):
    with pytest.raises(ValueError, match=message):
        sparsify(**{"values": random_values()} | arguments)


def test_whole_numbers_are_refused():
    with pytest.raises(TypeError, match="floating-point"):
        sparsify(torch.zeros(3, 8, dtype=torch.int64))
