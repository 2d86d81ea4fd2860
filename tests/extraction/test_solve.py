import inspect
import json
import sys
from pathlib import Path

import pytest
import torch

from lightning_interactions import lattice
from lightning_interactions.extraction.admm import admm
from lightning_interactions.extraction.interior_point import interior_point
from lightning_interactions.extraction.sgd import sgd
from lightning_interactions.extraction.solve import OPTIONS, SOLVERS, resolve_solver, solve

solve_module = sys.modules[solve.__module__]
BENCHMARKS = Path(__file__).parents[2] / "benchmarks" / "results"
VALUES = torch.tensor([[1.0, 3.0, 4.0, 10.0], [0.0, 1.0, 1.0, 1.0]])
QUICK = {"interior_point": {}, "admm": {}, "sgd": {"steps": 5}, "none": {}}


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n", [1, 2, 4])
@pytest.mark.parametrize("samples", [0, 1, 3])
def test_shapes_and_types(solver, n, samples):
    values = torch.randn(samples, 2**n, generator=torch.Generator().manual_seed(0))
    solution = solve(values, 0.01, solver, **QUICK[solver])
    assert solution.and_.shape == solution.or_.shape == (samples, 2**n)
    assert solution.l1.shape == solution.gap.shape == solution.noise.shape == solution.iterations.shape == (samples,)
    assert {solution.and_.dtype, solution.or_.dtype, solution.l1.dtype, solution.gap.dtype} == {torch.float64}
    assert solution.noise.dtype == torch.float64
    assert solution.iterations.dtype == torch.int64


@pytest.mark.parametrize("solver", SOLVERS)
def test_arguments_are_left_alone(solver):
    values, noise_bound = VALUES.double(), torch.tensor([0.1, 0.2], dtype=torch.float64)
    before = values.clone(), noise_bound.clone()
    solve(values, noise_bound, solver, **QUICK[solver])
    assert torch.equal(values, before[0])
    assert torch.equal(noise_bound, before[1])


@pytest.mark.parametrize("solver", SOLVERS)
def test_order_one_is_merged_by_default(solver):
    solution = solve(VALUES, solver=solver, **QUICK[solver])
    assert not solution.or_[:, [1, 2]].any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_floating_point_type(dtype):
    torch.testing.assert_close(solve(VALUES.to(dtype)).l1, torch.tensor([9.0, 1.0], dtype=torch.float64))


def test_noise_bound_per_sample():
    solution = solve(VALUES, torch.tensor([0.0, 2.0]))
    torch.testing.assert_close(solution.l1, torch.tensor([9.0, 0.0], dtype=torch.float64))


@pytest.mark.parametrize(
    ("arguments", "named", "got"),
    [
        ({"values": torch.zeros(3, 6)}, "`values`", r"\(3, 6\)"),
        ({"values": torch.zeros(3, 1)}, "`values`", r"\(3, 1\)"),
        ({"values": torch.zeros(4)}, "`values`", r"\(4,\)"),
        ({"values": torch.zeros(1, 3, 4)}, "`values`", r"\(1, 3, 4\)"),
        ({"values": torch.tensor([[0.0, 1.0], [0.0, torch.nan]])}, "`values`", "sample 1"),
        ({"values": torch.tensor([[torch.inf, 1.0]])}, "`values`", "sample 0"),
        ({"noise_bound": -0.1}, "`noise_bound`", "-0.1"),
        ({"noise_bound": float("nan")}, "`noise_bound`", "nan"),
        ({"noise_bound": torch.tensor([0.1, torch.inf])}, "`noise_bound`", "inf"),
        ({"noise_bound": torch.tensor([0.1, -2.0])}, "`noise_bound`", "-2.0"),
        ({"noise_bound": torch.zeros(3)}, "`noise_bound`", r"\(3,\)"),
        ({"noise_bound": torch.zeros(2, 1)}, "`noise_bound`", r"\(2, 1\)"),
        ({"solver": "simplex"}, "`solver`", "'simplex'"),
        ({"tolerance": 0.0}, "`tolerance`", "0.0"),
        ({"tolerance": -1e-6}, "`tolerance`", "-1e-06"),
        ({"tolerance": float("nan")}, "`tolerance`", "nan"),
    ],
)
def test_bad_input_is_named_with_a_hint(arguments, named, got):
    with pytest.raises(ValueError, match=rf"(?s){named}.*{got}.*HINT"):
        solve(**{"values": VALUES, **arguments})


def test_an_unknown_solver_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="'interior_point', 'sgd', 'none'"):
        solve(VALUES, solver="admm2")


def test_integer_values_are_refused():
    with pytest.raises(TypeError, match=r"`values`.*int64.*HINT"):
        solve(torch.zeros(2, 4, dtype=torch.int64))


@pytest.mark.parametrize(
    ("solver", "option", "message"),
    [
        ("interior_point", "steps", "takes 'tie_break', 'max_iterations', 'max_memory_mb'. HINT: 'sgd' can take it."),
        ("auto", "target_gap", "solver='interior_point', which .*HINT: 'admm' can take it."),
        ("none", "stepps", "takes no options. HINT: check the spelling."),
    ],
)
def test_an_option_of_another_solver_is_refused(solver, option, message):
    with pytest.raises(TypeError, match=f"`{option}` is no option of .*{message}"):
        solve(VALUES, solver=solver, **{option: 3})


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_options_of_a_solver_are_those_it_takes(solver):
    method = {"interior_point": interior_point, "admm": admm, "sgd": sgd}
    parameters = inspect.signature(method[solver]).parameters.values() if solver in method else ()
    taken = {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY} - {"tolerance"}
    assert set(OPTIONS[solver]) - {"tie_break"} == taken - {"tie_break"}


