"""Interactions with given effects."""

import pytest
import torch

from lightning_interactions.interactions import Interactions


def make(and_, or_=None, threshold=0.0, values=None, **provenance):
    """Interactions with the given effects and values, without OR effects and with values of 0 unless given."""
    and_ = torch.as_tensor(and_, dtype=torch.float64)
    or_ = torch.zeros_like(and_) if or_ is None else torch.as_tensor(or_, dtype=torch.float64)
    zeros = torch.zeros(len(and_), dtype=torch.float64)
    values = torch.zeros_like(and_) if values is None else torch.as_tensor(values, dtype=torch.float64)
    return Interactions(
        values, and_, or_, l1=zeros, gap=zeros, noise_bound=zeros, threshold=threshold, provenance=provenance
    )


@pytest.fixture
def make_interactions():
    return make


@pytest.fixture
def random_interactions():
    """Gaussian effects and values of a few samples; effects of the empty set are 0."""

    def random(samples=3, n=4, seed=0, threshold=0.5, **provenance):
        generator = torch.Generator().manual_seed(seed)
        and_, or_, values = (torch.randn(samples, 2**n, dtype=torch.float64, generator=generator) for _ in range(3))
        and_[:, 0] = or_[:, 0] = 0
        return make(and_, or_, threshold, values, **provenance)

    return random
