"""The figures: their numbers against slow references, their pictures from the numbers alone."""

import json
import math

import pytest
import torch

from experiments.commands import run_command
from experiments.figures.catalogue import FIGURES, make_figure
from experiments.figures.fits import peak_order, r_squared, spearman
from experiments.figures.run_folder import RunFolder
from experiments.figures.table import numbers as table_numbers
from experiments.figures.theorem import numbers as theorem_numbers
from lightning_interactions import Interactions, disentangle, order_strength
from lightning_interactions.distribution.strength import sample_order_strength
from lightning_interactions.files import with_nan

PNG = b"\x89PNG"


def brute_strength(and_, or_, threshold):
    """Strength of each order, subset by subset."""
    samples, subsets = and_.shape
    n = subsets.bit_length() - 1
    up, down = [0.0] * n, [0.0] * n
    for effects in (and_, or_):
        for sample in range(samples):
            for subset in range(1, subsets):
                effect = effects[sample, subset].item()
                if abs(effect) > threshold:
                    side = up if effect > 0 else down
                    side[subset.bit_count() - 1] += abs(effect) / samples
    return up, down


# -- The run's folder --------------------------------------------------------------------------------------------------


def test_a_run_is_read(synthetic_run):
    assert synthetic_run.name == "lenet_mnist"
    assert synthetic_run.n_variables == 4
    assert synthetic_run.onset_epoch == 4
    assert synthetic_run.reference_epoch == 2
    assert synthetic_run.time_points() == [0, 2, 4, 8]
    assert synthetic_run.similarity_epochs() == [8]


def test_without_an_onset_the_smallest_held_out_loss_ends_the_normal_phase(synthetic_run):
    for record in synthetic_run.history:
        record["onset_epoch"] = math.nan
    assert synthetic_run.reference_epoch == 2


def test_a_measurement_that_failed_is_left_out(synthetic_run):
    path = synthetic_run.path / "interactions" / "history.json"
    content = json.loads(path.read_text())
    content["records"][2]["mean_order"] = None
    path.write_text(json.dumps(content))

    assert RunFolder(synthetic_run.path).history.epochs == [0, 2, 6, 8]


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="`run` must be the folder of a run") as refused:
        RunFolder(tmp_path)
    assert "HINT" in str(refused.value)


# -- Single numbers ----------------------------------------------------------------------------------------------------


def test_a_flat_line_explains_nothing():
    observed = torch.tensor([1.0, 2.0, 3.0])
    assert r_squared(observed, torch.full((3,), 2.0)) == 0
    assert math.isnan(r_squared(torch.ones(3), torch.ones(3)))


def test_ranks_and_peaks():
    assert spearman([1, 2, 3, 4], [8.0, 4.0, 2.0, 1.0]) == -1
    assert math.isnan(spearman([1, 2], [3.0, 3.0]))
    assert peak_order(torch.tensor([3.0, 1.0]), torch.tensor([0.0, 4.0])) == 2


# -- Numbers -----------------------------------------------------------------------------------------------------------


def test_figure_2_is_the_difference_of_the_normalised_strengths(synthetic_run):
    found = FIGURES[2].numbers(synthetic_run)
    strengths = {}
    for epoch in (2, 8):
        interactions = synthetic_run.interactions(epoch)
        up, down = brute_strength(interactions.and_, interactions.or_, interactions.threshold)
        strengths[epoch] = [[value / (up[0] + down[0]) for value in side] for side in (up, down)]

    last = found["emerged"][-1]
    assert last["epoch"] == 8
    for side, key in enumerate(("positive", "negative")):
        expected = [abs(a - b) for a, b in zip(strengths[8][side], strengths[2][side], strict=True)]
        assert last[key] == pytest.approx(expected)
    assert [point["epoch"] for point in found["points"]] == [0, 2, 4, 8]
    earlier, later = (synthetic_run.interactions(epoch) for epoch in (2, 8))
    up, down = brute_strength(earlier.and_ - later.and_, earlier.or_ - later.or_, earlier.threshold)
    total = [a + b for a, b in zip(up, down, strict=True)]
    assert last["others"]["effect by effect"]["peak_order"] == 1 + total.index(max(total))


