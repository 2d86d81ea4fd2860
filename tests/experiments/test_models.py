"""The networks against their published forms."""

import pytest
import torch
from torch import nn
from torchvision.models import alexnet, vgg13, vgg16
from transformers import BertModel

from experiments.models.alexnet import AlexNet
from experiments.models.bert import Bert
from experiments.models.initialise import initialise
from experiments.models.lenet import LeNet
from experiments.models.resnet import ResNet20, _BasicBlock
from experiments.models.vgg import VGG11, VGG13, VGG16


def size(model):
    return sum(weights.numel() for weights in model.parameters())


def shapes(module):
    return [tuple(tensor.shape) for tensor in module.state_dict().values()]


def relus(model):
    return [name for name, module in model.named_modules() if isinstance(module, nn.ReLU)]


@pytest.mark.parametrize(("ours", "theirs"), [(VGG13, vgg13), (VGG16, vgg16)])
def test_vgg_with_torchvisions_head_is_torchvisions(ours, theirs):
    with torch.device("meta"):
        model, published = ours(200, head="torchvision"), theirs(num_classes=200)

    assert str(model.features) == str(published.features)
    assert shapes(model) == shapes(published)
    assert size(model) == size(published)
    assert relus(model)[1] == "features.3"


def test_the_head_does_what_torchvisions_does():
    model, published = VGG13(5, width=0.125, head="torchvision").eval(), vgg13(num_classes=5).eval()
    published.features = model.features
    published.classifier = nn.Sequential(*model.head[2:])
    images = torch.rand(2, 3, 40, 40)

    torch.testing.assert_close(model(images), published(images))


def test_an_unknown_head_is_refused():
    with pytest.raises(ValueError, match="`head` must be 'linear' or 'torchvision', got 'none'"):
        VGG11(head="none")


def test_alexnet_at_full_width_is_torchvisions():
    with torch.device("meta"):
        model, published = AlexNet(50), alexnet(num_classes=50)

    assert str(model.features) == str(published.features)
    assert shapes(model) == shapes(published)
    assert relus(model)[0] == "features.1"


def test_alexnet_computes_what_torchvisions_does():
    model, published = AlexNet(7).eval(), alexnet(num_classes=7).eval()
    published.load_state_dict(dict(zip(published.state_dict(), model.state_dict().values(), strict=True)))
    images = torch.rand(1, 3, 80, 80)

    torch.testing.assert_close(model(images), published(images))


def test_lenet_has_the_published_size_and_the_first_relu_where_it_is_masked():
    model = LeNet()
    maps = []
    model.features[1].register_forward_hook(lambda _module, _inputs, output: maps.append(output))

    assert size(model) == 61_706  # 156 + 2,416 + 48,120 + 10,164 + 850
    assert model(torch.rand(3, 1, 32, 32)).shape == (3, 10)
    assert relus(model)[0] == "features.1"
    assert maps[0].shape == (3, 6, 28, 28)
    assert maps[0].min() >= 0


@pytest.mark.parametrize(("side", "channels"), [(16, 1), (33, 3), (64, 3)])
def test_lenet_takes_other_images(side, channels):
    assert LeNet(4, channels, side)(torch.rand(2, channels, side, side)).shape == (2, 4)


def test_lenet_refuses_images_of_which_nothing_is_left():
    with pytest.raises(ValueError, match="`image_size` must be at least 16, got 15"):
        LeNet(image_size=15)


def test_resnet20_has_the_published_size():
    """He et al. (2016), table 6: 0.27 million."""
    model = ResNet20()
    layers = [module for module in model.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]

    assert round(size(model) / 1e6, 2) == 0.27
    assert size(model) == 269_722
    assert len(layers) == 20
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 10)
    assert model.layer1(torch.rand(2, 16, 32, 32)).shape == (2, 16, 32, 32)
    assert model.layer3(torch.rand(2, 32, 16, 16)).shape == (2, 64, 8, 8)


def test_the_shortcut_has_no_weights_and_fills_with_zeros():
    block = _BasicBlock(2, 6, stride=2).eval()
    nn.init.zeros_(block.bn2.weight)  # only the shortcut is left
    x = torch.randn(3, 2, 4, 4)
    expected = torch.zeros(3, 6, 2, 2)
    for channel in range(2):
        for row in range(2):
            for column in range(2):
                expected[:, 2 + channel, row, column] = x[:, channel, 2 * row, 2 * column].clamp(min=0)

    assert torch.equal(block(x), expected)
    assert not [name for name, _ in block.named_parameters() if "shortcut" in name]


def test_a_block_that_keeps_its_size_adds_its_input():
    block = _BasicBlock(3, 3).eval()
    nn.init.zeros_(block.bn2.weight)
    x = torch.rand(2, 3, 5, 5)

    assert torch.equal(block(x), x)


def test_starting_weights():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(8, 64, 3), nn.Flatten(), nn.Linear(256, 128), nn.Linear(128, 100))
    initialise(model)
    expected = {0: (2 / (64 * 9)) ** 0.5, 2: (2 / 256) ** 0.5, 3: 0.01}

    for index, std in expected.items():
        weights = model[index].weight
        # The standard deviation of a sample varies by 1/√(2 count) of itself.
        assert weights.std().item() == pytest.approx(std, rel=5 / (2 * weights.numel()) ** 0.5)
        assert model[index].bias.count_nonzero() == 0


SMALL_BERT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def test_bert_from_random_weights_has_the_configuration_asked_for():
    model = Bert(num_classes=3, config=SMALL_BERT | {"vocab_size": 40})
    tokens = {"input_ids": torch.tensor([[1, 2, 3], [4, 5, 0]]), "attention_mask": torch.tensor([[1, 1, 1], [1, 1, 0]])}

    assert model(**tokens).shape == (2, 3)
    assert len(model.transformer.bert.encoder.layer) == 2
    assert all(module.training for module in model.modules())


def test_bert_medium_has_the_published_size():
    """Turc et al. (2019): 8 layers of 512, 41.4 million weights without the head."""
    config = {"hidden_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8, "intermediate_size": 2048}
    with torch.device("meta"):
        model = Bert(config=config)

    assert round(size(model.transformer.bert) / 1e6, 1) == 41.4


def test_pretrained_weights_are_loaded_and_padding_does_not_matter(write_encoder, tmp_path):
    folder = write_encoder(tmp_path / "encoder")
    stored = BertModel.from_pretrained(folder)
    model = Bert(str(folder))

    assert torch.equal(
        model.transformer.bert.embeddings.word_embeddings.weight, stored.embeddings.word_embeddings.weight
    )
    assert all(module.training for module in model.modules())  # dropout is on in training
    model.eval()
    short = model(input_ids=torch.tensor([[2, 7, 3]]), attention_mask=torch.ones(1, 3, dtype=torch.int64))
    padded = model(input_ids=torch.tensor([[2, 7, 3, 0]]), attention_mask=torch.tensor([[1, 1, 1, 0]]))
    torch.testing.assert_close(short, padded)


def test_a_pretrained_network_keeps_its_size_but_for_what_is_changed(write_encoder, tmp_path):
    folder = str(write_encoder(tmp_path / "encoder"))
    model = Bert(folder, num_classes=3, config={"hidden_dropout_prob": 0.0})

    assert model.transformer.config.hidden_size == 16
    assert model.transformer.config.hidden_dropout_prob == 0
    assert model.transformer.classifier.out_features == 3
