"""The network in another precision, and afterwards bit by bit as it was."""

import pytest
import torch
from torch import nn

from lightning_interactions.masking.feature_map import FeatureMapPatches
from lightning_interactions.masking.forward import values
from lightning_interactions.masking.precision import check_precision, coarsest_rounding, inputs_at, weights_at

PATCHES = FeatureMapPatches("features.4", grid=4, border=0, n_variables=3)


def tied():
    """Tied weights, a buffer, a recurrent layer that keeps a list of its weights."""
    model = nn.ModuleDict(
        {"in": nn.Linear(4, 4), "out": nn.Linear(4, 4), "norm": nn.BatchNorm1d(4), "rnn": nn.LSTM(4, 2)}
    )
    model["out"].weight = model["in"].weight
    return model


def state(model):
    return [
        (name, tensor, id(tensor), tensor.data_ptr(), tensor.clone(), tensor.requires_grad)
        for name, tensor in (*model.named_parameters(), *model.named_buffers())
    ]


def assert_same(model, before):
    for (name, tensor, identity, address, kept, gradient), now in zip(before, state(model), strict=True):
        assert now[0] == name
        assert (now[2], now[3], now[5]) == (identity, address, gradient), name
        assert torch.equal(tensor, kept)


@pytest.mark.parametrize("fault", [False, True], ids=["ends well", "raises"])
@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize(
    ("precision", "inside"),
    [
        ("float32", {torch.bfloat16: torch.float32}),
        ("float64", {torch.bfloat16: torch.float64, torch.float32: torch.float64}),
        ("bf16", {torch.bfloat16: torch.float32}),
    ],
)
def test_weights_are_as_wide_as_asked_and_their_very_selves_again(precision, inside, stored, fault):
    model = tied().to(stored)
    before = state(model)
    expected = inside.get(stored, stored)
    try:
        with weights_at(model, precision):
            assert {tensor.dtype for tensor in model.parameters()} == {expected}
            assert model["norm"].running_var.dtype == expected
            assert model["norm"].num_batches_tracked.dtype == torch.int64
            assert model["in"].weight is model["out"].weight
            assert torch.is_autocast_enabled("cpu") == (precision == "bf16")
            if precision != "bf16":
                assert model["rnn"](torch.zeros(1, 1, 4, dtype=expected))[0].dtype == expected
            if fault:
                raise ZeroDivisionError  # noqa: TRY301
    except ZeroDivisionError:
        assert fault

    assert_same(model, before)
    assert not torch.is_autocast_enabled("cpu")
    model["rnn"](torch.zeros(1, 1, 4, dtype=stored))


def test_channels_last_is_a_layout_and_no_other_number(make_conv_net, images, classes):
    model = make_conv_net(images)
    before = state(model)
    plain = values(model, images, classes, PATCHES, PATCHES.draw(images))
    seen = []
    handle = model.features[3].register_forward_pre_hook(
        lambda module, arguments: seen.append(
            [tensor.is_contiguous(memory_format=torch.channels_last) for tensor in (module.weight, arguments[0])]
        )
    )
    found = values(model, images, classes, PATCHES, PATCHES.draw(images), channels_last=True)
    handle.remove()

    torch.testing.assert_close(found, plain, rtol=1e-10, atol=1e-12)
    assert all(all(both) for both in seen)
    assert_same(model, before)


def test_float64_takes_the_rounding_away_and_bf16_adds_to_it(make_conv_net, images, classes):
    exact_model = make_conv_net(images)
    model = make_conv_net(images).float()
    exact_model.load_state_dict({key: tensor.double() for key, tensor in model.state_dict().items()})
    inputs, draws = images.float(), PATCHES.draw(images)
    exact = values(exact_model, inputs.double(), classes, PATCHES, draws)

    error = {
        precision: (values(model, inputs, classes, PATCHES, draws, precision=precision) - exact).abs().max().item()
        for precision in ("float64", "float32", "bf16")
    }
    assert error["float64"] < 1e-12
    assert 1e-9 < error["float32"] < 1e-4
    assert 100 * error["float32"] < error["bf16"] < 0.5


def test_weights_kept_in_half_are_watched_in_full(make_conv_net, images, classes):
    model = make_conv_net(images).bfloat16()
    wide = make_conv_net(images)
    wide.load_state_dict({key: tensor.double() for key, tensor in model.state_dict().items()})
    inputs, draws = images.bfloat16(), PATCHES.draw(images)

    found = values(model, inputs, classes, PATCHES, draws)
    torch.testing.assert_close(found, values(wide, inputs.double(), classes, PATCHES, draws), rtol=0, atol=1e-4)


def test_only_numbers_with_a_point_change_their_type():
    inputs = {"ids": torch.tensor([1]), "mask": torch.tensor([True]), "x": torch.zeros(1)}
    types = {key: tensor.dtype for key, tensor in inputs_at(inputs, "float64").items()}

    assert types == {"ids": torch.int64, "mask": torch.bool, "x": torch.float64}


def test_the_coarsest_type_counts():
    assert coarsest_rounding() == torch.finfo(torch.float64).eps
    assert coarsest_rounding(torch.zeros(1, dtype=torch.int64), torch.zeros(1)) == torch.finfo(torch.float32).eps


@pytest.mark.parametrize("precision", ["tf32", "16-mixed", None, 32])
def test_an_unknown_precision_is_refused(precision):
    with pytest.raises(ValueError, match=r"`precision` must be one of \['float32', 'float64', 'bf16'\], got"):
        check_precision(precision)
