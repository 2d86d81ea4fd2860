"""How a network is run on masked inputs: the cheap way where it is right, the plain one where it is not."""

import warnings
from functools import partial

import pytest
import torch
from torch import nn

from lightning_interactions.masking.choose import choose_way
from lightning_interactions.masking.feature_map import FeatureMapPatches
from lightning_interactions.masking.forward import values
from lightning_interactions.masking.inputs import InputPatches
from lightning_interactions.masking.outputs import target_logit
from lightning_interactions.masking.ways import Split

PATCHES = FeatureMapPatches("conv", grid=3, border=0, n_variables=3)


class Net(nn.Module):
    """A stem, the masked layer ``conv`` and a head; ``peculiar(self, x, stem, y)`` gives what the head pools."""

    def __init__(self, peculiar=None, classes=4):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, classes)
        self.peculiar = peculiar or (lambda _self, _x, _stem, y: y)

    def forward(self, x):
        stem = torch.relu(self.stem(x))
        y = self.peculiar(self, x, stem, torch.tanh(self.conv(stem)))
        return self.head(y.mean(dim=(2, 3)))


def tiled_shortcut(_self, _x, stem, y):
    """Fits any number of rows, but adds the stem of one sample to the map of another."""
    return y + stem.repeat(len(y) // len(stem), 1, 1, 1)


def scaled_by_batch_size(_self, x, _stem, y):
    """Fits any number of rows, but tells the expanded map from the whole network on as many rows."""
    return y * (len(y) / len(x))


def shortcut(_self, _x, stem, y):
    return y + stem


def indexed_by_batch(_self, x, _stem, y):
    return y[torch.arange(len(x))]


BYPASSES = [tiled_shortcut, scaled_by_batch_size, shortcut, indexed_by_batch]


def network(peculiar=None, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Net(peculiar, **options).double().eval()


def one_at_a_time(model, images, classes, draws, slow_mask):
    """Every masked map by hand, each in a forward pass of its own."""
    expected = torch.empty(len(images), 8, dtype=torch.float64)
    for sample, draw in enumerate(draws):
        for subset in range(8):
            handle = model.conv.register_forward_hook(
                lambda _module, _arguments, output, cells=draw.positions, subset=subset: slow_mask(
                    output[0].detach(), cells, subset, grid=3
                )[None]
            )
            expected[sample, subset] = model(images[sample : sample + 1])[0, classes[sample]].detach()
            handle.remove()
    return expected


@pytest.mark.parametrize("mask_batch_size", [1, 5, 16, "auto"])
@pytest.mark.parametrize("peculiar", BYPASSES)
def test_what_bypasses_the_layer_is_detected_and_warned_of_once(peculiar, mask_batch_size, images, classes, slow_mask):
    model = network(peculiar)
    draws = PATCHES.draw(images)
    with pytest.warns(UserWarning, match="bypasses layer 'conv' or remembers the batch size") as caught:
        found = values(model, images, classes, PATCHES, draws, output=target_logit, mask_batch_size=mask_batch_size)

    assert len(caught) == 1
    torch.testing.assert_close(found, one_at_a_time(model, images, classes, draws, slow_mask), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n_samples", [1, 5])
def test_a_plain_chain_is_split_without_a_word(n_samples, images, classes, slow_mask):
    model, images = network(), images[:n_samples]
    rows = []
    model.stem.register_forward_pre_hook(lambda _module, arguments: rows.append(len(arguments[0])))
    draws = PATCHES.draw(images)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = values(model, images, classes[:n_samples], PATCHES, draws, output=target_logit)

    assert rows[-1] == n_samples
    torch.testing.assert_close(found, one_at_a_time(model, images, classes, draws, slow_mask), rtol=1e-9, atol=1e-9)


def test_a_bypass_costs_no_more_than_the_masked_inputs_themselves(images, classes):
    model = network(shortcut)
    rows = []
    model.stem.register_forward_pre_hook(lambda _module, arguments: rows.append(len(arguments[0])))
    with pytest.warns(UserWarning, match="bypasses"):
        values(model, images, classes, PATCHES, PATCHES.draw(images), mask_batch_size=16)

    # Six masked inputs to compare, one of them alone, the two samples of the attempt; then every masked input once.
    assert rows == [6, 1, 2, 16, 16, 8]


@pytest.mark.parametrize("variables", [PATCHES, InputPatches(3, 0, 3)], ids=["map", "input"])
def test_rows_that_depend_on_one_another_run_alone(variables, images, classes):
    model = network(lambda _self, _x, _stem, y: y - y.mean(dim=0))
    draws = variables.draw(images)
    with pytest.warns(UserWarning, match="depends on the other inputs of the batch") as caught:
        found = values(model, images, classes, variables, draws, output=target_logit)

    assert len(caught) == 1
    # Alone, a map is its own mean: what is left is the bias.
    expected = model.head.bias.detach()[classes].unsqueeze(1).expand(5, 8)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_a_random_output_is_warned_of_and_not_taken_for_a_bypass(images, classes):
    model = network(lambda _self, _x, _stem, y: y + torch.rand_like(y))
    with pytest.warns(UserWarning, match="is random, also in evaluation mode") as caught:
        found = values(model, images, classes, PATCHES, PATCHES.draw(images))

    assert len(caught) == 1
    assert found.isfinite().all()


def test_a_network_that_cannot_take_one_input_is_seen_all_the_same(images, classes, slow_mask):
    model = network(lambda _self, _x, _stem, y: y if len(y) > 1 else y.squeeze())
    found = values(model, images, classes, PATCHES, PATCHES.draw(images), output=target_logit)
    model.peculiar = network().peculiar

    expected = one_at_a_time(model, images, classes, PATCHES.draw(images), slow_mask)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("variables", [PATCHES, InputPatches(3, 0, 3)], ids=["map", "input"])
@pytest.mark.parametrize("kind", [RuntimeError, ValueError, ZeroDivisionError])
def test_a_fault_of_the_network_shows_once_and_as_it_is(kind, variables, images, classes):
    calls = []

    def break_down(_self, _x, _stem, y):
        calls.append(len(y))
        msg = f"out of order at call {len(calls)}"
        raise kind(msg)

    model = network(break_down)
    with pytest.raises(kind, match="out of order at call 1") as raised:
        values(model, images, classes, variables, variables.draw(images))

    assert len(calls) == 1
    assert raised.value.__context__ is None
    assert not any(module._forward_hooks for module in model.modules())


def test_a_fault_in_a_later_chunk_is_not_tried_again(images, classes):
    calls = []

    def break_down_late(_self, _x, _stem, y):
        calls.append(len(y))
        if len(calls) == 5:
            msg = "out of order"
            raise RuntimeError(msg)
        return y

    with pytest.raises(RuntimeError, match="out of order"):
        values(network(break_down_late), images, classes, PATCHES, PATCHES.draw(images), mask_batch_size=8)

    assert calls == [6, 1, 6, 8, 8]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_rounding_is_not_taken_for_a_bypass(dtype, scale, images, classes):
    model = network().to(dtype)
    model.head.weight.data *= scale
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values(model, images.to(dtype), classes, PATCHES, PATCHES.draw(images), precision="bf16")
        values(model, images.to(dtype), classes, PATCHES, PATCHES.draw(images))


@pytest.mark.parametrize("weight", [1e-3, 1.0])
def test_a_weak_bypass_is_found(weight, images, classes):
    model = network(lambda _self, _x, stem, y: y + weight * stem.repeat(len(y) // len(stem), 1, 1, 1)).float()
    with pytest.warns(UserWarning, match="bypasses"):
        values(model, images.float(), classes, PATCHES, PATCHES.draw(images))


@pytest.mark.parametrize(
    ("allow", "stem_rows"), [((), [6, 1, 16, 16, 8]), ((Split,), [6, 1, 2, 2, 2, 1])], ids=["none", "split"]
)
def test_ways_that_are_not_allowed_are_not_tried(allow, stem_rows, images, classes):
    model, draws = network(), PATCHES.draw(images)
    rows = []
    model.stem.register_forward_pre_hook(lambda _module, arguments: rows.append(len(arguments[0])))
    choose = partial(choose_way, allow=allow)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = values(model, images, classes, PATCHES, draws, choose=choose, mask_batch_size=16)

    assert rows == stem_rows
    torch.testing.assert_close(found, values(model, images, classes, PATCHES, draws), rtol=1e-9, atol=1e-9)
