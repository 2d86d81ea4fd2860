"""Network outputs on all masked inputs, where networks are not simple chains, and where things go wrong."""

import pytest
import torch
from torch import nn

from lightning_interactions.masking.feature_map import FeatureMapPatches
from lightning_interactions.masking.forward import values
from lightning_interactions.masking.inputs import Columns, InputPatches
from lightning_interactions.masking.outputs import margin, target_logit


class Bypassed(nn.Module):
    """A network with something that goes around the layer ``conv``; ``at_layer`` is applied to that layer's output."""

    def __init__(self, shortcut):
        super().__init__()
        self.shortcut = shortcut
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear({"concatenation": 8, "batch size": 4 * 9 * 11}.get(shortcut, 4), 4)

    def run(self, x, at_layer):
        x = torch.relu(self.stem(x))
        y = torch.tanh(at_layer(self.conv(x)))
        if self.shortcut == "batch size":
            return self.head(y.reshape(len(x), -1))
        if self.shortcut == "batch size, then mean":
            return self.head(y.reshape(len(x), 4, -1).mean(dim=2))
        if self.shortcut == "concatenation":
            y = torch.cat([x, y], dim=1)
        elif self.shortcut == "sum":
            y = x + y
        elif self.shortcut == "in-place sum":
            y += x
        elif self.shortcut == "gate":
            y = y * x.mean(dim=(2, 3), keepdim=True).sigmoid()
        elif self.shortcut == "attention":
            y = (y.flatten(2) @ x.flatten(2).mT).softmax(dim=2)[..., None]
        return self.head(y.mean(dim=(2, 3)))

    def forward(self, x):
        return self.run(x, lambda output: output)


SHORTCUTS = [
    "none",
    "sum",
    "in-place sum",
    "concatenation",
    "gate",
    "attention",
    "batch size",
    "batch size, then mean",
]


@pytest.mark.filterwarnings("ignore:Something in the network bypasses")
@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_what_bypasses_the_layer_sees_no_mask(shortcut, images, classes, slow_mask, slow_log_odds):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Bypassed(shortcut).double()
    patches = FeatureMapPatches("conv", grid=3, border=0, n_variables=3)
    images, classes = images[:3], classes[:3]
    draws = patches.draw(images)
    expected = torch.empty(3, 8, dtype=torch.float64)
    for sample, draw in enumerate(draws):
        for subset in range(8):

            def mask(output, cells=draw.positions, subset=subset):
                return slow_mask(output[0], cells, subset, grid=3)[None]

            logits = model.run(images[sample : sample + 1], mask)[0].detach()
            expected[sample, subset] = slow_log_odds(logits, classes[sample])

    for mask_batch_size in (1, 3, 7, 8, 16, 64, None):
        found = values(model, images, classes, patches, draws, mask_batch_size=mask_batch_size)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4), (torch.bfloat16, 0.3)], ids=str
)
@pytest.mark.parametrize("kind", ["map", "input"])
def test_networks_of_any_precision_give_float64_values(dtype, tolerance, kind, make_conv_net, images, classes):
    model = make_conv_net(images)
    patches = FeatureMapPatches("features.3", 4, 0, 3) if kind == "map" else InputPatches(4, 0, 3)
    draws = patches.draw(images)
    exact = values(model, images, classes, patches, draws)
    found = values(model.to(dtype), images.to(dtype), classes, patches, draws)

    assert found.dtype == torch.float64
    assert found.device.type == "cpu"
    torch.testing.assert_close(found, exact, rtol=0, atol=tolerance)


def test_the_scalar_output_is_computed_in_float64(images, classes):
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(4))
    model(images.float())
    seen = []

    def output(logits, targets):
        seen.append((logits.dtype, targets.tolist()))
        return logits[:, 0]

    patches = InputPatches(4, 0, 2)
    values(model, images.float(), classes, patches, patches.draw(images), output=output)

    assert seen == [(torch.float64, [int(target) for target in classes for _ in range(4)])]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_outputs_that_are_not_finite_stay_visible_and_in_their_row(bad):
    class Fragile(nn.Module):
        def forward(self, x):
            return torch.stack([x.sum(dim=1), torch.where(x[:, 0] > 5, bad, x[:, 1])], dim=1)

    table = torch.tensor([[1.0, 2.0], [9.0, 2.0], [0.0, 1.0]])
    columns = Columns(2, baseline=0.0)
    found = values(Fragile(), table, torch.tensor([0, 0, 1]), columns, columns.draw(table))

    assert found.isfinite().tolist() == [[True] * 4, [True, False, True, False], [True] * 4]


