"""The whole way in one call: equal to its parts done by hand, and the network is left as it was."""

import random
import sys
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from lightning_interactions import (
    Columns,
    Draw,
    FeatureMapPatches,
    InputPatches,
    Interactions,
    Variables,
    explain,
    sparsify,
)
from lightning_interactions.masking.forward import values as masked_values

CLASSES = torch.tensor([0, 3, 1, 2])


class ImageNet(nn.Module):
    """Batch norm, dropout and in-place activations before and after the layer that is masked."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 6, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Dropout(0.3),
        )
        self.head = nn.Linear(6 * 36, 4)

    def forward(self, images):
        return self.head(self.features(images).flatten(1))


class Recorded(nn.Module):
    """A linear network that remembers nothing, but fails or gives NaN where it is told to."""

    def __init__(self, spoil):
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.spoil = spoil

    def forward(self, rows):
        return self.spoil(rows, self.linear(rows))


class FilledColumns(Columns):
    """Only rows whose first column is positive have variables."""

    def draw(self, inputs, seed=None):
        drawn = super().draw(inputs, seed)
        return [draw if row[0] > 0 else None for row, draw in zip(inputs, drawn, strict=True)]


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


@pytest.fixture
def image_net():
    return seeded(ImageNet).train()


@pytest.fixture
def mlp():
    return seeded(lambda: nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Dropout(0.3), nn.Linear(16, 4))).train()


@pytest.fixture
def images():
    return torch.randn(4, 1, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def rows():
    return torch.rand(4, 6, generator=torch.Generator().manual_seed(2)) + 0.1


@pytest.fixture(params=["image", "table"])
def case(request, image_net, mlp, images, rows):
    if request.param == "image":
        return image_net, images, FeatureMapPatches("features.4", grid=3, border=0, n_variables=4)
    return mlp, rows, Columns(n_variables=4, baseline=0.0)


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


def slow_table_values(model, rows, classes, found):
    """Log-odds of every masked row, one network call each; masked columns are 0."""
    model.eval()
    result = []
    for row, target, draw in zip(rows, classes.tolist(), found.provenance["draws"], strict=True):
        outputs = []
        for t in subsets(found.n_variables):
            masked = row.clone()
            for variable, (column,) in enumerate(draw["positions"]):
                if variable not in t:
                    masked[column] = 0.0
            p = torch.softmax(model(masked[None])[0].detach().double(), dim=0)[target]
            outputs.append(torch.log(p / (1 - p)).item())
        result.append(outputs)
    return torch.tensor(result, dtype=torch.float64)


def test_values_are_the_log_odds_of_the_masked_rows(mlp, rows):
    found = explain(mlp, rows, CLASSES, Columns(n_variables=4, baseline=0.0))

    torch.testing.assert_close(found.values, slow_table_values(mlp, rows, CLASSES, found), rtol=0, atol=1e-5)


def test_it_is_its_parts_done_by_hand(case):
    model, inputs, variables = case
    draws = variables.draw(inputs)
    values = masked_values(model, inputs, CLASSES, variables, draws)
    scale = sum(abs(row[-1] - row[0]) for row in values.tolist()) / 4
    expected = sparsify(values, 0.02 * scale)

    found = explain(model, inputs, CLASSES, variables)

    assert isinstance(found, Interactions)
    assert torch.equal(found.values, values)
    assert found.noise_bound.tolist() == pytest.approx([0.02 * scale] * 4, rel=1e-12)
    assert found.threshold == pytest.approx(0.02 * scale, rel=1e-12)
    torch.testing.assert_close(found.l1, expected.l1, rtol=1e-6, atol=0)
    torch.testing.assert_close(found.and_, expected.and_, rtol=0, atol=1e-6 * scale)
    torch.testing.assert_close(found.or_, expected.or_, rtol=0, atol=1e-6 * scale)


@pytest.mark.parametrize("solver", ["interior_point", "none"])
def test_universal_matching(case, solver):
    model, inputs, variables = case
    found = explain(model, inputs, CLASSES, variables, solver=solver)

    assert (found.noise_bound > 0).all()
    for row in range(4):
        assert max(matching_errors(found, row)) <= found.noise_bound[row].item() * (1 + 1e-9)


def test_without_noise_the_match_is_exact(case):
    model, inputs, variables = case
    found = explain(model, inputs, CLASSES, variables, noise_ratio=0.0)

    assert found.noise_bound.tolist() == [0.0] * 4
    for row in range(4):
        assert max(matching_errors(found, row)) <= 1e-9 * found.values[row].abs().max().item()


def test_settings_reach_the_solver(mlp, rows):
    found = explain(mlp, rows, CLASSES, Columns(3, baseline=0.0), solver="none", tolerance=1e-3, merge_order_one=False)

    assert [found.provenance[key] for key in ("solver", "tolerance", "merge_order_one")] == ["none", 1e-3, False]
    assert torch.equal(found.and_[:, 1], (found.values[:, 1] - found.values[:, 0]) / 2)


def test_provenance_says_what_was_explained(mlp, rows, tmp_path):
    columns = Columns(n_variables=4, baseline=0.0, names=list("abcdef"), seed=5)
    found = explain(mlp, rows, CLASSES, columns, noise_ratio=0.03)
    provenance = found.provenance

    assert provenance["variables"] == columns.provenance()
    assert provenance["variables"]["seed"] == 5
    assert provenance["draws"] == [draw.as_dict() for draw in columns.draw(rows)]
    assert (provenance["output"], provenance["noise_ratio"]) == ("log_odds", 0.03)
    assert (provenance["samples"], provenance["skipped"], provenance["dropped"]) == ([0, 1, 2, 3], [], [])
    assert found.variable_names(2) == columns.draw(rows)[2].names

    loaded = Interactions.load(found.save(tmp_path / "found.npz"))
    assert loaded.variable_names(2) == found.variable_names(2)
    assert loaded.provenance["draws"][2]["positions"] == [list(where) for where in columns.draw(rows)[2].positions]


def test_the_seed_replaces_that_of_the_variables(mlp, rows):
    found = explain(mlp, rows, CLASSES, Columns(3, baseline=0.0, seed=0), seed=7)
    own = explain(mlp, rows, CLASSES, Columns(3, baseline=0.0, seed=7))
    other = explain(mlp, rows, CLASSES, Columns(3, baseline=0.0, seed=0))

    assert found.provenance == own.provenance
    assert torch.equal(found.values, own.values)
    assert found.provenance["draws"] != other.provenance["draws"]


def test_the_same_call_gives_the_same_result(case):
    model, inputs, variables = case
    one, other = (explain(model, inputs, CLASSES, variables) for _ in range(2))

    for name in ("values", "and_", "or_", "l1", "gap", "noise_bound"):
        assert torch.equal(getattr(one, name), getattr(other, name))
    assert (one.threshold, one.provenance) == (other.threshold, other.provenance)


@pytest.mark.parametrize("mask_batch_size", [1, 7, 16, 50])
def test_the_mask_batch_size_does_not_show(case, mask_batch_size):
    model, inputs, variables = case
    model, inputs = model.double(), inputs.double()
    found = explain(model, inputs, CLASSES, variables, mask_batch_size=mask_batch_size)

    torch.testing.assert_close(found.values, explain(model, inputs, CLASSES, variables).values, rtol=1e-10, atol=1e-12)


def test_output_may_be_any_callable(mlp, rows):
    def second_logit(logits, _targets):
        return logits[:, 1]

    columns = Columns(6, baseline=0.0)
    found = explain(mlp, rows, CLASSES, columns, output=second_logit)

    assert found.provenance["output"] == "second_logit"
    torch.testing.assert_close(found.values[:, -1], mlp.eval()(rows)[:, 1].double().detach(), rtol=0, atol=1e-6)
    torch.testing.assert_close(
        found.values, explain(mlp, rows, [1, 1, 1, 1], columns, output="target_logit").values, rtol=0, atol=1e-6
    )


def test_the_forward_may_be_given(mlp, rows):
    found = explain(
        mlp, rows, CLASSES, Columns(3, baseline=0.0), output="target_logit", forward=lambda model, x: 2 * model(x)
    )
    plain = explain(mlp, rows, CLASSES, Columns(3, baseline=0.0), output="target_logit")

    torch.testing.assert_close(found.values, 2 * plain.values)


def test_an_output_of_ones_own_takes_several_labels_a_sample(mlp, rows):
    def of_true_labels(logits, labels):
        return (logits * labels).sum(dim=1)

    labels = torch.tensor([[1, 0, 0, 1], [0, 0, 0, 1], [1, 1, 1, 1], [0, 1, 1, 0]])
    found = explain(mlp, rows, labels, Columns(3, baseline=0.0), output=of_true_labels)

    expected = of_true_labels(mlp.eval()(rows).double(), labels).detach()
    torch.testing.assert_close(found.values[:, -1], expected, rtol=0, atol=1e-6)


def test_an_output_of_ones_own_takes_a_class_for_each_pixel(images):
    def of_true_pixels(logits, pixels):
        return logits.gather(1, pixels[:, None]).mean(dim=(1, 2, 3))

    network = nn.Conv2d(1, 3, 3, padding=1)
    pixels = torch.arange(4 * 36).reshape(4, 6, 6) % 3
    patches = InputPatches(grid=3, border=0, n_variables=3)
    found = explain(network, images, pixels, patches, output=of_true_pixels)

    expected = of_true_pixels(network(images).double(), pixels).detach()
    torch.testing.assert_close(found.values[:, -1], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(), (3,), (5, 4)])
def test_an_output_of_ones_own_needs_a_row_of_targets_a_sample(shape, mlp, rows):
    with pytest.raises(ValueError, match=r"`targets` must have one row for each of the 4 samples, got shape \("):
        explain(mlp, rows, torch.zeros(shape), Columns(3), output=lambda logits, _targets: logits[:, 0])


@pytest.mark.parametrize("shape", ["list", "column", "float"])
def test_targets_may_come_in_any_form(shape, mlp, rows):
    targets = {"list": CLASSES.tolist(), "column": CLASSES[:, None], "float": CLASSES.float()}[shape]
    expected = explain(mlp, rows, CLASSES, Columns(3, baseline=0.0))

    assert torch.equal(explain(mlp, rows, targets, Columns(3, baseline=0.0)).values, expected.values)


def test_numbers_of_numpy_are_numbers(images, tmp_path):
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 4))
    patches = InputPatches(grid=np.int64(3), border=np.int64(0), n_variables=np.int64(3), seed=np.int64(1))
    found = explain(network, images, CLASSES, patches, noise_ratio=np.float32(0.5), seed=np.int64(2))

    assert Interactions.load(found.save(tmp_path / "found.npz")).provenance == found.provenance
    assert type(patches.grid) is type(patches.border) is type(patches.seed) is int


def test_samples_with_too_few_variables_are_skipped_and_named(mlp, rows):
    rows[1, 0] = rows[2, 0] = -1.0
    found = explain(mlp, rows, CLASSES, FilledColumns(3, baseline=0.0))
    alone = explain(mlp, rows[[0, 3]], CLASSES[[0, 3]], Columns(3, baseline=0.0))

    assert (found.provenance["samples"], found.provenance["skipped"], found.provenance["dropped"]) == (
        [0, 3],
        [1, 2],
        [],
    )
    assert found.provenance["draws"] == alone.provenance["draws"]
    torch.testing.assert_close(found.values, alone.values)
    assert found.threshold == pytest.approx(alone.threshold, rel=1e-6)


def test_no_sample_with_enough_variables_is_an_error(mlp, rows):
    with pytest.raises(ValueError, match="None of the 4 samples has 3 input variables"):
        explain(mlp, -rows, CLASSES, FilledColumns(3, baseline=0.0))


def nan_where_large(rows, logits):
    return torch.where(rows[:, :1] > 5, torch.nan, logits)


def infinite_where_large(rows, logits):
    return torch.where(rows[:, :1] > 5, torch.inf, logits)


@pytest.mark.parametrize("spoil", [nan_where_large, infinite_where_large])
def test_a_sample_with_an_output_that_is_not_finite_is_dropped_with_one_warning(spoil):
    model = seeded(lambda: Recorded(spoil))
    rows = torch.tensor([[0.5, 1.0, 2.0], [9.0, 1.0, 1.0], [-1.0, 0.0, 0.0], [0.3, 0.2, 0.1]])
    rows[2, 0] = -1.0  # too few variables
    with pytest.warns(UserWarning, match="masked versions of 1 of 3 samples") as caught:
        found = explain(model, rows, CLASSES, FilledColumns(3, baseline=0.0))

    assert len(caught) == 1
    assert caught[0].filename == __file__
    provenance = found.provenance
    assert (provenance["samples"], provenance["skipped"], provenance["dropped"]) == ([0, 3], [2], [1])
    alone = explain(model, rows[[0, 3]], CLASSES[[0, 3]], Columns(3, baseline=0.0))
    assert len(provenance["draws"]) == len(found) == 2
    torch.testing.assert_close(found.values, alone.values)
    assert found.threshold == pytest.approx(alone.threshold, rel=1e-6)  # the bad sample has no say in the scale
    assert found.noise_bound.tolist() == pytest.approx(alone.noise_bound.tolist(), rel=1e-6)


def test_an_output_that_is_finite_nowhere_is_an_error():
    model = seeded(lambda: Recorded(nan_where_large))
    with pytest.raises(FloatingPointError, match="all 4 samples"):
        explain(model, torch.full((4, 3), 9.0), CLASSES, Columns(3, baseline=0.0))


def test_no_warning_where_all_is_well(case):
    model, inputs, variables = case
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explain(model, inputs, CLASSES, variables)


@pytest.mark.parametrize("noise_ratio", [-0.01, float("nan"), float("inf")])
def test_a_noise_ratio_that_is_none_is_refused(noise_ratio, mlp, rows):
    with pytest.raises(ValueError, match="`noise_ratio` must be"):
        explain(mlp, rows, CLASSES, Columns(3), noise_ratio=noise_ratio)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (torch.tensor([0, 1]), r"`targets` must hold one true class for each of the 4 samples, got shape \(2,\)"),
        (torch.zeros(4, 4), r"`targets` must hold one true class for each of the 4 samples, got shape \(4, 4\)"),
        (torch.tensor([0, 1, 2, 4]), r"class indices 0 … 3, because the network has 4 classes, got \[4"),
        (torch.tensor([0, 1, 2, -1]), r"class indices 0 … 3, because the network has 4 classes, got \[-1"),
        (torch.tensor([0, 1, 2, 0.5]), r"class indices 0 … 3"),
    ],
)
def test_targets_that_do_not_fit_are_refused(targets, message, mlp, rows):
    with pytest.raises(ValueError, match=message):
        explain(mlp, rows, targets, Columns(3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"output": "probability"}, "`output` must be one of"),
        ({"solver": "newton"}, "`solver` must be one of"),
        ({"mask_batch_size": 0}, "`mask_batch_size` must be a whole number, at least 1"),
        ({"tolerance": -1.0}, "`tolerance`"),
        ({"output": lambda logits, _: logits}, "`output` must return one number"),
    ],
)
def test_settings_that_do_not_fit_are_refused(arguments, message, mlp, rows):
    with pytest.raises(ValueError, match=message):
        explain(mlp, rows, CLASSES, Columns(3), **arguments)


@pytest.mark.parametrize("n", [21, 0, -1])
@pytest.mark.parametrize("kind", [Columns, lambda n: FeatureMapPatches("features.4", n_variables=n)])
def test_a_number_of_variables_out_of_range_is_refused(kind, n):
    with pytest.raises(ValueError, match=r"`n_variables` must lie in 1 … 20, got"):
        kind(n)


def test_an_unknown_layer_is_refused_with_near_names(image_net, images):
    with pytest.raises(ValueError, match=r"'features\.44'.*'features\.4'"):
        explain(image_net, images, CLASSES, FeatureMapPatches("features.44", grid=3, border=0, n_variables=4))


def test_a_layer_without_a_map_is_refused(image_net, images):
    with pytest.raises(ValueError, match=r"\(B, C, H, W\)"):
        explain(image_net, images, CLASSES, FeatureMapPatches("head", grid=3, border=0, n_variables=4))


def test_progress_runs_up_to_all_samples(case):
    model, inputs, variables = case
    for mask_batch_size in (5, 16, 32, None):
        calls = []
        explain(
            model,
            inputs,
            CLASSES,
            variables,
            solver="none",
            mask_batch_size=mask_batch_size,
            progress=lambda *call, calls=calls: calls.append(call),
        )

        assert calls[-1] == (4, 4)
        assert [total for _, total in calls] == [4] * len(calls)
        assert [done for done, _ in calls] == sorted({done for done, _ in calls})


def test_progress_counts_only_samples_that_have_variables(mlp, rows):
    rows[1, 0] = -1.0
    calls = []
    explain(mlp, rows, CLASSES, FilledColumns(3, baseline=0.0), progress=lambda *call: calls.append(call))

    assert calls[-1] == (3, 3)


def state_of(model):
    """Everything that an onlooker might change."""
    return {
        "tensors": {name: (tensor.clone(), tensor.data_ptr()) for name, tensor in model.state_dict().items()},
        "gradients": [(p.grad, p.requires_grad) for p in model.parameters()],
        "flags": [module.training for module in model.modules()],
        "hooks": [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
        "random": (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()),  # noqa: NPY002
        "modes": (torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"), torch.get_float32_matmul_precision()),
    }


def assert_unchanged(model, before):
    after = state_of(model)
    for name, (tensor, address) in before["tensors"].items():
        assert torch.equal(tensor, after["tensors"][name][0])
        assert address == after["tensors"][name][1]
    for key in ("gradients", "flags", "hooks", "modes"):
        assert before[key] == after[key]
    assert torch.equal(before["random"][0], after["random"][0])
    assert (before["random"][1] == after["random"][1]).all()
    assert before["random"][2] == after["random"][2]


def test_the_model_is_left_as_it_was(case):
    model, inputs, variables = case
    next(model.children()).eval()  # a frozen part
    before = state_of(model)
    kept = inputs.clone()
    with torch.autocast("cpu"):
        explain(model, inputs, CLASSES, variables)

    assert_unchanged(model, before)
    assert torch.equal(inputs, kept)


class BreaksLate(nn.Module):
    """Draws random numbers and raises in its second forward pass."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.calls = 0

    def forward(self, rows):
        self.calls += 1
        torch.rand(3)
        random.random()  # noqa: S311  # the global states are the point
        np.random.rand()  # noqa: NPY002
        if self.calls > 1:
            msg = "broken"
            raise ArithmeticError(msg)
        return self.inner(rows)


