"""Small networks, and masking written out pixel by pixel."""

import pytest
import torch
from torch import nn


class ConvNet(nn.Module):
    """A small network with everything that may go wrong in it: batch norm, dropout, in-place activations."""

    def __init__(self, channels=3, classes=4):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 5, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Conv2d(5, 6, 3, stride=2),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.LazyLinear(classes))

    def forward(self, x):
        return self.head(self.features(x))


def present_cells(mask, cells):
    return {cell for variable, cell in enumerate(cells) if mask >> variable & 1}


def slow_mask(image, cells, subset, grid, baseline=0.0):
    """One image ``(C, H, W)`` with the drawn cells outside ``subset`` set to the baseline, pixel by pixel.

    Cell c of a side covers the pixels r with c / grid <= r / size < (c + 1) / grid.
    """
    masked = image.tolist()
    channels, height, width = image.shape
    absent = set(cells) - present_cells(subset, cells)
    for row, column in absent:
        for y in range(height):
            for x in range(width):
                if row * height <= y * grid < (row + 1) * height and column * width <= x * grid < (column + 1) * width:
                    for channel in range(channels):
                        masked[channel][y][x] = baseline if isinstance(baseline, float) else baseline[channel]
    return torch.tensor(masked, dtype=image.dtype)


def slow_log_odds(logits, target):
    p = torch.softmax(logits.double(), dim=0)[target]
    return torch.log(p / (1 - p)).item()


def state_of(model):
    """Every parameter and buffer, bit by bit."""
    return {key: tensor.detach().clone().numpy().tobytes() for key, tensor in model.state_dict().items()}


@pytest.fixture(name="slow_mask")
def slow_mask_fixture():
    return slow_mask


@pytest.fixture(name="slow_log_odds")
def slow_log_odds_fixture():
    return slow_log_odds


@pytest.fixture(name="state_of")
def state_of_fixture():
    return state_of


@pytest.fixture
def make_conv_net():
    """Build a float64 network in train mode whose batch norm has seen data."""

    def make(image, classes=4, seed=0):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = ConvNet(image.shape[1], classes).double()
            model(image.double())
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    nn.init.normal_(module.running_mean)
                    nn.init.uniform_(module.running_var, 0.5, 2.0)
        return model.train()

    return make


@pytest.fixture
def images():
    """Five images ``(5, 3, 9, 11)`` in float64."""
    return torch.randn(5, 3, 9, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def classes():
    return torch.tensor([0, 3, 1, 1, 2])