def test_a_network_without_parameters_can_be_seen():
    table = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
    columns = Columns(2, baseline=0.0)
    found = values(nn.Identity(), table, torch.tensor([0, 1]), columns, columns.draw(table), output=target_logit)

    assert found.tolist() == [[0, 1, 0, 1], [0, 0, 5, 5]]


@pytest.mark.parametrize(
    "pack",
    [lambda x: x, lambda x: [x], lambda x: (x,), lambda x: {"x": x}],
    ids=["alone", "list", "tuple", "mapping"],
)
def test_inputs_of_any_structure_reach_the_network(pack, make_conv_net, images, classes):
    class Named(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return {"logits": self.inner(x)}

    model = make_conv_net(images)
    patches = FeatureMapPatches("features.4", 4, 0, 3)
    draws = patches.draw(images)

    found = values(Named(model), pack(images), classes, patches, draws, output=margin)
    assert torch.equal(found, values(model, images, classes, patches, draws, output=margin))


def test_a_forward_of_ones_own_is_used(make_conv_net, images, classes):
    model = make_conv_net(images)
    patches = FeatureMapPatches("features.4", 4, 0, 3)
    draws = patches.draw(images)

    found = values(model, images / 2, classes, patches, draws, forward=lambda network, x: (network(2 * x), "extra"))
    torch.testing.assert_close(found, values(model, images, classes, patches, draws))


def test_progress_counts_finished_samples(make_conv_net, images, classes):
    model, patches = make_conv_net(images), InputPatches(4, 0, 3)
    draws = patches.draw(images)
    calls = {}
    for mask_batch_size in (3, 8, 16):
        calls[mask_batch_size] = []
        values(
            model,
            images,
            classes,
            patches,
            draws,
            mask_batch_size=mask_batch_size,
            progress=lambda *done, seen=calls[mask_batch_size]: seen.append(done),
        )

    assert calls[3] == calls[8] == [(done, 5) for done in (1, 2, 3, 4, 5)]
    assert calls[16] == [(2, 5), (4, 5), (5, 5)]


@pytest.mark.parametrize("mask_batch_size", [4, None])
@pytest.mark.parametrize(
    "output",
    [lambda logits, _targets: logits.mean(), lambda logits, _targets: logits, lambda logits, _targets: logits[:0, 0]],
    ids=["one number", "all logits", "nothing"],
)
def test_an_output_that_is_not_one_number_a_row_is_refused(output, mask_batch_size):
    table, targets = torch.rand(2, 3), torch.tensor([0, 1])
    columns = Columns(3, baseline=0.0)
    draws = columns.draw(table)

    with pytest.raises(ValueError, match="one number for each"):
        values(nn.Identity(), table, targets, columns, draws, output=output, mask_batch_size=mask_batch_size)


@pytest.mark.parametrize("kind", ["map", "input"])
def test_a_network_that_mixes_its_rows_is_refused(kind, images, classes):
    model = nn.Sequential(nn.Identity(), nn.Flatten(start_dim=0), nn.Unflatten(0, (1, -1)))
    patches = FeatureMapPatches("0", 4, 0, 2) if kind == "map" else InputPatches(4, 0, 2)

    with pytest.raises(ValueError, match=r"one row for each of the \d+ masked inputs, got shape \(1, "):
        values(model, images, classes, patches, patches.draw(images))


@pytest.mark.parametrize("mask_batch_size", [0, -1])
def test_mask_batch_size_must_be_positive(mask_batch_size, make_conv_net, images, classes):
    patches = InputPatches(4, 0, 2)
    with pytest.raises(ValueError, match="`mask_batch_size` must be a whole number, at least 1"):
        values(
            make_conv_net(images),
            images,
            classes,
            patches,
            patches.draw(images),
            mask_batch_size=mask_batch_size,
        )


def test_the_network_is_left_as_it_was_also_when_it_raises(make_conv_net, images, classes):
    class Faulty(nn.Module):
        def forward(self, x):
            torch.rand(1)
            if len(x) > 1:
                msg = "out of order"
                raise RuntimeError(msg)
            return x

    model = make_conv_net(images)
    model.head.insert(0, Faulty())
    model.features[1].eval()
    flags = [module.training for module in model.modules()]
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    random_state = torch.get_rng_state()
    patches = FeatureMapPatches("features.4", 4, 0, 2)

    with pytest.raises(RuntimeError, match="out of order"):
        values(model, images, classes, patches, patches.draw(images))
    assert [module.training for module in model.modules()] == flags
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.is_grad_enabled()
