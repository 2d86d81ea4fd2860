"""FeatureMapPatches against a network split by hand, one masked map at a time."""

import pytest
import torch
from torch import nn

from lightning_interactions.masking.feature_map import FeatureMapPatches
from lightning_interactions.masking.forward import values
from lightning_interactions.masking.outputs import log_odds


@pytest.fixture
def slow_values(slow_mask, slow_log_odds):
    """Run prefix, mask and suffix by hand: each subset of each sample on its own."""

    def compute(model, depth, images, classes, patches, draws):
        model.eval()
        rows = []
        with torch.no_grad():
            for image, target, draw in zip(images, classes, draws, strict=True):
                feature_map = model.features[:depth](image[None].clone())[0]
                row = []
                for subset in range(2**patches.n_variables):
                    baseline = draw.baseline if len(draw.baseline) > 1 else draw.baseline[0]
                    masked = slow_mask(feature_map, draw.positions, subset, patches.grid, baseline)
                    logits = model.head(model.features[depth:](masked[None]))[0]
                    row.append(slow_log_odds(logits, target))
                rows.append(row)
        model.train()
        return torch.tensor(rows, dtype=torch.float64)

    return compute


@pytest.mark.parametrize(
    ("depth", "grid", "border", "n_variables", "baseline"),
    [
        (1, 3, 0, 4, 0.0),
        (3, 4, 1, 4, 0.0),
        (4, 4, 0, 3, 0.7),
        (5, 5, 1, 5, (0.5, -1.0, 2.0, 0.0, 0.25)),
        (8, 2, 0, 4, 0.0),
    ],
    ids=["conv", "after in-place ReLU", "before in-place ReLU", "baseline per channel", "last map"],
)
def test_values_are_those_of_the_network_split_by_hand(
    depth, grid, border, n_variables, baseline, make_conv_net, images, classes, slow_values
):
    model = make_conv_net(images)
    patches = FeatureMapPatches(f"features.{depth - 1}", grid, border, n_variables, baseline)
    draws = patches.draw(images)

    expected = slow_values(model, depth, images, classes, patches, draws)
    torch.testing.assert_close(values(model, images, classes, patches, draws), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mask_batch_size", [1, 3, 7, 64])
def test_mask_batch_size_does_not_change_the_values(mask_batch_size, make_conv_net, images, classes):
    model = make_conv_net(images)
    patches = FeatureMapPatches("features.4", grid=4, border=0, n_variables=4)
    draws = patches.draw(images)
    usual = values(model, images, classes, patches, draws)

    other = values(model, images, classes, patches, draws, mask_batch_size=mask_batch_size)
    torch.testing.assert_close(other, usual, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mask_batch_size", [1, 7, None])
def test_a_network_that_changes_its_input_sees_the_same_input_in_every_chunk(mask_batch_size, images, classes):
    class Shift(nn.Module):
        def forward(self, x):
            return x.mul_(0.5).sub_(0.1)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(Shift(), nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(4)).double()
        model(images.clone())
    before = images.clone()
    patches = FeatureMapPatches("1", grid=3, border=0, n_variables=4)
    found = values(model, images, classes, patches, patches.draw(images), mask_batch_size=mask_batch_size)

    assert torch.equal(images, before)
    nothing_masked = log_odds(model.eval()(images.clone()), classes)
    torch.testing.assert_close(found[:, -1], nothing_masked.detach())


@pytest.mark.parametrize(("n_samples", "n_variables"), [(5, 3), (5, 8), (2, 10)])
def test_what_lies_before_the_layer_runs_once_a_sample(n_samples, n_variables, make_conv_net, images, classes):
    images, classes = images[:n_samples], classes[:n_samples]
    model = make_conv_net(images)
    patches = FeatureMapPatches("features.4", grid=4, border=0, n_variables=n_variables)
    rows = {"before": 0, "after": 0}

    def count(where):
        def add(_module, arguments):
            rows[where] += len(arguments[0])

        return add

    model.features[0].register_forward_pre_hook(count("before"))
    model.head.register_forward_pre_hook(count("after"))
    values(model, images, classes, patches, patches.draw(images))

    # First two samples under three masks, as a whole; one of these alone; the same six split at the layer; one sample
    # to make its table, and with it under three masks.
    assert rows == {
        "before": 6 + 1 + 2 + 1 + 1 + n_samples,
        "after": 6 + 1 + 6 + 1 + 3 + n_samples * 2**n_variables,
    }


def test_only_the_drawn_cells_change(images, slow_mask):
    patches = FeatureMapPatches("layer", grid=4, border=1, n_variables=2)
    draws = patches.draw(images)
    masked = patches.mask(images, draws, torch.tensor([[True, False], [False, False], [True, True]]))

    assert masked.shape == (15, 3, 9, 11)
    for sample, draw in enumerate(draws):
        for place, subset in enumerate([0b01, 0b00, 0b11]):
            assert torch.equal(masked[3 * sample + place], slow_mask(images[sample], draw.positions, subset, grid=4))
    assert all(1 <= row <= 2 and 1 <= column <= 2 for draw in draws for row, column in draw.positions)
    assert torch.equal(masked[2::3], images)


@pytest.mark.parametrize("name", ["features.4", "network.features.4", "inner.network.features.4"])
def test_the_end_of_a_layer_name_is_enough(name, make_conv_net, images, classes):
    inner = make_conv_net(images)
    outer = nn.ModuleDict({"network": inner})
    outer.forward = inner.forward
    model = nn.Sequential()
    model.inner = outer
    draws = FeatureMapPatches(name, grid=4, border=0, n_variables=2).draw(images)

    found = values(model, images, classes, FeatureMapPatches(name, 4, 0, 2), draws)
    expected = values(inner, images, classes, FeatureMapPatches("features.4", 4, 0, 2), draws)
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer": "head"}, r"\(B, C, H, W\).*shape \(2, 4\)"),
        ({"grid": 10}, "at most 9, because the output of layer 'features.4' is 9×11, got 10"),
        ({"baseline": (0.0, 1.0)}, "one for each of the 5 channels, got 2"),
        ({"layer": "features.44"}, "no module of the network.*'features.4'"),
    ],
)
def test_what_does_not_fit_the_network_is_refused(settings, message, make_conv_net, images, classes):
    patches = FeatureMapPatches(**{"layer": "features.4", "grid": 4, "border": 0, "n_variables": 2} | settings)
    with pytest.raises(ValueError, match=message):
        values(make_conv_net(images), images, classes, patches, patches.draw(images), mask_batch_size=1)


def test_a_layer_that_puts_out_a_tuple_is_refused(images, classes):
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.pair = Pair()

        def forward(self, x):
            return self.pair(x)[0].mean(dim=(2, 3))

    patches = FeatureMapPatches("pair", grid=4, border=0, n_variables=2)
    with pytest.raises(ValueError, match="got a tuple"):
        values(Net(), images, classes, patches, patches.draw(images))


def test_provenance_says_how_to_repeat_the_masking():
    patches = FeatureMapPatches("features.4", grid=6, border=1, n_variables=3, baseline=(0.0, 1.0), seed=7)

    assert patches.provenance() == {
        "kind": "FeatureMapPatches",
        "n_variables": 3,
        "layer": "features.4",
        "seed": 7,
        "grid": 6,
        "border": 1,
        "baseline": [0.0, 1.0],
    }
