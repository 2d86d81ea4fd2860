"""Which cells are drawn, and which settings are refused; both kinds of patches."""

import random

import numpy as np
import pytest
import torch

from lightning_interactions.masking.feature_map import FeatureMapPatches
from lightning_interactions.masking.inputs import InputPatches


def make(kind, **settings):
    return FeatureMapPatches("layer", **settings) if kind == "map" else InputPatches(**settings)


kinds = pytest.mark.parametrize("kind", ["map", "input"])


@kinds
def test_cells_are_distinct_inner_cells_in_reading_order(kind):
    patches = make(kind, grid=6, border=2, n_variables=3)
    for draw in patches.draw(torch.rand(20, 1, 8, 8)):
        assert len(set(draw.positions)) == 3
        assert list(draw.positions) == sorted(draw.positions)
        assert {coordinate for cell in draw.positions for coordinate in cell} <= {2, 3}
        assert draw.names == tuple(f"row {row} col {column}" for row, column in draw.positions)


@kinds
def test_every_inner_cell_is_drawn_sometimes(kind):
    draws = make(kind, grid=4, border=1, n_variables=1).draw(torch.rand(200, 1, 4, 4))

    assert {draw.positions[0] for draw in draws} == {(1, 1), (1, 2), (2, 1), (2, 2)}


@kinds
def test_a_sample_has_the_same_draw_in_any_batch_and_order(kind, images):
    patches = make(kind, grid=8, border=1, n_variables=5)
    draws = patches.draw(images)
    order = [3, 0, 4]

    assert patches.draw(images[order]) == [draws[row] for row in order]
    assert patches.draw(images[2:3]) == draws[2:3]
    assert make(kind, grid=8, border=1, n_variables=5).draw(images) == draws


@kinds
def test_drawing_neither_reads_nor_moves_the_global_random_state(kind, images):
    patches = make(kind)
    torch.manual_seed(0)
    first, states = patches.draw(images), (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())  # noqa: NPY002
    torch.manual_seed(1)

    assert patches.draw(images) == first
    torch.manual_seed(0)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002
    assert random.getstate() == states[2]


@kinds
def test_another_seed_draws_other_cells(kind, images):
    draws = make(kind, seed=0).draw(images)

    assert make(kind, seed=1).draw(images) != draws
    assert make(kind, seed=1).draw(images, seed=0) == draws


@kinds
def test_different_samples_have_different_draws(kind, images):
    assert len({draw.positions for draw in make(kind).draw(images)}) == len(images)


@kinds
def test_all_inner_cells_may_be_variables(kind, images):
    (draw, *_) = make(kind, grid=4, border=1, n_variables=4).draw(images)

    assert draw.positions == ((1, 1), (1, 2), (2, 1), (2, 2))


@kinds
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"grid": 0, "border": 0, "n_variables": 1}, "`grid` must be a whole number, at least 1, got 0"),
        ({"grid": 4, "border": 2, "n_variables": 1}, "`border` must lie in 0 … 1 .*got 2"),
        ({"grid": 4, "border": -1, "n_variables": 1}, "`border` must lie in 0 … 1 .*got -1"),
        ({"grid": 4, "border": 1, "n_variables": 5}, "at most 4, the number of inner cells.*got 5"),
        ({"n_variables": 0}, "1 … 20, got 0"),
        ({"n_variables": 21}, "1 … 20, got 21"),
        ({"baseline": float("nan")}, "`baseline` must be a finite number"),
        ({"baseline": ()}, "`baseline` must be a finite number"),
    ],
)
def test_unusable_settings_are_refused(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        make(kind, **settings)
