"""The type that ``torch.set_default_dtype`` gives new tensors changes no number that is measured."""

from contextlib import contextmanager

import pytest
import torch
from torch import nn

from lightning_interactions import Columns, FeatureMapPatches, InputPatches, decay, explain, order_strength, sparsify
from lightning_interactions.callback.losses import mean_loss
from lightning_interactions.callback.samples import Samples
from lightning_interactions.distribution.conditions import conditions
from lightning_interactions.distribution.disentangle import disentangle
from lightning_interactions.distribution.emerged import fit_decay, fit_spindle
from lightning_interactions.distribution.similarity import similarity
from lightning_interactions.distribution.strength import high_order_share, mean_order, sample_order_strength
from lightning_interactions.masking.fgsm import fgsm
from lightning_interactions.masking.noise_floor import noise_floor
from lightning_interactions.masking.observe import observing
from lightning_interactions.masking.precision import weights_at
from lightning_interactions.masking.weight_noise import weight_noise

CLASSES = torch.tensor([0, 1, 2, 1])
PATCHES = FeatureMapPatches("1", grid=4, n_variables=3)
OTHERS = [torch.float64, torch.float16, torch.bfloat16]

others = pytest.mark.parametrize("other", OTHERS, ids=str)


@contextmanager
def by_default(dtype):
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(dtype)
        yield
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(before)


class Noting(nn.Sequential):
    """Notes the default type at every call; then does something to it, and may raise."""

    def __init__(self, *layers, change=None, error_at=None):
        super().__init__(*layers)
        self.noted, self.change, self.error_at = [], change, error_at

    def forward(self, x):
        self.noted.append(torch.get_default_dtype())
        if self.change is not None:
            torch.set_default_dtype(self.change)
        if len(self.noted) == self.error_at:
            raise OSError
        return super().forward(x)


class Starting(nn.Module):
    """A recurrent network that makes its first state itself, which must be of the type of its weights."""

    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.GRUCell(2, 5), nn.Linear(5, 3)

    def forward(self, x):
        state = torch.full((len(x), 5), 0.1)
        for step in x.split(2, dim=1):
            state = self.cell(step, state)
        return self.head(state)


def layers():
    return [
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(144, 3),
    ]


