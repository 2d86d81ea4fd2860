"""Where ``torch.set_default_device`` puts new tensors does not matter; the meta device stands in for a GPU."""

import pytest
import torch
from torch import nn

from lightning_interactions import Columns, FeatureMapPatches, InputPatches, decay, explain, order_strength, sparsify
from lightning_interactions.distribution.conditions import conditions
from lightning_interactions.distribution.disentangle import disentangle
from lightning_interactions.distribution.emerged import fit_decay, fit_spindle
from lightning_interactions.distribution.similarity import similarity
from lightning_interactions.distribution.strength import high_order_share, mean_order, sample_order_strength
from lightning_interactions.masking.noise_floor import noise_floor
from lightning_interactions.masking.weight_noise import weight_noise

CLASSES = torch.tensor([0, 1, 2, 1])


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
        )


@pytest.fixture
def images():
    return torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def found():
    return sparsify(torch.rand(2, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("solver", ["interior_point", "admm", "none"])
@pytest.mark.parametrize(
    "variables", [FeatureMapPatches("1", grid=4, n_variables=3), InputPatches(grid=4, n_variables=3)], ids=repr
)
def test_explaining_images(variables, solver, network, images):
    expected = explain(network, images, CLASSES, variables, solver=solver)
    with torch.device("meta"):
        got = explain(network, images, CLASSES, variables, solver=solver)

    assert torch.equal(got.values, expected.values)
    assert torch.equal(got.and_, expected.and_)
    assert got.provenance == expected.provenance


@pytest.mark.parametrize("baseline", ["mean", 0.5])
def test_explaining_a_table(baseline, images):
    network, rows = nn.Linear(8, 3), images[:, 0, 0]
    expected = explain(network, rows, CLASSES, Columns(4, baseline))
    with torch.device("meta"):
        got = explain(network, rows, CLASSES.tolist(), Columns(4, baseline))

    assert torch.equal(got.values, expected.values)


def test_disturbing_weights(network):
    with weight_noise(network, 0.1):
        expected = network[0].weight.detach().clone()
    with torch.device("meta"), weight_noise(network, 0.1):
        assert torch.equal(network[0].weight, expected)


def test_what_rounding_looks_like(network, images):
    patches = InputPatches(grid=4, n_variables=3)
    arguments = network, images, CLASSES, patches, patches.draw(images)
    expected = noise_floor(*arguments)
    with torch.device("meta"):
        assert noise_floor(*arguments) == expected


@pytest.mark.parametrize(
    "measure",
    [
        lambda found: repr(conditions(found)),
        lambda found: [found.strongest(sample) for sample in range(2)],
        lambda found: mean_order(*order_strength(found)),
        lambda found: high_order_share(*order_strength(found)),
        lambda found: [side.tolist() for side in decay(found.and_, found.or_, 0.1, gamma=2.0)],
        lambda found: repr(disentangle(*sample_order_strength(found), found.rows([0]), bootstraps=5)),
        lambda found: repr([fit_spindle(*order_strength(found)), fit_decay(*order_strength(found), found)]),
        lambda found: similarity(found.rows([0]), found.rows([1])).tolist(),
    ],
    ids=["conditions", "strongest", "mean_order", "high_order_share", "decay", "share", "shapes", "similarity"],
)
def test_what_effects_say(measure, found):
    expected = measure(found)
    with torch.device("meta"):
        assert measure(found) == expected