@pytest.mark.parametrize("place", [0, 2])
def test_figure_3_is_the_strength_of_the_differences(synthetic_run, place):
    found = FIGURES[3].numbers(synthetic_run)["kinds"]["fgsm"]
    step = found["steps"][place]
    folder = synthetic_run.injected()
    clean = Interactions.load(folder / "clean.npz")
    noisy = Interactions.load(folder / f"fgsm_{step['sigma']}.npz")
    up, down = brute_strength(clean.and_ - noisy.and_, clean.or_ - noisy.or_, clean.threshold)

    assert step["positive"] == pytest.approx(up)
    assert step["negative"] == pytest.approx(down)
    assert step["total"] == pytest.approx(sum(up) + sum(down))
    assert found["spearman_total"] == 1


def test_a_sample_that_the_disturbed_network_failed_on_is_left_out(synthetic_run):
    folder = synthetic_run.injected()
    noisy = Interactions.load(folder / "fgsm_0.1.npz")
    rows = [0, 2, 3, 5]
    arrays = {name: getattr(noisy, name)[rows] for name in ("values", "and_", "or_", "l1", "gap", "noise_bound")}
    Interactions(**arrays, threshold=noisy.threshold, provenance={"samples": rows}).save(folder / "fgsm_0.1.npz")
    clean = Interactions.load(folder / "clean.npz")
    up, _ = brute_strength(clean.and_[rows] - noisy.and_[rows], clean.or_[rows] - noisy.or_[rows], clean.threshold)

    assert FIGURES[3].numbers(synthetic_run)["kinds"]["fgsm"]["steps"][0]["positive"] == pytest.approx(up)


def test_figures_4_and_8_are_fits_with_the_clean_network_as_reference(synthetic_run):
    found = FIGURES[8].numbers(synthetic_run)
    clean = Interactions.load(synthetic_run.injected() / "clean.npz")
    noisy = Interactions.load(synthetic_run.injected() / "weight_noise_0.2.npz")
    fit = disentangle(*sample_order_strength(noisy), clean)

    step = found["kinds"]["weight_noise"]["steps"][1]
    assert step["spindle_share"] == fit.spindle_share
    assert step["decay_total"] == pytest.approx(fit.decay.sum().item())
    measured = torch.tensor([step["positive"], step["negative"]], dtype=torch.float64)
    parts = torch.tensor(step["decay"]) + torch.tensor(step["spindle"]) + torch.tensor(step["residual"])
    assert parts == pytest.approx(measured, abs=1e-6)
    assert found["clean_total"] == pytest.approx(sum(map(sum, brute_strength(clean.and_, clean.or_, clean.threshold))))


def test_figure_5_is_a_fit_at_every_epoch(synthetic_run):
    found = FIGURES[5].numbers(synthetic_run)
    fit = disentangle(*sample_order_strength(synthetic_run.interactions(6)), synthetic_run.interactions(2))

    assert found["epochs"] == [0, 2, 4, 6, 8]
    assert found["spindle_share"][3] == fit.spindle_share
    assert found["relative_l1"][3] == fit.relative_l1
    # The reference explains itself: that is why no claim is judged there.
    assert found["relative_l1"][1] == pytest.approx(0, abs=1e-3)


def test_figure_6_compares_class_by_class(synthetic_run):
    point = FIGURES[6].numbers(synthetic_run)["points"][0]
    sides = [synthetic_run.interactions(8, part) for part in ("train", "test")]
    expected = []
    for order in range(1, 5):
        shared = joined = 0.0
        for subset in (subset for subset in range(16) if subset.bit_count() == order):
            for sign in (1, -1):
                for name in ("and_", "or_"):
                    train, test = (
                        (sign * getattr(side, name)[3:, subset]).clamp(min=0).mean().item() for side in sides
                    )
                    shared, joined = shared + min(train, test), joined + max(train, test)
        expected.append(shared / joined)

    assert point["classes"] == [0, 1]
    assert point["samples_per_class"] == 3
    assert point["per_class"][1] == pytest.approx(expected, nan_ok=True)
    means = torch.tensor(point["per_class"]).nanmean(dim=0).tolist()
    assert point["similarity"] == pytest.approx(means)


