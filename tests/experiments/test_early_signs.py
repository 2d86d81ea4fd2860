"""What counts as an early sign of overfitting."""

import math

from experiments.early_signs import early_signs, signs_answer


def result(losses, orders, shares, onset=4, reference=2):
    """The detector says at the last epoch that overfitting began at ``onset``."""
    epochs = [0, 2, 4, 6]
    history = [
        {"epoch": epoch, "held_out_loss": loss, "mean_order": order, "onset_epoch": onset}
        | {"phase": "overfitting" if epoch == epochs[-1] else "normal"}
        for epoch, loss, order in zip(epochs, losses, orders, strict=True)
    ]
    over = {"epochs": epochs, "spindle_share": shares, "reference_epoch": reference}
    return {"run": "a", "size": "small", "seed": 0, "history": history, "figures": {"5": over}}


def test_signs_are_the_first_epochs_at_which_they_are_seen():
    (found,) = early_signs([result([2.0, 1.0, 1.04, 1.2], [3.0, 2.0, 2.3, 3.0], [0.9, 0.0, 0.05, 0.3])])

    assert found["held-out loss rises"] == 6
    assert found["the detector says so"] == 6
    assert found["onset that it dates"] == 4
    assert found["mean order rises"] == 4
    assert found["spindle share returns"] == 6


def test_a_sign_that_is_never_seen_is_not_a_number():
    (found,) = early_signs([result([2.0, 1.0, 0.9, 0.8], [3.0, 2.0, 2.0, 2.0], [0.9, 0.0, 0.0, 0.0])])

    assert math.isnan(found["held-out loss rises"])
    assert math.isnan(found["mean order rises"])
    assert math.isnan(found["spindle share returns"])


def test_a_run_without_overfitting_has_no_signs():
    assert early_signs([result([2.0, 1.0, 0.9, 0.8], [3.0] * 4, [0.9] * 4, onset=math.nan)]) == []


def test_the_answer_counts_the_runs():
    early = result([2.0, 1.0, 1.04, 1.2], [3.0, 2.0, 2.3, 3.0], [0.9, 0.0, 0.05, 0.3])
    never = result([2.0, 1.0, 0.9, 0.8], [3.0, 2.0, 2.0, 2.0], [0.9, 0.0, 0.0, 0.2])
    said = signs_answer(early_signs([early, never]))

    assert "mean order rises, compared with the held-out loss, before it in 1, with it in 0" in said
    assert "and after it or never in 0 (in 1 neither does);" in said
    assert "returns before it in 1, with it in 1 and after it or never in 0." in said
