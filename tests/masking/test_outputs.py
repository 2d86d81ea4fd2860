"""Scalar outputs against probabilities in float64, one row at a time."""

import math
from types import SimpleNamespace

import pytest
import torch

from lightning_interactions.masking.outputs import log_odds, logits_of, margin, resolve_output, target_logit

LOGITS = torch.randn(20, 5, generator=torch.Generator().manual_seed(0)) * 3
TARGETS = torch.arange(20) % 5


def slow_log_odds(logits, target):
    weights = [math.exp(logit) for logit in logits.tolist()]
    p = weights[target] / sum(weights)
    return math.log(p / (1 - p))


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_log_odds_are_log_p_over_one_minus_p(n_classes):
    logits, targets = LOGITS[:, :n_classes].double(), TARGETS % n_classes
    expected = [slow_log_odds(row, int(target)) for row, target in zip(logits, targets, strict=True)]

    assert log_odds(logits, targets).tolist() == pytest.approx(expected, abs=1e-9)


def test_log_odds_keep_their_digits_in_float32():
    exact = log_odds(LOGITS.double(), TARGETS)

    torch.testing.assert_close(log_odds(LOGITS, TARGETS).double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [100.0, 1e4, 1e30])
def test_extreme_logits_stay_finite(size):
    logits = torch.tensor([[size, -size], [size, -size]])

    assert log_odds(logits, torch.tensor([0, 1])).tolist() == pytest.approx([2 * size, -2 * size])


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
@pytest.mark.parametrize(
    "targets", [torch.tensor([1, 0, 1]), torch.tensor([1.0, 0.0, 1.0]), torch.tensor([1, 0, 1]) > 0]
)
def test_one_logit_is_the_logit_of_class_one_against_zero(shape, targets):
    logits = torch.tensor([2.0, 3.0, -4.0]).reshape(shape)
    p = torch.sigmoid(logits.double()).flatten()

    expected = torch.where(targets.bool(), p / (1 - p), (1 - p) / p).log().float()
    torch.testing.assert_close(log_odds(logits, targets), expected)
    assert margin(logits, targets).tolist() == [2, -3, -4]
    assert target_logit(logits, targets).tolist() == [2, 0, -4]


def test_margin_and_target_logit_row_by_row():
    for row, target in enumerate(TARGETS.tolist()):
        others = [LOGITS[row, k].item() for k in range(5) if k != target]

        assert target_logit(LOGITS, TARGETS)[row] == LOGITS[row, target]
        assert margin(LOGITS, TARGETS)[row].item() == pytest.approx(LOGITS[row, target].item() - max(others))


@pytest.mark.parametrize("output", [log_odds, margin, target_logit])
def test_targets_may_be_a_column(output):
    assert torch.equal(output(LOGITS, TARGETS[:, None]), output(LOGITS, TARGETS))


@pytest.mark.parametrize("output", [log_odds, margin, target_logit])
def test_a_row_with_nan_spoils_no_other(output):
    spoilt = LOGITS.clone()
    spoilt[3] = float("nan")
    finite = output(spoilt, TARGETS).isfinite()

    assert finite.tolist() == [row != 3 for row in range(20)]


@pytest.mark.parametrize("output", [log_odds, margin, target_logit])
@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        (LOGITS[:2], [0, 5], r"class indices 0 … 4.*got \[5\]"),
        (LOGITS[:2], [-1, 0], r"class indices 0 … 4.*got \[-1\]"),
        (LOGITS[:2], [0.5, 1.0], r"class indices 0 … 4.*got \[0.5\]"),
        (LOGITS[:2], [float("nan"), 1.0], r"class indices 0 … 4.*got \[nan\]"),
        (LOGITS[:2, 0], [0, 2], r"class indices 0 … 1.*got \[2\]"),
        (LOGITS[:2], [0, 1, 2], r"each of the 2 samples, got shape \(3,\)"),
        (LOGITS[:2], [[0, 1], [1, 0]], r"each of the 2 samples, got shape \(2, 2\)"),
        (LOGITS[:2, :, None], [0, 1], r"\(B, classes\).*got \(2, 5, 1\)"),
        (LOGITS[:2, :0], [0, 1], r"\(B, classes\).*got \(2, 0\)"),
        (LOGITS[0, 0], [0], r"\(B, classes\).*got \(\)"),
    ],
)
def test_logits_and_targets_that_do_not_fit_are_refused(output, logits, targets, message):
    with pytest.raises(ValueError, match=message):
        output(logits, torch.tensor(targets))


@pytest.mark.parametrize(
    ("name", "function"), [("log_odds", log_odds), ("margin", margin), ("target_logit", target_logit)]
)
def test_outputs_have_names(name, function):
    assert resolve_output(name) is function


def test_any_callable_is_an_output():
    assert resolve_output(max) is max


def test_an_unknown_output_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"\['log_odds', 'margin', 'target_logit'\].*got 'loss'"):
        resolve_output("loss")


@pytest.mark.parametrize(
    "result",
    [
        LOGITS,
        SimpleNamespace(logits=LOGITS, loss=None),
        {"logits": LOGITS, "loss": LOGITS.sum()},
        (LOGITS, "features"),
        [LOGITS],
    ],
    ids=["tensor", "attribute", "dict", "tuple", "list"],
)
def test_logits_are_found_in_what_networks_return(result):
    assert logits_of(result) is LOGITS


@pytest.mark.parametrize(
    "result", [None, (), ("features", LOGITS), {"scores": LOGITS}, SimpleNamespace(logits=None), 1.0]
)
def test_a_result_without_logits_is_refused(result):
    with pytest.raises(ValueError, match=f"got a {type(result).__name__}"):
        logits_of(result)


@pytest.mark.parametrize(
    "result",
    [LOGITS.sum(), (LOGITS.sum(), LOGITS), {"logits": LOGITS.sum()}, SimpleNamespace(logits=LOGITS.sum())],
    ids=["alone", "a loss before the logits", "in a mapping", "in an object"],
)
def test_a_single_number_is_no_logits(result):
    with pytest.raises(ValueError, match=f"got a {type(result).__name__} with a single number.* HINT: pass `forward="):
        logits_of(result)
