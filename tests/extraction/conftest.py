"""Slow, independent references, and values of real networks."""

from functools import lru_cache
from itertools import combinations

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import nn

from lightning_interactions import lattice


@lru_cache
def _subsets(n):
    """Subset number T as a Python set; bit i set means variable i present."""
    sets = [frozenset(members) for size in range(n + 1) for members in combinations(range(n), size)]
    return sorted(sets, key=lambda members: sum(2**i for i in members))


@lru_cache
def _dense_phi(n):
    subsets = _subsets(n)
    and_part = [[float(bool(s) and s <= t) for s in subsets] for t in subsets]
    or_part = [[float(bool(s & t)) for s in subsets] for t in subsets]
    return np.hstack([np.array(and_part), np.array(or_part)])


def _highs(targets, noise_bound):
    """The optimal L1 by the simplex method on the dense programme, scaled because HiGHS's tolerances are absolute."""
    targets = np.asarray(targets)
    scale = np.abs(targets).max()
    phi = _dense_phi(len(targets).bit_length() - 1)[1:]
    right = targets[1:] / scale
    box = noise_bound / scale
    result = scipy.optimize.linprog(
        np.ones(2 * phi.shape[1]),
        A_ub=np.vstack([np.hstack([phi, -phi]), np.hstack([-phi, phi])]),
        b_ub=np.concatenate([right + box, box - right]),
        bounds=(0, None),
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    assert result.status == 0
    return result.fun * scale


def _trained(seed, steps):
    """A small CNN on 8×8 images with a bright band at a height that depends on the class, and noise."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 4),
    )
    labels = torch.randint(0, 4, (128,))
    images = torch.randn(128, 1, 8, 8)
    images[torch.arange(128), 0, 2 * labels] += 1
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    return network, images, labels


@lru_cache
def _network_values(n, samples=2, steps=60, seed=0):
    """Log-odds of the true class on all masked inputs; ``n`` cells of a 4×4 grid are variables, the others stay."""
    with torch.random.fork_rng():
        network, images, labels = _trained(seed, steps)
        cells = torch.randperm(16)[:n]
    present = torch.ones(2**n, 16)
    for subset in range(2**n):
        for i in range(n):
            present[subset, cells[i]] = float(subset >> i & 1)
    masks = present.view(-1, 1, 4, 4).repeat_interleave(2, 2).repeat_interleave(2, 3)
    values = []
    with torch.no_grad():
        for image, label in zip(images[:samples], labels, strict=False):
            logits = network(image * masks).double()
            others = logits[:, [k for k in range(4) if k != label]]
            values.append(logits[:, label] - others.logsumexp(1))
    return torch.stack(values)


def _noise_bound(values):
    return 0.02 * (values[:, -1] - values[:, 0]).abs().mean().item()


def _strength_per_order(solution):
    sizes = solution.and_.abs() + solution.or_.abs()
    orders = lattice.subset_order(lattice.variable_count(sizes))
    return sizes @ nn.functional.one_hot(orders).double()


def _total_order(solution):
    strength = _strength_per_order(solution)
    return strength @ torch.arange(strength.shape[1], dtype=torch.float64)


@pytest.fixture(scope="session")
def dense_phi():
    """Φ over all subsets, ``(2**n, 2 * 2**n)`` as a NumPy array; row and columns of the empty set are 0."""
    return _dense_phi


@pytest.fixture
def least_work(monkeypatch):
    """Threads take samples however little work they are: by default, small games are left to one."""
    monkeypatch.setattr(
        "lightning_interactions.extraction.solve._LEAST_SUBSETS",
        dict.fromkeys(("interior_point", "admm", "sgd", "none"), 1),
    )


@pytest.fixture(scope="session")
def highs():
    return _highs


@pytest.fixture(scope="session")
def network_values():
    return _network_values


@pytest.fixture(scope="session")
def noise_bound_of():
    """ζ = 0.02 · mean |v(N) − v(∅)|."""
    return _noise_bound


@pytest.fixture(scope="session")
def strength_per_order():
    """Σ |I_S| over the effects of each order, ``(samples, n + 1)``."""
    return _strength_per_order


@pytest.fixture(scope="session")
def total_order():
    """Σ |S||I_S| of each sample."""
    return _total_order