def test_figure_7_takes_the_overfitting_phase_without_its_end(synthetic_run):
    found = theorem_numbers(synthetic_run)
    assert [point["epoch"] for point in found["points"]] == [4, 6]
    point = found["points"][0]
    up, down = order_strength(synthetic_run.interactions(4))
    assert point["real_positive"] == up.tolist()
    # δ → 0 is among what is searched, so the theorem cannot be worse than scaling alone.
    assert point["r_squared"] >= point["r_squared_scaling"] - 1e-6
    assert point["r_squared"] == pytest.approx(
        r_squared(torch.cat([up, down]), torch.tensor(point["positive"] + point["negative"], dtype=torch.float64))
    )


def test_without_an_overfitting_phase_figure_7_has_no_point(synthetic_run):
    for record in synthetic_run.history:
        record["onset_epoch"] = math.nan
    found = theorem_numbers(synthetic_run)

    assert found["points"] == []
    assert len(FIGURES[7].draw(found).axes) == 1


# -- Pictures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [2, 3, 5, 6, 7])
def test_every_figure_is_a_picture_and_its_numbers(synthetic_run, number, tmp_path):
    numbers, picture = make_figure(number, synthetic_run, tmp_path / "out")

    assert picture.read_bytes().startswith(PNG)
    assert json.loads(numbers.read_text(), parse_constant=pytest.fail)["n_variables"] == 4


def test_a_picture_can_be_drawn_again_from_its_numbers(synthetic_run, tmp_path):
    numbers, picture = make_figure(6, synthetic_run)
    FIGURES[6].draw(with_nan(json.loads(numbers.read_text()))).savefig(tmp_path / "again.png", dpi=110)

    assert (tmp_path / "again.png").read_bytes() == picture.read_bytes()


def test_the_bars_are_the_numbers(synthetic_run):
    found = FIGURES[2].numbers(synthetic_run)
    first = FIGURES[2].draw(found).axes[0]

    heights = [bar.get_height() for bar in first.patches]
    point = found["points"][0]
    assert heights == pytest.approx([*point["normalized_positive"], *(-v for v in point["normalized_negative"])])


def test_figure_4_shows_the_ends_of_figure_8(synthetic_run):
    found = FIGURES[8].numbers(synthetic_run)
    few, many = (FIGURES[number].draw(found).axes for number in (4, 8))
    assert len(few) == 2 * 2 * 4
    assert len(many) == 2 * 3 * 4


def test_without_noise_there_is_no_bound_to_compare_errors_with(synthetic_run):
    assert all(0 <= ratio <= 1 + 1e-9 for ratio in table_numbers(synthetic_run)["matching_ratio"])
    for record in synthetic_run.history:
        record["noise_bound"] = 0.0
    assert all(map(math.isnan, table_numbers(synthetic_run)["matching_ratio"]))


def test_a_figure_that_there_is_not_is_refused(synthetic_run):
    with pytest.raises(ValueError, match="`number` must be one of"):
        make_figure(1, synthetic_run)


def test_a_missing_measurement_is_named(synthetic_run):
    (synthetic_run.injected() / "index.json").unlink()
    with pytest.raises(FileNotFoundError, match="HINT: python -m experiments inject --run"):
        make_figure(3, synthetic_run)


def test_the_command_says_where_the_picture_is(synthetic_run, capsys):
    assert run_command(["figure", "6", "--run", str(synthetic_run.path)]) == 0
    said = capsys.readouterr().out
    assert f"Picture: {synthetic_run.path / 'figures' / 'figure_6.png'}" in said
