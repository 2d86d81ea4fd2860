"""Patches of the input image and columns of a table, against networks run on inputs masked by hand."""

import pytest
import torch
from torch import nn

from lightning_interactions.masking.forward import values
from lightning_interactions.masking.inputs import Columns, InputPatches

TABLE = torch.tensor([[1.0, 10.0, -3.0], [3.0, 30.0, 5.0], [2.0, 50.0, 4.0]], dtype=torch.float64)


def mixer(n_columns, n_classes=3):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(n_columns, 8), nn.Tanh(), nn.Linear(8, n_classes)).double()


@pytest.mark.parametrize("mask_batch_size", [1, 7, None])
@pytest.mark.parametrize("baseline", [0.0, (0.5, -1.0, 2.0)])
def test_input_patches_are_the_network_on_images_masked_by_hand(
    mask_batch_size, baseline, make_conv_net, images, classes, slow_mask, slow_log_odds
):
    model = make_conv_net(images)
    patches = InputPatches(grid=4, border=1, n_variables=3, baseline=baseline)
    draws = patches.draw(images)
    found = values(model, images, classes, patches, draws, mask_batch_size=mask_batch_size)

    model.eval()
    for sample, draw in enumerate(draws):
        for subset in range(8):
            masked = slow_mask(images[sample], draw.positions, subset, 4, baseline)
            logits = model(masked[None])[0].detach()
            assert found[sample, subset].item() == pytest.approx(slow_log_odds(logits, classes[sample]), abs=1e-9)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            torch.zeros(2, 3, 2, 9),
            r"at most 2, because the network's input is 2×9, got 4\. HINT: use a coarser grid\.$",
        ),
        (torch.zeros(2, 81), r"\(B, C, H, W\).*shape \(2, 81\)"),
        ({"pixels": torch.zeros(2, 3, 9, 9)}, r"got a dict\. HINT: FeatureMapPatches mask what a layer puts out"),
    ],
)
def test_input_that_is_no_image_of_that_size_is_refused(inputs, message):
    patches = InputPatches(grid=4, border=0, n_variables=2)
    with pytest.raises(ValueError, match=message):
        patches.mask(inputs, patches.draw(inputs), torch.ones(1, 2, dtype=torch.bool))


@pytest.mark.parametrize(
    ("baseline", "replacement"),
    [
        ("mean", [2.0, 30.0, 2.0]),
        (7.0, [7.0, 7.0, 7.0]),
        ((1.0, 2.0, 3.0), [1.0, 2.0, 3.0]),
        (torch.tensor([1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]),
    ],
)
@pytest.mark.parametrize("n_variables", [2, 3])
def test_columns_are_the_network_on_rows_masked_by_hand(baseline, replacement, n_variables, slow_log_odds):
    model, targets = mixer(3), torch.tensor([2, 0, 1])
    columns = Columns(n_variables, baseline)
    draws = columns.draw(TABLE)
    found = values(model, TABLE, targets, columns, draws)

    for sample, draw in enumerate(draws):
        for subset in range(2**n_variables):
            masked = TABLE[sample].clone()
            for variable, (column,) in enumerate(draw.positions):
                if not subset >> variable & 1:
                    masked[column] = replacement[column]
            logits = model(masked[None])[0].detach()
            assert found[sample, subset].item() == pytest.approx(slow_log_odds(logits, targets[sample]), abs=1e-9)


def test_every_row_has_all_columns_in_order_when_there_are_no_more():
    draws = Columns(3).draw(TABLE)

    assert [draw.positions for draw in draws] == [((0,), (1,), (2,))] * 3


def test_fewer_variables_than_columns_draw_distinct_ones_row_by_row():
    table = torch.rand(30, 6)
    columns = Columns(2, baseline=0.0)
    draws = columns.draw(table)

    assert all(draw.positions == tuple(sorted(set(draw.positions))) and len(draw.positions) == 2 for draw in draws)
    assert {column for draw in draws for (column,) in draw.positions} == set(range(6))
    assert columns.draw(table[[7, 3]]) == [draws[7], draws[3]]
    assert Columns(2, baseline=0.0, seed=1).draw(table) != draws


def test_the_mean_is_that_of_the_samples_explained_together():
    assert Columns(2).draw(TABLE)[0].baseline == (2.0, 30.0, 2.0)
    assert Columns(2).draw(TABLE[:2])[0].baseline == (2.0, 20.0, 1.0)


@pytest.mark.parametrize(
    ("names", "expected"), [(None, ("column 0", "column 1", "column 2")), (["a", "b", "c"], ("a", "b", "c"))]
)
def test_columns_have_names(names, expected):
    assert Columns(3, names=names).draw(TABLE)[0].names == expected


@pytest.mark.parametrize(
    ("settings", "inputs", "message"),
    [
        ({"names": ["a", "b"]}, TABLE, "`names` must have one entry for each of the 3 columns, got 2"),
        ({"baseline": (1.0, 2.0)}, TABLE, "`baseline` must have one entry for each of the 3 columns, got 2"),
        ({"n_variables": 4}, TABLE, r"at least `n_variables` = 4 columns, got shape \(3, 3\)"),
        ({}, TABLE[0], r"got shape \(3,\)"),
        ({}, [TABLE], "got a list"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(settings, inputs, message):
    with pytest.raises(ValueError, match=message):
        Columns(**{"n_variables": 2} | settings).draw(inputs)


@pytest.mark.parametrize("baseline", ["median", float("inf"), ()])
def test_an_unusable_baseline_is_refused(baseline):
    with pytest.raises(ValueError, match="`baseline` must be a"):
        Columns(2, baseline)


def test_provenance_says_how_to_repeat_the_masking():
    expected = {"kind": "Columns", "n_variables": 2, "layer": None, "seed": 3}

    assert Columns(2, seed=3).provenance() == expected | {"baseline": "mean", "names": None}
    assert Columns(2, 1.0, ["a", "b"], seed=3).provenance() == expected | {"baseline": [1.0], "names": ["a", "b"]}
