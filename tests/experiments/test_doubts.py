"""Controls on hand-made numbers: each shows its doubt where it should, and none where not."""

import math

import pytest

from experiments.claims import CLAIMS
from experiments.doubts import doubts, learned

LOSSES = {0: 2.0, 2: 1.2, 4: 1.0, 6: 1.1, 8: 1.3}


def result(losses=LOSSES, reference=4, **figures):
    history = [{"epoch": epoch, "held_out_loss": loss} for epoch, loss in losses.items()]
    found = {
        "2": {"reference_epoch": reference},
        "5": {"onset_epoch": 6.0, "epochs": list(losses), "identified": [1] * len(losses)},
        "7": {"points": []},
        "8": {"kinds": {}},
    }
    return {"history": history, "figures": found | figures}


def test_a_run_without_anything_odd_has_no_doubts():
    assert all(doubts(claim.label, result()) == [] for claim in CLAIMS if claim.label != "6")


@pytest.mark.parametrize(("loss", "doubtful"), [(1.49, False), (1.51, True)])
def test_a_reference_has_learned_when_it_is_half_way(loss, doubtful):
    run = result({0: 2.0, 4: loss, 6: math.nan, 8: 1.0})
    assert learned(run) == (2.0, loss, 1.0)
    assert any("hardly learned" in doubt for doubt in doubts("3", run)) == doubtful


def test_a_held_out_loss_that_is_lowest_after_the_onset():
    run = result(LOSSES | {8: 0.9})
    assert any("lowest at 8" in doubt for doubt in doubts("5", run))


@pytest.mark.parametrize(
    ("identified", "said"),
    [
        ([1, 1, 1, 0, 0], "0 of 2 shares in overfitting are identified"),
        ([0, 1, 1, 1, 0], "the untrained share is not identified"),
    ],
)
def test_shares_that_are_not_identified(identified, said):
    (doubt,) = doubts("5", result(**{"5": {"onset_epoch": 6.0, "epochs": list(LOSSES), "identified": identified}}))
    assert doubt == said


def test_disturbed_networks_that_the_fit_does_not_describe():
    steps = [{"identified": 0, "relative_l1": 0.1}, {"identified": 1, "relative_l1": 0.3}]
    assert doubts("4", result(**{"8": {"kinds": {"fgsm": {"steps": steps}}}})) == [
        "Eq. 9 leaves more than 20% of the strength at 1 of 2 σ"
    ]
    steps[1]["identified"] = 0
    assert "0 of 2 shares are identified" in doubts("4", result(**{"8": {"kinds": {"fgsm": {"steps": steps}}}}))


def halves(between, within):
    return result(**{"6": {"points": [{"halves": {"samples": 5, "between": between, "within": within}}]}})


def test_similarity_that_training_samples_have_no_more_of():
    (doubt,) = doubts("6", halves([0.4, 0.2, 0.1], [0.4, 0.2, 0.1]))
    assert "0.40 to 0.10" in doubt
    (doubt,) = doubts("6", halves([0.4, 0.2, math.nan], [0.4, 0.2, math.nan]))
    assert "0.40 to 0.20" in doubt


def test_similarity_that_falls_faster_than_among_training_samples():
    assert doubts("6", halves([0.4, 0.2, 0.05], [0.4, 0.3, 0.2])) == []


def test_too_few_samples_for_a_control():
    (doubt,) = doubts("6", result(**{"6": {"points": [{"halves": {}}]}}))
    assert "too few" in doubt


def test_what_the_theorem_adds():
    points = [{"epoch": 8, "r_squared": 0.95, "r_squared_scaling": 0.9, "r_squared_appendix_h": 0.7}]
    alone, large = doubts("7", result(**{"7": {"points": points}}))
    assert "γ alone" in alone
    assert "0.70 at epoch 8" in large
