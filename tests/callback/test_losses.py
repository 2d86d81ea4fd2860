"""The loss on stored samples is the plain loss in evaluation mode."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from lightning_interactions.callback.losses import classification_loss, mean_loss
from lightning_interactions.callback.samples import Samples


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, classes))

    def forward(self, x):
        return self.body(x)


@pytest.fixture
def x():
    return torch.randn(11, 5, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def y():
    return torch.arange(11) % 3


def trained(classes):
    torch.manual_seed(1)
    model = Net(classes)
    model(torch.randn(16, 5))  # batch norm has seen data
    return model.train()


def batches(x, y, sizes):
    parts = zip(x.split(sizes), y.split(sizes), strict=True)
    return [Samples(inputs, targets) for inputs, targets in parts]


SPLITS = [[11], [4, 4, 3], [1] * 11, [10, 1]]


@pytest.mark.parametrize("sizes", SPLITS)
def test_cross_entropy_of_all_samples_in_evaluation_mode(sizes, x, y):
    model = trained(3)
    found = mean_loss(model, batches(x, y, sizes))
    model.eval()
    with torch.no_grad():
        p = torch.softmax(model(x).double(), dim=1)
    expected = -sum(math.log(p[row, y[row]]) for row in range(11)) / 11
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("sizes", SPLITS)
@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_binary_cross_entropy_of_a_head_with_one_logit(sizes, shape, x, y):
    model, y = trained(1), (y > 0).long()
    model.register_forward_hook(lambda _, __, logits: logits.reshape(shape))
    found = mean_loss(model, batches(x, y.reshape(shape), sizes))
    model.eval()
    with torch.no_grad():
        p = torch.sigmoid(model(x).double()).flatten()
    expected = -sum(math.log(p[row] if y[row] else 1 - p[row]) for row in range(11)) / 11
    assert found == pytest.approx(expected, rel=1e-6)


def test_the_network_is_left_as_it_was(x, y):
    model = trained(3)
    model.body[3].eval()
    flags = [module.training for module in model.modules()]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    random_state = torch.get_rng_state()
    mean_loss(model, batches(x, y, [4, 4, 3]))
    assert [module.training for module in model.modules()] == flags
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_flags_are_restored_when_the_loss_raises(x, y):
    model = trained(3)

    def torn(*_):
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        mean_loss(model, batches(x, y, [11]), loss=torn)
    assert all(module.training for module in model.modules())


def test_a_loss_and_a_forward_of_the_users(x, y):
    model = trained(3)
    loss = mean_loss(
        model,
        batches(x, y, [4, 4, 3]),
        loss=lambda logits, targets: (logits.argmax(1) != targets).float().mean(),
        forward=lambda module, inputs: {"logits": module(-inputs)},
    )
    model.eval()
    assert loss == pytest.approx((model(-x).argmax(1) != y).float().mean().item())


def test_a_network_that_works_on_its_inputs_in_place(x, y):
    model, samples = trained(3), batches(x, y, [4, 4, 3])
    before = x.clone()
    found = [mean_loss(model, samples, forward=lambda module, inputs: module(inputs.add_(1))) for _ in range(2)]
    assert torch.equal(x, before)
    assert found[0] == found[1]


def test_inputs_in_a_mapping(x, y):
    model = trained(3)
    assert mean_loss(model, [Samples({"x": x}, y)]) == mean_loss(model, [Samples(x, y)])


def test_no_samples():
    assert math.isnan(mean_loss(trained(3), []))


def test_half_precision_is_averaged_in_full(x, y):
    model = trained(3).bfloat16()
    found = mean_loss(model, batches(x.bfloat16(), y, [11]))
    model.eval()
    with torch.no_grad():
        expected = functional.cross_entropy(model(x.bfloat16()).float(), y).item()
    assert found == expected


def widened(model, dtype):
    """A network of that type with the same weights."""
    wide = Net(3).to(dtype)
    wide.load_state_dict({key: value.to(dtype) for key, value in model.state_dict().items() if value.ndim})
    return wide.eval()


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("precision", ["float32", "float64", "bf16"])
def test_in_the_precision_that_is_asked_for(precision, stored, x, y):
    model = trained(3).to(stored)
    found = mean_loss(model, batches(x.to(stored), y, [11]), precision=precision)

    assert {parameter.dtype for parameter in model.parameters()} == {stored}
    dtype = torch.float64 if precision == "float64" else torch.float32
    wide = widened(model, dtype)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
        logits = wide(x.to(stored).to(dtype))
    assert logits.dtype == (torch.bfloat16 if precision == "bf16" else dtype)
    expected = functional.cross_entropy(logits.to(dtype), y)
    assert found == expected.item()


def test_inputs_that_are_narrower_than_the_weights(x, y):
    """As under mixed precision, whose autocast takes them."""
    model = trained(3)
    expected = mean_loss(model, batches(x.bfloat16().float(), y, [4, 4, 3]))
    assert mean_loss(model, batches(x.bfloat16(), y, [4, 4, 3]), precision="float32") == expected


@pytest.mark.parametrize("precision", [None, "float32", "float64"])
def test_a_network_in_float64_has_its_loss_in_float64(precision, x, y):
    model = trained(3).double()
    weight = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    found = mean_loss(
        model,
        batches(x.double(), y, [11]),
        loss=lambda logits, targets: functional.cross_entropy(logits, targets, weight),
        precision=precision,
    )
    model.eval()
    with torch.no_grad():
        assert found == functional.cross_entropy(model(x.double()), y, weight).item()


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_weights_of_classes_that_the_network_keeps_are_as_wide_as_its_logits(precision, x, y):
    model = trained(3)
    model.register_buffer("of_classes", torch.tensor([1.0, 2.0, 3.0]))
    model = model.bfloat16()
    found = mean_loss(
        model,
        batches(x.bfloat16(), y, [11]),
        loss=lambda logits, targets: functional.cross_entropy(logits, targets, model.of_classes),
        precision=precision,
    )
    assert math.isfinite(found)
    assert model.of_classes.dtype == torch.bfloat16


@pytest.mark.parametrize(("classes", "wrong"), [(3, 3), (3, -1), (3, -100), (1, 2), (1, -1)])
def test_a_target_that_is_no_class(classes, wrong, x, y):
    y = (y > 0).long()
    y[7] = wrong
    with pytest.raises(ValueError, match=f"class indices 0 … {max(classes - 1, 1)}.*{wrong}.*HINT"):
        mean_loss(trained(classes), batches(x, y, [4, 4, 3]))


def test_targets_of_any_number_type():
    logits = torch.tensor([[2.0, 1.0, 0.5], [0.0, 1.0, 3.0]])
    expected = functional.cross_entropy(logits, torch.tensor([0, 2]))
    for dtype in (torch.uint8, torch.int32, torch.float64):
        assert classification_loss(logits, torch.tensor([[0], [2]], dtype=dtype)) == expected
    assert classification_loss(logits[:, 0], torch.tensor([True, False])).item() == pytest.approx(
        (math.log(1 + math.exp(-2)) + math.log(2)) / 2
    )
