"""Interactions on images and in sentences: the right cells, the right words, the right colours."""

import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from lightning_interactions.plots import (
    NEGATIVE,
    POSITIVE,
    interaction_on_image,
    interactions_in_sentence,
    strongest_on_image,
)

# Two variables: AND of both +3, OR of both -5, the first alone -1.
AND, OR = [[0.0, -1.0, 0.0, 3.0]], [[0.0, 0.0, 0.0, -5.0]]
CELLS = [[1, 2], [3, 0]]
PICTURE = torch.arange(128.0).reshape(1, 8, 16)


@pytest.fixture
def patches(make_interactions):
    draw = {"positions": CELLS, "names": ["row 1 col 2", "row 3 col 0"], "baseline": [0.0]}
    return make_interactions(AND, OR, variables={"grid": 4}, draws=[draw])


def outlines(ax):
    """The coloured outlines: (left, top, width, height) → colour."""
    return {
        (*patch.get_xy(), patch.get_width(), patch.get_height()): to_hex(patch.get_edgecolor())
        for patch in ax.patches
        if patch.get_linewidth() > 2
    }


@pytest.mark.parametrize(
    ("rank", "title", "color", "cells"),
    [
        (0, "-5 OR", NEGATIVE, {(7.5, 1.5), (-0.5, 5.5)}),
        (1, "+3 AND", POSITIVE, {(7.5, 1.5), (-0.5, 5.5)}),
        (2, "-1 AND", NEGATIVE, {(7.5, 1.5)}),
        (3, "no such interaction", None, set()),
    ],
)
def test_the_cells_of_an_interaction_are_outlined(rank, title, color, cells, patches, drawn):
    figure, ax = interaction_on_image(patches, 0, PICTURE, rank=rank)

    found = outlines(ax)
    assert ax.get_title() == title
    assert {(left, top) for left, top, _, _ in found} == cells
    assert all((width, height) == (4.0, 2.0) for _, _, width, height in found)  # 16 × 8 pixels in a 4 × 4 grid
    assert all(to_hex(color) == shown for shown in found.values())
    assert drawn(figure)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_of_any_range_are_shown(channels, patches):
    image = 40 * torch.rand(channels, 8, 16, generator=torch.Generator().manual_seed(0)) - 20
    _, ax = interaction_on_image(patches, 0, image)

    shown = torch.as_tensor(ax.images[0].get_array())
    expected = (image - image.min()) / (image.max() - image.min())
    expected = expected[0] if channels == 1 else expected.permute(1, 2, 0)
    assert torch.allclose(shown.double(), expected.double(), atol=1e-6)


@pytest.mark.parametrize("image", [torch.zeros(8, 16), torch.ones(3, 8, 16)])
def test_an_image_of_one_colour(image, patches, drawn):
    assert drawn(interaction_on_image(patches, 0, image)[0])


def test_the_strongest_stand_side_by_side(patches):
    figure, axes = strongest_on_image(patches, 0, PICTURE, count=3)

    assert figure.axes == axes
    assert [ax.get_title() for ax in axes] == ["-5 OR", "+3 AND", "-1 AND"]


def test_what_is_no_image_is_refused(patches, make_interactions):
    with pytest.raises(ValueError, match=r"`image` must have shape \(C, H, W\).*got \(2, 8, 16\)"):
        interaction_on_image(patches, 0, torch.zeros(2, 8, 16))
    with pytest.raises(ValueError, match=r"`interactions` must be of image patches.*HINT"):
        interaction_on_image(make_interactions(AND), 0, PICTURE)


def test_words_of_an_interaction_are_highlighted(make_interactions, drawn):
    found = make_interactions(AND, OR, draws=[{"names": ["$never$", "<b>"], "positions": [[1], [4]]}])
    figure, ax = interactions_in_sentence(found, 0)

    lines = {}
    for text in ax.texts:
        box = text.get_bbox_patch()
        colour = None if box is None else to_hex(box.get_facecolor())
        lines.setdefault(-text.get_position()[1], []).append((text.get_text(), colour))
    blue, orange = to_hex(POSITIVE), to_hex(NEGATIVE)
    assert list(lines.values()) == [
        [("-5 OR", None), ("$never$", orange), ("<b>", orange)],
        [("+3 AND", None), ("$never$", blue), ("<b>", blue)],
        [("-1 AND", None), ("$never$", orange), ("<b>", None)],
    ]
    assert drawn(figure)


def test_fewer_lines_when_asked_and_a_given_axis(make_interactions):
    figure = Figure()
    ax = figure.subplots()

    assert interactions_in_sentence(make_interactions(AND, OR), 0, ax, count=1) == (figure, ax)
    assert [text.get_text() for text in ax.texts] == ["-5 OR", "x0", "x1"]


def test_a_sample_without_interactions_is_said(make_interactions, texts, drawn):
    figure, ax = interactions_in_sentence(make_interactions([[0.0, 0.0]]), 0)

    assert texts(ax) == ["no interaction"]
    assert drawn(figure)
