"""Networks that Lightning Fabric has wrapped are measured as they were before it."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from lightning_interactions import FeatureMapPatches, explain
from lightning_interactions.callback.losses import mean_loss
from lightning_interactions.callback.samples import Samples
from lightning_interactions.masking.fgsm import fgsm, fgsm_embeddings
from lightning_interactions.masking.wrapped import unwrapped

PATCHES = FeatureMapPatches("0", grid=4, border=0, n_variables=3)


class Sentences(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(9, 4), nn.Linear(4, 3)

    def forward(self, ids):
        return self.head(self.embed(ids).mean(dim=1))


class Encoder(nn.Module):
    """Its logits come from a method of its own."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(8, 3)

    def forward(self, x):
        return self.body(x) + 1

    def encode(self, x):
        return self.body(x)


def convolutions():
    """Modules with numbers for names, in which those of a wrapper end, too."""
    inner = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), inner, nn.Flatten(), nn.Linear(256, 3)).train()


@pytest.fixture(params=["lightning.fabric", "lightning_fabric"])
def wrap(request):
    """Wrap a network as a training in bfloat16 does."""
    package = pytest.importorskip(request.param)
    fabric = package.Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    with torch.random.fork_rng():
        yield fabric.setup


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield convolutions()


@pytest.fixture
def batch():
    return torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 1])


def test_interactions_are_those_of_the_network_itself(wrap, network, batch):
    expected = explain(network, *batch, PATCHES)
    model = wrap(network)
    assert model(batch[0]).dtype == torch.float32
    found = explain(model, *batch, PATCHES)

    assert torch.equal(found.values, expected.values)
    assert torch.equal(found.and_, expected.and_)
    assert all(module.training for module in model.modules())


def test_so_is_the_loss(wrap, network, batch):
    expected = mean_loss(network, [Samples(*batch)])
    assert mean_loss(wrap(network), [Samples(*batch)]) == expected


def test_so_is_a_gradient_step(wrap, network, batch):
    expected = fgsm(network, *batch, 0.1)
    assert torch.equal(fgsm(wrap(network), *batch, 0.1), expected)


def test_so_is_one_on_embeddings_and_the_wrapper_runs_in_the_block(wrap, batch):
    network, ids = Sentences(), torch.tensor([[1, 2], [3, 4], [5, 6], [7, 8]])
    with fgsm_embeddings(network, {"ids": ids}, batch[1], 0.1, layer="embed") as moved:
        expected = network(**moved)
    model = wrap(network)
    with fgsm_embeddings(model, {"ids": ids}, batch[1], 0.1, layer="embed") as moved:
        assert torch.equal(network(**moved), expected)
        torch.testing.assert_close(model(**moved), expected, rtol=0.1, atol=0.1)


def test_methods_may_be_called_that_the_wrapper_refuses(wrap, batch):
    network, x = Encoder(), batch[0][:, 0, 0]
    expected = mean_loss(network, [Samples(x, batch[1])], forward=lambda model, inputs: model.encode(inputs))
    model = wrap(torch.compile(network))
    with pytest.raises(RuntimeError, match="encode"):
        model.encode(x)
    found = mean_loss(model, [Samples(x, batch[1])], forward=lambda model, inputs: model.encode(inputs))
    assert found == expected


def test_what_is_compiled_before_or_after(wrap, network):
    assert unwrapped(wrap(torch.compile(network))) is network
    assert unwrapped(torch.compile(wrap(network))) is network
    compiled = torch.compile(network)
    assert unwrapped(compiled) is compiled
    assert unwrapped(network) is network


def test_no_package_is_imported_to_find_out():
    code = (
        "import sys; from lightning_interactions.masking.wrapped import unwrapped; from torch import nn;"
        "before = set(sys.modules); unwrapped(nn.ReLU()); print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "[]"
