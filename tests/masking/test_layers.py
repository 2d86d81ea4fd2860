"""Finding a layer, and replacing what it puts out."""

import pytest
import torch
from torch import nn

from lightning_interactions.masking.feature_map import FeatureMapPatches
from lightning_interactions.masking.forward import values
from lightning_interactions.masking.layers import find_layer, run_with_output


@pytest.fixture
def network():
    block = nn.ModuleDict({"conv1": nn.Conv2d(1, 1, 1), "relu": nn.ReLU()})
    other = nn.ModuleDict({"conv1": nn.Conv2d(1, 1, 1)})
    return nn.ModuleDict({"layer1": block, "layer2": other})


@pytest.mark.parametrize(
    ("name", "full"), [("layer1.relu", "layer1.relu"), ("relu", "layer1.relu"), ("layer2", "layer2")]
)
def test_a_layer_is_found_by_its_name_or_its_unique_end(name, full, network):
    assert find_layer(network, name) is network.get_submodule(full)


def test_a_full_name_wins_over_the_end_of_another(network):
    outer = nn.ModuleDict({"relu": nn.ReLU(), "inner": network})

    assert find_layer(outer, "relu") is outer["relu"]


def test_an_ambiguous_name_is_refused_with_the_candidates(network):
    with pytest.raises(ValueError, match=r"'conv1' is the end of several.*'layer1\.conv1', 'layer2\.conv1'"):
        find_layer(network, "conv1")


@pytest.mark.parametrize("name", ["layer1.rely", "elu", "layer3", ""])
def test_an_unknown_name_is_refused_with_near_names(name, network):
    with pytest.raises(ValueError, match=rf"Layer '{name}' is no module of the network\. Near names: '.*layer1"):
        find_layer(network, name)


@pytest.fixture
def aliased():
    network = nn.Module()
    network.stem = nn.Conv2d(1, 1, 1)
    network.body = nn.Sequential(network.stem, nn.ReLU())
    return network


@pytest.mark.parametrize("name", ["stem", "body.0", "0"])
def test_a_module_with_two_names_is_found_by_each(name, aliased):
    assert find_layer(aliased, name) is aliased.stem


def test_an_end_that_two_names_of_one_module_share_is_unique(aliased):
    outer = nn.ModuleDict({"one": aliased, "other": aliased})

    assert find_layer(outer, "stem") is aliased.stem


def test_only_whole_parts_of_a_name_match():
    with pytest.raises(ValueError, match="is no module"):
        find_layer(nn.ModuleDict({"block12": nn.ModuleDict({"relu": nn.ReLU()})}), "2.relu")


def test_the_hook_is_gone_afterwards():
    layer = nn.ReLU()
    replaced = run_with_output(layer, lambda output: output + 1, lambda: layer(torch.zeros(2)))

    assert replaced.tolist() == [1, 1]
    assert layer(torch.zeros(2)).tolist() == [0, 0]


class Repeated(nn.Module):
    """Uses ``act`` as often as told and never uses ``spare``."""

    def __init__(self, times):
        super().__init__()
        self.act, self.spare, self.times = nn.Tanh(), nn.Tanh(), times

    def forward(self, x):
        for _ in range(self.times):
            x = self.act(x)
        return x.mean(dim=(2, 3))


@pytest.mark.parametrize("mask_batch_size", [1, 3, None])
@pytest.mark.parametrize(
    ("layer", "times", "message"),
    [("act", 2, "ran more than once"), ("act", 3, "more than once"), ("spare", 1, "never")],
)
def test_a_layer_that_does_not_run_exactly_once_is_refused(layer, times, message, mask_batch_size, images, classes):
    model = Repeated(times)
    patches = FeatureMapPatches(layer, grid=4, border=0, n_variables=2)

    with pytest.raises(ValueError, match=message):
        values(model, images, classes % 3, patches, patches.draw(images), mask_batch_size=mask_batch_size)
    assert not model.act._forward_hooks
    assert not model.spare._forward_hooks


@pytest.mark.parametrize("name", ["body.0", "body._orig_mod.0", "_orig_mod.body.0"])
def test_what_compilation_adds_to_names_may_be_left_out(name):
    inner = nn.ReLU()
    network = nn.ModuleDict({"body": torch.compile(nn.Sequential(inner), backend="eager")})
    assert find_layer(torch.compile(network, backend="eager"), name) is inner