def make(cls, *arguments, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return cls(*(arguments or layers()), **options)


@pytest.fixture(autouse=True)
def _default_kept():
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def network():
    return make(nn.Sequential)


@pytest.fixture
def starting():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Starting()


@pytest.fixture
def images():
    return torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def rows(images):
    return images[:, 0, 0]


@pytest.fixture
def found():
    drawn = torch.rand(6, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return sparsify(drawn.cumsum(dim=1).sqrt(), 0.01)  # whose spindle peaks between the points of the grid


@others
@pytest.mark.parametrize("solver", ["interior_point", "admm", "sgd", "none"])
@pytest.mark.parametrize("variables", [PATCHES, InputPatches(grid=4, n_variables=3)], ids=repr)
def test_explaining_images(variables, solver, other, network, images):
    expected = explain(network, images, CLASSES, variables, solver=solver)
    with by_default(other):
        got = explain(network, images, CLASSES, variables, solver=solver)

    assert torch.equal(got.values, expected.values)
    assert torch.equal(got.and_, expected.and_)
    assert got.provenance == expected.provenance


@others
@pytest.mark.parametrize("baseline", ["mean", 0.5])
def test_explaining_a_table(baseline, other, starting, rows):
    expected = explain(starting, rows, CLASSES, Columns(4, baseline))
    with by_default(other):
        got = explain(starting, rows, CLASSES, Columns(4, baseline))

    assert torch.equal(got.values, expected.values)


@others
def test_many_variables(other, images):
    """More masks than float16 has numbers."""
    network, rows = make(nn.Linear, 20, 3), images.flatten(1)[:1, :20]
    expected = explain(network, rows, CLASSES[:1], Columns(17, 0.5), solver="none")
    with by_default(other):
        got = explain(network, rows, CLASSES[:1], Columns(17, 0.5), solver="none")

    assert torch.equal(got.values, expected.values)


@others
def test_losses(other, starting, rows):
    expected = mean_loss(starting, [Samples(rows, CLASSES)])
    with by_default(other):
        assert mean_loss(starting, [Samples(rows, CLASSES)]) == expected


@others
def test_gradient_steps(other, starting, rows):
    expected = fgsm(starting, rows, CLASSES, 0.1, bounds=(0.05, 0.9))
    with by_default(other):
        assert torch.equal(fgsm(starting, rows, CLASSES, 0.1, bounds=(0.05, 0.9)), expected)


@others
@pytest.mark.parametrize("relative", [False, True])
def test_disturbing_weights(relative, other, network):
    with weight_noise(network, 0.1, relative=relative):
        expected = network[0].weight.detach().clone()
    with by_default(other), weight_noise(network, 0.1, relative=relative):
        assert torch.equal(network[0].weight, expected)


@others
def test_what_rounding_looks_like(other, starting, rows):
    arguments = starting, rows, CLASSES, Columns(4, 0.5), Columns(4, 0.5).draw(rows)
    expected = noise_floor(*arguments)
    with by_default(other):
        assert noise_floor(*arguments) == expected


@others
@pytest.mark.parametrize(
    "measure",
    [
        conditions,
        lambda found: [found.strongest(sample) for sample in range(2)],
        lambda found: mean_order(*order_strength(found)),
        lambda found: high_order_share(*order_strength(found)),
        lambda found: [side.tolist() for side in decay(found.and_, found.or_, 0.1, gamma=2.0)],
        lambda found: disentangle(*sample_order_strength(found), found.rows([0, 1]), bootstraps=5),
        lambda found: [fit_spindle(*order_strength(found)), fit_decay(*order_strength(found), found)],
        lambda found: similarity(found.rows([0]), found.rows([1])).tolist(),
    ],
    ids=["conditions", "strongest", "mean_order", "high_order_share", "decay", "share", "shapes", "similarity"],
)
def test_what_effects_say(measure, other, found):
    expected = measure(found)
    with by_default(other):
        got = measure(found)
    assert repr(got) == repr(expected)  # which names types that are not the default


@others
def test_a_network_that_sets_it_in_its_forward(other, images):
    plain, setting = make(Noting), make(Noting, change=other)
    expected = explain(plain, images, CLASSES, PATCHES)
    got = explain(setting, images, CLASSES, PATCHES)

    assert torch.equal(got.values, expected.values)
    assert torch.equal(got.and_, expected.and_)
    assert torch.get_default_dtype() == torch.float32
    assert mean_loss(setting, [Samples(images, CLASSES)]) == mean_loss(plain, [Samples(images, CLASSES)])
    assert torch.get_default_dtype() == torch.float32
    assert torch.equal(fgsm(setting, images, CLASSES, 0.1), fgsm(plain, images, CLASSES, 0.1))
    assert torch.get_default_dtype() == torch.float32


@others
@pytest.mark.parametrize("error_at", [1, 6])
@pytest.mark.parametrize("process", [torch.float32, torch.float64], ids=str)
def test_it_is_as_before_also_after_a_fault(process, error_at, other, images):
    model = make(Noting, change=other, error_at=error_at)
    with by_default(process), pytest.raises(OSError):  # noqa: PT011
        explain(model, images, CLASSES, PATCHES, mask_batch_size=4)


@pytest.mark.parametrize("stored", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("precision", ["float32", "float64", "bf16"])
def test_what_a_network_makes_itself_has_the_type_of_its_weights(precision, stored, starting, rows):
    """As in the forward passes of a Trainer whose precision is true bfloat16 or float64."""
    starting = starting.to(stored)
    columns = Columns(4, 0.5)
    found = explain(starting, rows.to(stored), CLASSES, columns, precision=precision, solver="none")
    assert found.values.isfinite().all()
    assert mean_loss(starting, [Samples(rows.to(stored), CLASSES)]) > 0
    assert fgsm(starting, rows.to(stored), CLASSES, 0.1).dtype == stored


@pytest.mark.parametrize("fault", [False, True], ids=["ends well", "raises"])
@others
def test_blocks(fault, other):
    model = Noting(nn.Linear(2, 2)).bfloat16()
    try:
        with by_default(other), observing(model):
            assert torch.get_default_dtype() == torch.bfloat16
            with weights_at(model, "float64"):
                assert torch.get_default_dtype() == torch.float64
                torch.set_default_dtype(torch.float16)
                if fault:
                    raise ZeroDivisionError  # noqa: TRY301
            assert torch.get_default_dtype() == torch.bfloat16
    except ZeroDivisionError:
        assert fault
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize(("precision", "expected"), [("float32", torch.float32), ("float64", torch.float64)])
def test_a_network_without_weights(precision, expected):
    model = Noting(nn.Flatten())
    with by_default(torch.bfloat16):
        explain(model, torch.rand(4, 4, dtype=torch.float32), CLASSES, Columns(4, 0.5), precision=precision)
    assert set(model.noted) == {expected}
