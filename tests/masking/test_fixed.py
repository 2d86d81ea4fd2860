"""Draws that a sample's content no longer decides."""

import pytest
import torch

from lightning_interactions import Columns, FeatureMapPatches, InputPatches, TokenWords, explain
from lightning_interactions.masking.fixed import AsDrawn, SamePositions


def test_every_sample_has_the_positions_of_the_first(images):
    patches = InputPatches(grid=4, border=0, n_variables=5)
    drawn = SamePositions(patches, images).draw(images)

    assert len({draw.positions for draw in patches.draw(images)}) > 1
    assert drawn == [patches.draw(images)[0]] * 5
    assert SamePositions(patches, images).draw(images[3:], seed=9) == drawn[3:]


def test_masking_is_that_of_the_given_variables(images):
    patches, masks = InputPatches(grid=4, border=0, n_variables=2), torch.tensor([[True, False], [False, False]])
    same = SamePositions(patches, images)
    draws = same.draw(images)

    assert torch.equal(same.mask(images, draws, masks), patches.mask(images, draws, masks))


def test_a_network_is_explained_at_the_same_cells(make_conv_net, images, classes):
    same = SamePositions(FeatureMapPatches("features.2", grid=4, border=0, n_variables=3, seed=1), images)
    found = explain(make_conv_net(images), images, classes, same, solver="none")

    assert len({str(draw["positions"]) for draw in found.provenance["draws"]}) == 1
    assert found.provenance["variables"]["layer"] == "features.2"
    assert found.provenance["variables"]["seed"] == 1
    assert found.provenance["variables"]["drawn"] == "for one sample"


def test_columns_keep_one_baseline():
    table = torch.arange(12.0).reshape(3, 4)
    same = SamePositions(Columns(n_variables=2), table)

    assert same.draw(table[:1])[0].baseline == (4.0, 5.0, 6.0, 7.0)


def test_what_has_no_common_positions_is_refused():
    class TooFew(Columns):
        def draw(self, inputs, seed=None):
            return [None] * len(super().draw(inputs, seed))

    with pytest.raises(ValueError, match="must have 2 input variables, it has fewer"):
        SamePositions(TooFew(n_variables=2), torch.zeros(3, 4))
    words = TokenWords.__new__(TokenWords)
    with pytest.raises(ValueError, match="got TokenWords"):
        SamePositions(words, {})


def test_disturbed_samples_keep_their_draws(images):
    patches = InputPatches(grid=4, border=0, n_variables=5)
    kept = AsDrawn(patches, images)

    assert patches.draw(images + 0.1) != patches.draw(images)
    assert kept.draw(images + 0.1, seed=9) == patches.draw(images)
    assert kept.provenance() == patches.provenance() | {"drawn": "before"}
    with pytest.raises(ValueError, match="must be the 5 samples that were drawn for, got 2"):
        kept.draw(images[:2])


def test_samples_without_a_draw_stay_without_one():
    class Odd(Columns):
        def draw(self, inputs, seed=None):
            return [None if row % 2 else draw for row, draw in enumerate(super().draw(inputs, seed))]

    table = torch.rand(4, 3)
    assert [draw is None for draw in AsDrawn(Odd(n_variables=2), table).draw(table + 1)] == [False, True, False, True]