def test_the_model_is_left_as_it_was_also_when_it_raises(mlp, rows):
    model = BreaksLate(mlp).train()
    mlp[2].eval()
    before = state_of(model)
    with pytest.raises(ArithmeticError, match="broken"):
        explain(model, rows, CLASSES, Columns(3, baseline=0.0), mask_batch_size=8)

    assert model.calls > 1
    assert_unchanged(model, before)


def test_the_model_is_left_as_it_was_also_when_the_targets_are_wrong(image_net, images):
    before = state_of(image_net)
    with pytest.raises(ValueError, match="class indices"):
        explain(image_net, images, CLASSES + 1, FeatureMapPatches("features.4", grid=3, border=0, n_variables=4))

    assert_unchanged(image_net, before)


class Halves(Variables):
    """A kind of variable of the user's own: the left and the right half of a row."""

    def __init__(self):
        super().__init__(2)

    def draw(self, inputs, seed=None):  # noqa: ARG002  # the protocol's signature
        return [Draw(positions=((0,), (1,)), names=("left", "right"), baseline=(0.0,)) for _ in inputs]

    def mask(self, target, draws, masks):  # noqa: ARG002
        width = target.shape[1] // 2
        return (target[:, None] * masks.repeat_interleave(width, dim=1)).flatten(0, 1)


