"""What the layers of a network read and write."""

import pytest
import torch
from torch import nn

from lightning_interactions.masking.layer_bytes import bytes_each, bytes_noted

NETWORK = nn.Sequential(nn.Linear(4, 8), nn.Sequential(nn.ReLU(), nn.Linear(8, 2)))


@pytest.mark.parametrize(("after", "expected"), [(None, [48, 64, 40]), (NETWORK[0], [64, 40]), (NETWORK[1][1], [])])
def test_each_layer_is_noted_once_it_counts(after, expected):
    with bytes_noted(NETWORK, after) as noted:
        NETWORK(torch.zeros(3, 4))

    assert noted == [3 * size for size in expected]
    assert not any(module._forward_hooks for module in NETWORK.modules())


def test_no_hook_stays_when_the_network_raises():
    with pytest.raises(RuntimeError, match="shapes"), bytes_noted(NETWORK, NETWORK[0]):
        NETWORK(torch.zeros(3, 5))

    assert not any(module._forward_hooks for module in NETWORK.modules())


@pytest.mark.parametrize(("noted", "n_rows", "expected"), [([], 4, 1), ([3], 4, 1), ([10, 90, 20], 4, 22)])
def test_the_busiest_layer_counts_for_one_row(noted, n_rows, expected):
    assert bytes_each(noted, n_rows) == expected
