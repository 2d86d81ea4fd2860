"""The network against torchvision's."""

import pytest
import torch
from torch import nn
from torchvision.models import vgg11

from experiments.models.vgg import VGG11


def convolutions(model):
    return [module for module in model.features if isinstance(module, nn.Conv2d)]


@pytest.mark.parametrize(
    ("width", "channels"),
    [
        (1.0, [64, 128, 256, 256, 512, 512, 512, 512]),
        (0.5, [32, 64, 128, 128, 256, 256, 256, 256]),
        (0.25, [16, 32, 64, 64, 128, 128, 128, 128]),
        (0.125, [16, 16, 32, 32, 64, 64, 64, 64]),  # never below 16
    ],
)
def test_channels_follow_the_width(width, channels):
    model = VGG11(width=width)

    assert [layer.out_channels for layer in convolutions(model)] == channels
    assert [layer.in_channels for layer in convolutions(model)] == [3, *channels[:-1]]
    assert model.head.in_features == channels[-1]


def test_the_narrowest_layer_may_be_chosen():
    assert [layer.out_channels for layer in convolutions(VGG11(width=0.125, narrowest=8))][:3] == [8, 16, 32]


def test_full_width_features_are_torchvisions():
    with torch.device("meta"):
        ours, theirs = VGG11(), vgg11()

    assert str(ours.features) == str(theirs.features)
    assert {name: tensor.shape for name, tensor in ours.features.state_dict().items()} == {
        name: tensor.shape for name, tensor in theirs.features.state_dict().items()
    }


def test_features_4_is_the_second_relu_and_gives_16_by_16_cells():
    model = VGG11(width=0.25).eval()
    relus = [name for name, module in model.named_modules() if isinstance(module, nn.ReLU)]
    maps = []
    model.get_submodule("features.4").register_forward_hook(lambda _module, _inputs, output: maps.append(output))
    model(torch.rand(2, 3, 32, 32))

    assert relus[1] == "features.4"
    assert maps[0].shape == (2, 32, 16, 16)
    assert (maps[0] >= 0).all()


@pytest.mark.parametrize(("classes", "size"), [(10, 32), (2, 32), (7, 64)])
def test_logits_of_a_batch(classes, size):
    assert VGG11(classes, width=0.25)(torch.rand(3, 3, size, size)).shape == (3, classes)


def test_the_head_sees_the_mean_over_what_is_left():
    model = VGG11(width=0.25).eval()
    images = torch.rand(2, 3, 64, 64)
    features = model.features(images)
    expected = torch.stack([features[:, :, y, x] for y in range(2) for x in range(2)]).sum(dim=0) / 4

    torch.testing.assert_close(model(images), model.head(expected))


def test_weights_start_as_torchvisions_do():
    """Kaiming normal, fan-out: a standard deviation of √(2 / (9 · output channels)), whatever goes in; no biases."""
    torch.manual_seed(0)
    model = VGG11(width=0.5)
    for layer in convolutions(model):
        expected = (2 / (9 * layer.out_channels)) ** 0.5
        count = layer.weight.numel()
        # The standard deviation of a sample varies by 1/√(2 count) of itself, its mean by 1/√count.
        assert abs(layer.weight.std().item() / expected - 1) < 5 / (2 * count) ** 0.5
        assert abs(layer.weight.mean().item()) < 5 * expected / count**0.5
        assert layer.bias.count_nonzero() == 0
    assert model.head.weight.std().item() == pytest.approx(0.01, rel=5 / (2 * model.head.weight.numel()) ** 0.5)
    assert model.head.bias.count_nonzero() == 0


def test_an_untrained_network_knows_nothing():
    torch.manual_seed(0)
    p = VGG11(width=0.25)(torch.rand(4, 3, 32, 32)).softmax(dim=1)

    assert (p - 0.1).abs().max() < 0.05
