"""What counts as an early sign of overfitting."""

import math

from experiments.early_signs import early_signs, signs_answer, signs_table


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


def test_confidence_is_a_sign_where_it_was_looked_for():
    asked = result([2.0, 1.0, 1.04, 1.2], [3.0, 2.0, 2.3, 3.0], [0.9, 0.0, 0.05, 0.3]) | {
        "confidence": [
            {"epoch": epoch, "overconfidence": over, "margin": margin}
            for epoch, over, margin in [(0, 0.0, 0.1), (2, 0.04, 0.5), (4, 0.06, 0.49), (6, 0.2, 0.47)]
        ]
    }
    not_asked = result([2.0, 1.0, 1.04, 1.2], [3.0, 2.0, 2.3, 3.0], [0.9, 0.0, 0.05, 0.3])
    signs = early_signs([asked, not_asked])

    assert [sign["overconfidence"] for sign in signs] == [4, None]
    assert [sign["margin falls"] for sign in signs] == [6, None]
    said = signs_answer(signs)
    assert "over 1 of these runs" in said
    assert "overconfidence before it in 1, with it in 0 and after it or never in 0;" in said
    assert "margin falls before it in 0, with it in 1 and after it or never in 0." in said
    assert [line.split(" | ")[-1] for line in signs_table(signs)[-2:]] == ["6 |", "– |"]


def test_confidence_that_stays_sound_is_never_a_sign():
    sound = result([2.0, 1.0, 1.04, 1.2], [3.0, 2.0, 2.3, 3.0], [0.9, 0.0, 0.05, 0.3]) | {
        "confidence": [{"epoch": epoch, "overconfidence": 0.05, "margin": 0.1 * epoch} for epoch in (0, 2, 4, 6)]
    }
    (found,) = early_signs([sound])

    assert math.isnan(found["overconfidence"])
    assert math.isnan(found["margin falls"])
    assert signs_table([found])[-1].endswith("| never | never |")