@pytest.mark.parametrize(
    ("n", "samples", "chosen"),
    [
        (1, 10_000, "interior_point"),
        (8, 50, "interior_point"),
        (10, 50, "interior_point"),
        (10, 461, "interior_point"),
        (10, 462, "admm"),
        (11, 70, "interior_point"),
        (11, 71, "admm"),
        (12, 10, "interior_point"),
        (12, 1, "interior_point"),
        (12, 50, "admm"),
        (13, 1, "interior_point"),
        (13, 2, "admm"),
        (14, 1, "admm"),
        (16, 1, "admm"),
    ],
)
def test_auto_goes_by_what_the_exact_solution_of_all_samples_costs(n, samples, chosen):
    assert resolve_solver("auto", n, samples) == chosen


def test_a_device_that_has_not_been_measured_counts_as_a_cpu():
    for n, samples in ((10, 461), (10, 462), (13, 1), (14, 1)):
        assert resolve_solver("auto", n, samples, "cuda") == resolve_solver("auto", n, samples)


def test_auto_goes_by_the_device(monkeypatch):
    monkeypatch.setitem(solve_module._EXACT_SECONDS, "cuda", {8: 1e-3, 10: 1e-2, 12: 0.1})
    assert resolve_solver("auto", 12, 500, "cuda") == "interior_point"
    assert resolve_solver("auto", 12, 500, "cpu") == "admm"


def test_auto_knows_at_least_what_the_benchmark_measured():
    measured = json.loads((BENCHMARKS / "extraction_cpu.json").read_text())["rows"]
    for row in measured:
        if row["solver"] == "interior_point" and row["n"] in solve_module._EXACT_SECONDS["cpu"]:
            assert row["s_per_sample"] <= solve_module._EXACT_SECONDS["cpu"][row["n"]] * 1.01


@pytest.mark.parametrize(("n", "samples", "chosen"), [(3, 1, "interior_point"), (12, 11, "admm")])
def test_auto_is_the_solver_that_it_chooses(n, samples, chosen):
    generator = torch.Generator().manual_seed(n)
    few = torch.rand(samples, 2**n, generator=generator) < 4 / 2**n
    values = lattice.values_from_and(torch.where(few, 1.0, 0.0))
    automatic, named = (solve(values, 0.01, solver) for solver in ("auto", chosen))
    assert torch.equal(automatic.and_, named.and_)
    assert torch.equal(automatic.iterations, named.iterations)


def test_float32_products_are_full_inside_a_solver_and_as_before_afterwards(monkeypatch):
    solver, seen = SOLVERS["admm"], []

    def spy(*arguments, **options):
        seen.append(torch.get_float32_matmul_precision())
        return solver(*arguments, **options)

    monkeypatch.setitem(SOLVERS, "admm", spy)
    before = torch.get_float32_matmul_precision()
    # As Lightning advises on GPUs.
    torch.set_float32_matmul_precision("medium")
    try:
        solve(torch.rand(2, 8, dtype=torch.float64), solver="admm")
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert seen == ["highest"]


@pytest.mark.parametrize(
    ("solver", "options", "error"),
    [
        ("interior_point", {"max_memory_mb": -5}, "`max_memory_mb` must be a whole number, at least 0, got -5"),
        ("interior_point", {"max_iterations": -1}, "`max_iterations` must be a whole number, at least 0, got -1"),
        ("interior_point", {"max_iterations": "a"}, "`max_iterations` must be a whole number, at least 0, got 'a'"),
        ("admm", {"max_iterations": 2.5}, "`max_iterations` must be a whole number, at least 1, got 2.5"),
        ("admm", {"max_memory_mb": -1}, "`max_memory_mb` must be a whole number, at least 0, got -1"),
        ("sgd", {"steps": 0}, "`steps` must be a whole number, at least 1, got 0"),
        ("sgd", {"learning_rate": -1.0}, "`learning_rate` must be a positive number, got -1.0"),
        ("sgd", {"learning_rate": float("nan")}, "`learning_rate` must be a positive number, got nan"),
    ],
)
def test_options_that_no_solver_can_follow_are_named(solver, options, error):
    with pytest.raises((ValueError, TypeError), match=error):
        solve(torch.rand(1, 8, generator=torch.Generator().manual_seed(0)), 0.0, solver, **options)


def test_values_whose_difference_overflows_are_refused():
    values = torch.tensor([[1.7e308, -1.7e308]], dtype=torch.float64)
    with pytest.raises(ValueError, match=r"numbers that float64 can hold, got a difference of 1.7e.308 and -1.7e.308"):
        solve(values)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_effects_that_are_not_finite_have_no_certificate():
    effects = solve(torch.rand(1, 8), 0.0, "sgd", steps=50, learning_rate=1e308)

    assert not effects.l1.isfinite().all()
    assert effects.gap.isnan().all()