def test_the_protocol_is_enough_for_a_new_kind_of_variable(rows):
    found = explain(lambda_module(lambda x: x.sum(dim=1)), rows, torch.ones(4), Halves(), noise_ratio=0.0)

    # One logit and true class 1: v is the logit.
    left, right = rows[:, :3].sum(dim=1), rows[:, 3:].sum(dim=1)
    expected = torch.stack([torch.zeros(4), left, right, left + right], dim=1).double()
    torch.testing.assert_close(found.values, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.l1, (left + right).double(), rtol=0, atol=1e-5)
    assert found.variable_names(0) == ("left", "right")


def lambda_module(function):
    class Function(nn.Module):
        def forward(self, x):
            return function(x)

    return Function()


# Starting from an earlier explanation.


@pytest.fixture
def solver_calls(monkeypatch):
    """What the solver was called with."""
    module = sys.modules["lightning_interactions.explain"]
    calls, sparsify = [], module.sparsify

    def spy(*arguments, **options):
        calls.append(options)
        return sparsify(*arguments, **options)

    monkeypatch.setattr(module, "sparsify", spy)
    return calls


def test_admm_starts_from_an_earlier_explanation(solver_calls, image_net, images):
    variables = InputPatches(grid=4, border=0, n_variables=6)
    first = explain(image_net, images, CLASSES, variables, solver="admm")
    second = explain(image_net, images, CLASSES, variables, solver="admm", warm_start=first)
    assert "warm_start" not in solver_calls[0]
    assert torch.equal(solver_calls[1]["warm_start"].duals, first.duals)
    torch.testing.assert_close(second.l1, first.l1, rtol=0.02, atol=0)
    assert (second.gap <= first.gap + 1e-12).all()


def in_two_parts(samples, work):
    return [work(samples[:2]), work(samples[2:])]


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [2, 0, 3, 1]])
def test_every_part_of_the_samples_starts_from_its_own(order, solver_calls, image_net, images):
    variables = InputPatches(grid=4, border=0, n_variables=6)
    first = explain(image_net, images, CLASSES, variables, solver="admm")
    solver_calls.clear()
    earlier = first.rows(order)
    explain(image_net, images, CLASSES, variables, solver="admm", warm_start=earlier, share_out=in_two_parts)
    assert torch.equal(torch.cat([call["warm_start"].duals for call in solver_calls]), first.duals)
    assert [len(call["warm_start"]) for call in solver_calls] == [2, len(images) - 2]


@pytest.mark.parametrize("change", ["solver", "samples", "variables", "from a file"])
def test_what_does_not_fit_is_no_start(change, solver_calls, image_net, images, tmp_path):
    variables = InputPatches(grid=4, border=0, n_variables=6)
    first = explain(image_net, images, CLASSES, variables, solver="admm")
    targets, options = CLASSES, {"solver": "interior_point" if change == "solver" else "admm", "warm_start": first}
    if change == "samples":
        images, targets = images[1:], targets[1:]
    if change == "variables":
        options["seed"] = 1
    if change == "from a file":
        options["warm_start"] = Interactions.load(first.save(tmp_path / "first.npz"))
    explain(image_net, images, targets, variables, **options)
    assert "warm_start" not in solver_calls[-1]
