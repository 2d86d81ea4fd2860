"""The claims' verdicts on hand-made numbers, and the page that is written from results alone."""

import json
import math
import shutil

import pytest
from matplotlib.figure import Figure

from experiments.claims import CLAIMS, Judgement, combine, is_middle
from experiments.results import collect, is_collected, load_results
from experiments.scorecard import scorecard_text, spread, write_scorecard
from experiments.stand_ins import smaller_data_sets

JUDGES = {claim.label: claim.judge for claim in CLAIMS}


def point(peak, mean_order):
    return {"peak_order": peak, "mean_order": mean_order}


@pytest.mark.parametrize(
    ("points", "verdict"),
    [
        ([point(4, 4.0), point(2, 2.0)], "holds"),
        ([point(2, 2.4), point(1, 2.0)], "partly"),  # falls, but did not start in the middle
        ([point(4, 4.0), point(4, 3.9)], "does not"),
        ([point(4, 2.1), point(2, 2.0)], "does not"),  # a low peak that training did not make
    ],
)
def test_claim_1(points, verdict):
    assert JUDGES["1"]({"n_variables": 8, "points": points}).verdict == verdict


def emerged(peak, spindle, decay, onset=4.0):
    step = {"peak_order": peak, "spindle": {"r_squared": spindle}, "decay": {"r_squared": decay}}
    return {"n_variables": 8, "onset_epoch": onset, "emerged": [step]}


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [
        (emerged(4, 0.9, 0.5), "holds"),
        (emerged(2, 0.9, 0.5), "partly"),
        (emerged(4, 0.5, 0.6), "partly"),
        (emerged(2, 0.9, 0.95), "does not"),
        (emerged(4, 0.9, 0.5, onset=math.nan), "not tested"),
        ({"n_variables": 8, "onset_epoch": 4.0, "emerged": []}, "not tested"),
    ],
)
def test_claim_2(numbers, verdict):
    assert JUDGES["2"](numbers).verdict == verdict


def injected(**kinds):
    steps = {
        kind: {
            "steps": [{"spindle": {"r_squared": fit}, "peak_order": peak}] * 3,
            "spearman_total": grows,
        }
        for kind, (fit, peak, grows) in kinds.items()
    }
    return {"n_variables": 8, "kinds": steps}


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [
        (injected(weight_noise=(0.9, 4, 1.0), fgsm=(0.8, 3, 0.9)), "holds"),
        (injected(weight_noise=(0.9, 4, 1.0), fgsm=(0.7, 3, 1.0)), "partly"),
        (injected(weight_noise=(0.9, 2, 1.0), fgsm=(0.9, 2, 1.0)), "partly"),  # fits, but not over the middle
        (injected(weight_noise=(0.9, 4, 0.5), fgsm=(0.7, 4, 1.0)), "does not"),
    ],
)
def test_claim_3(numbers, verdict):
    assert JUDGES["3"](numbers).verdict == verdict


def test_claim_4_takes_the_largest_change_of_the_decay():
    def kind(grows, *totals):
        return {"spearman_spindle": grows, "steps": [{"decay_total": total, "spindle_total": 0.0} for total in totals]}

    def judge(**kinds):
        return JUDGES["4"]({"clean_total": 10.0, "kinds": kinds})

    assert judge(weight_noise=kind(1.0, 10.0, 8.5), fgsm=kind(0.9, 11.0)).verdict == "holds"
    found = judge(weight_noise=kind(1.0, 10.0, 8.5), fgsm=kind(0.9, 11.0, 1.0))
    assert found.verdict == "partly"
    assert found.values["fgsm: largest change of the decay"] == pytest.approx(0.9)
    assert judge(weight_noise=kind(0.1, 10.0)).verdict == "does not"
    # No spindle at any σ has no rank correlation, and does not grow.
    found = judge(weight_noise=kind(math.nan, 10.0))
    assert found.verdict == "does not"
    assert found.note == "weight_noise: the spindle is 0 at every σ, so that there is no Spearman correlation"


def over_training(share, order, onset=6.0, end=4):
    return {
        "epochs": [0, 2, 4, 6, 8],
        "spindle_share": share,
        "mean_order": order,
        "reference_epoch": end,
        "onset_epoch": onset,
        "relative_l1": [0.1, 0.3, 0.0, 0.1, 0.15],
    }


FALLS_AND_RISES = [4.0, 2.5, 2.0, 2.5, 3.0]


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [
        (over_training([0.9, 0.5, 0.0, 0.2, 0.4], FALLS_AND_RISES), "holds"),
        (over_training([0.9, 0.5, 0.0, 0.05, 0.4], FALLS_AND_RISES), "partly"),  # rises after the onset
        (over_training([0.05, 0.0, 0.0, 0.0, 0.0], FALLS_AND_RISES), "does not"),
        (over_training([0.9, 0.5, 0.0, 0.2, 0.4], [2.0] * 5), "does not"),  # only the share, whose reference decides
        (over_training([0.9, 0.5, 0.0, 0.2, 0.4], FALLS_AND_RISES, onset=math.nan), "not tested"),
    ],
)
def test_claim_5(numbers, verdict):
    assert JUDGES["5"](numbers).verdict == verdict


def test_claim_5_says_how_early_the_share_rises():
    found = JUDGES["5"](over_training([0.9, 0.5, 0.0, 0.2, 0.4], FALLS_AND_RISES, onset=8.0))
    assert found.values["epochs by which the share's rise comes before the onset (after: negative)"] == 2


@pytest.mark.parametrize(("spearman", "verdict"), [(-1.0, "holds"), (-0.6, "partly"), (0.0, "does not")])
def test_claim_6(spearman, verdict):
    last = {"spearman": spearman, "similarity": [0.5, 0.1, math.nan], "last_order": 2}
    first = {"spearman": 1.0, "similarity": [0.1], "last_order": 1}
    assert JUDGES["6"]({"points": [first, last]}).verdict == verdict


@pytest.mark.parametrize(
    ("fits", "verdict", "note"),
    [
        ([0.9, 0.9, 0.8], "holds", ""),
        ([0.9, 0.1, 0.9], "partly", ""),
        ([0.1, 0.1, 0.1], "does not", ""),
        ([0.9, 0.9], "partly", "2 of the 3 points could be measured"),
        ([0.1], "does not", "1 of the 3 points could be measured"),
    ],
)
def test_claim_7(fits, verdict, note):
    points = [{"r_squared": fit, "r_squared_scaling": 0.0} for fit in fits]
    found = JUDGES["7"]({"points": points})
    assert (found.verdict, found.note) == (verdict, note)


def test_claim_7_without_an_overfitting_phase():
    assert JUDGES["7"]({"points": []}).verdict == "not tested"


def test_claim_8_leaves_out_the_reference():
    numbers = over_training([0.0] * 5, [2.0] * 5)
    found = JUDGES["8"](numbers)
    assert found.verdict == "partly"
    assert found.values["median relative L1"] == pytest.approx(0.125)
    numbers["relative_l1"] = [0.5, 0.5, 0.0, 0.5, 0.5]
    assert JUDGES["8"](numbers).verdict == "does not"


@pytest.mark.parametrize(
    ("residuals", "verdict"), [([0.1, 0.2], "holds"), ([0.1, 0.1, 0.5], "partly"), ([0.5], "does not")]
)
def test_claim_8b_takes_every_disturbance(residuals, verdict):
    kinds = {"weight_noise": {"steps": []}, "fgsm": {"steps": [{"relative_l1": value} for value in residuals]}}
    assert JUDGES["8b"]({"kinds": kinds}).verdict == verdict


@pytest.mark.parametrize(("ratio", "verdict"), [(1.0, "holds"), (1.1, "does not")])
def test_theorem_2_1(ratio, verdict):
    assert JUDGES["T"]({"matching_ratio": [0.5, ratio]}).verdict == verdict


def test_theorem_2_1_needs_a_bound():
    assert JUDGES["T"]({"matching_ratio": [math.nan, math.nan]}).verdict == "not tested"


def test_seeds_must_agree():
    assert combine(["holds", "holds"]) == "holds"
    assert combine(["does not", "does not"]) == "does not"
    assert combine(["holds", "partly"]) == "partly"
    assert combine(["not tested"]) == "not tested"


def test_the_middle_is_open_at_both_ends():
    assert [order for order in range(1, 9) if is_middle(order, 8)] == [3, 4, 5]


def test_values_are_spread_over_the_seeds():
    assert spread([0.5, 1.5]) == "1.00 ± 0.71"
    assert spread([1234.5]) == "1234"
    assert spread([math.inf, math.nan]) == "∞"
    assert spread([-math.inf]) == "-∞"
    assert spread([-math.inf, math.inf]) == "±∞"


@pytest.fixture(scope="module")
def home(tmp_path_factory, write_synthetic_run):
    """A working directory with a finished run and its result."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        # Saving pictures is slow, and shown elsewhere.
        patch.setattr(Figure, "savefig", lambda _self, file, **_: file.write(b"picture"))
        collect(write_synthetic_run(home), home / "experiments" / "results")
    return home


@pytest.fixture
def results(home, tmp_path):
    """Three seeds of a run as results; the second and third with another loss."""
    folder = tmp_path / "experiments" / "results"
    shutil.copytree(home / "experiments" / "results", folder)
    for seed in (1, 2):
        content = json.loads((folder / "lenet_mnist_small_seed0.json").read_text())
        content["seed"] = seed
        content["history"][-1]["train_loss"] = 0.5 + seed
        (folder / f"lenet_mnist_small_seed{seed}.json").write_text(json.dumps(content))
    return folder


def test_a_result_has_all_that_must_be_known(results):
    content = json.loads((results / "lenet_mnist_small_seed0.json").read_text(), parse_constant=pytest.fail)

    assert {"config", "seed", "versions", "machine", "date", "commit", "command", "minutes"} <= set(content)
    assert content["minutes"].pop("collecting") > 0
    assert content["minutes"] == pytest.approx({"training": 1.0, "measuring in it": 5 / 60, "injecting": 0.1})
    assert content["date"] != content["collected"]["date"]
    assert {"commit", "versions", "machine"} <= set(content["collected"])
    assert content["data"] == {"trained_on": 7, "held_out": 5, "at_hand": None}
    assert set(content["figures"]) == {"table", "2", "3", "4", "5", "6", "7", "8"}
    assert [row["epoch"] for row in content["history"]] == [0, 2, 4, 6, 8]
    for figure in "2345678":
        assert (results / f"lenet_mnist_small_seed0_figure_{figure}.png").exists()


@pytest.mark.parametrize("record", [{"finished": False}, None], ids=["cut off", "no record"])
def test_a_training_that_was_cut_off_is_no_result(synthetic_run, tmp_path, record):
    path = synthetic_run.path / "run.json"
    if record is None:
        path.unlink()
    else:
        path.write_text(json.dumps(json.loads(path.read_text()) | record))
    with pytest.raises(RuntimeError, match=r"small-seed0' must have come to its end, got one that goes on or was cut"):
        collect(synthetic_run, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_result_belongs_to_one_run(home):
    folder, result = home / "runs/lenet_mnist/small-seed0", home / "experiments/results/lenet_mnist_small_seed0.json"
    assert is_collected(folder, result)
    assert not is_collected(folder.with_name("small-seed1"), result)
    for path, changed in (
        (folder / "run.json", {"date": "2026-01-02T00:00:00"}),
        (folder / "injected" / "index.json", {"seconds": 7.0}),
    ):
        kept = path.read_text()
        path.write_text(json.dumps(json.loads(kept) | changed))
        assert not is_collected(folder, result), path
        path.write_text(kept)


def test_how_much_was_trained_on_and_held_out_is_said(results):
    found = load_results(results)
    assert "| 7, 5 |" in scorecard_text(found)
    for result in found:
        del result["data"], result["collected"]  # as in results of earlier days
    assert "| 7, 5 |" not in scorecard_text(found)


def test_a_number_that_there_is_not_is_read_as_nan(results):
    content = json.loads((results / "lenet_mnist_small_seed0.json").read_text())
    content["history"][-1]["onset_epoch"] = content["figures"]["5"]["onset_epoch"] = content["remark"] = None
    (results / "lenet_mnist_small_seed0.json").write_text(json.dumps(content))
    found = load_results(results)[0]

    assert math.isnan(found["history"][-1]["onset_epoch"])
    assert math.isnan(found["figures"]["5"]["onset_epoch"])
    assert found["remark"] is None


def test_a_result_names_no_folder_of_the_machine(results, home):
    text = (results / "lenet_mnist_small_seed0.json").read_text()
    assert "/somewhere" not in text
    assert str(home) not in text


def test_the_page_is_made_of_the_results_alone(results, tmp_path):
    text = write_scorecard(results, tmp_path / "REPRODUCTION.md").read_text()
    assert write_scorecard(results, tmp_path / "again.md").read_text() == text

    assert "| 1.50 ± 1.00 |" in text  # the losses 0.5, 1.5 and 2.5
    for claim in CLAIMS:
        assert f"## {claim.label}. {claim.sentence}" in text
    assert text.count("Unit of σ: of weight_noise, root mean square of each parameter tensor (σ = ") == 3
    assert "verdicts on all claims but T" in text.split("## The runs")[0]
    assert "small, seeds 0, 1, 2" in text
    for line in text.splitlines():
        if line.startswith("!["):
            assert (tmp_path / line.split("(")[1].rstrip(")")).exists(), line


def test_every_row_of_a_table_has_as_many_cells_as_its_head(results):
    lines = scorecard_text(load_results(results)).splitlines()
    width = None
    for line in lines:
        if not line.startswith("|"):
            width = None
        else:
            width = width or line.count("|")
            assert line.count("|") == width, line


def test_a_failing_claim_is_said_to_fail(results):
    path = results / "lenet_mnist_small_seed0.json"
    content = json.loads(path.read_text())
    for step in content["figures"]["2"]["points"]:
        step["mean_order"] = 3.0
    text = scorecard_text([content])

    section = text.split("## 1. ")[1].split("## 2. ")[0]
    assert "**does not**" in section


def test_a_doubt_stands_beside_its_verdict_and_leaves_it(results):
    """A reference that has learned nothing: the dagger, the sentence, and the verdict as it was."""
    (sure, *_) = load_results(results)
    doubtful = {**sure, "history": [row | {"held_out_loss": 2.0 - 0.01 * row["epoch"]} for row in sure["history"]]}
    rows = [
        next(line for line in scorecard_text([result]).split("## 3. ")[1].splitlines() if "| LeNet" in line)
        for result in (sure, doubtful)
    ]
    assert rows[0].split("|")[-3] == rows[1].split("|")[-3]
    assert "hardly learned: held-out loss" in rows[1]
    glance = scorecard_text([doubtful]).split("## At a glance")[1].split("## The runs")[0]
    assert "†" in next(line for line in glance.splitlines() if line.startswith("| LeNet"))


def test_what_the_small_size_changes_is_listed(results):
    changed = scorecard_text(load_results(results)).split("## What the other sizes change")[1]
    assert "| LeNet / MNIST | small | " in changed


def test_a_remark_about_a_run_is_repeated(results):
    content = json.loads((results / "lenet_mnist_small_seed0.json").read_text())
    assert "as if" not in scorecard_text([content])
    assert "- LeNet / MNIST, small, seeds 0: as if" in scorecard_text([content | {"remark": "as if"}])


@pytest.mark.parametrize(
    ("data", "network", "said"),
    [
        (
            {"n_classes": 7, "image_size": 40, "n_train": None},
            {},
            "7 classes at 40 × 40 pixels, all their training images at hand",
        ),
        ({"n_classes": 7, "image_size": 40, "n_train": 90}, {}, "7 classes at 40 × 40 pixels, 90 training images"),
        ({}, {"pretrained": True, "checkpoint": "data/models/minilm-l6"}, "the pretrained `minilm-l6` in the place of"),
        ({}, {"pretrained": "data/models/minilm-l6"}, "the pretrained `minilm-l6` in the place of"),
        (
            {},
            {"pretrained": False, "config": {"num_hidden_layers": 3, "hidden_size": 48}},
            "random weights, 3 layers of 48 units",
        ),
        (
            {},
            {"pretrained": None, "config": {"num_hidden_layers": 3, "hidden_size": 48}},
            "random weights, 3 layers of 48 units",
        ),
    ],
)
def test_a_stand_in_is_named_with_its_sizes(results, data, network, said):
    content = json.loads((results / "lenet_mnist_small_seed0.json").read_text())
    assert "Stand-ins" not in scorecard_text([content])
    config = content["config"] | {"data": {"init_args": data}, "model": {"network": {"init_args": network}}}

    assert f"- LeNet / MNIST, small: {said}" in scorecard_text([content | {"config": config}])


@pytest.mark.parametrize(
    ("module", "options", "data", "said"),
    [
        (
            "Sst2",
            {"n_train": 500},
            {"at_hand": {"train": 900, "test": 20, "classes": 2}},
            "900 training and 20 held-out",
        ),
        (
            "Cub200",
            {"n_train": None, "n_classes": 7},
            {"trained_on": 90, "held_out": 80},
            "90 training and 80 held-out",
        ),
        (
            "Cub200",
            {"n_train": 50, "n_classes": 7},
            {"trained_on": 50, "held_out": 80},
            "",
        ),  # drawn from nobody knows what
        ("Mnist", {}, {"trained_on": 60_000, "held_out": 10_000}, ""),
        ("Digits", {}, {"trained_on": 10, "held_out": 10}, ""),
        ("Sst2", {}, None, ""),
    ],
)
def test_a_data_set_that_is_smaller_than_published_is_named_once(module, options, data, said):
    config = {"data": {"class_path": f"experiments.data.some.{module}", "init_args": options}}
    found = smaller_data_sets([{"config": config, "data": data}] * 2)

    assert len(found) == bool(said)
    assert said in "".join(found)


def test_the_page_names_smaller_data_sets(results):
    content = json.loads((results / "lenet_mnist_small_seed0.json").read_text())
    content["config"]["data"]["class_path"] = "experiments.data.mnist.Mnist"
    said = "- MNIST: the runs draw from 7 training and 5 held-out samples. Its owners publish 60000 training"

    assert said in scorecard_text([content])


def test_without_results_the_page_says_so(tmp_path):
    (tmp_path / "empty").mkdir()
    text = write_scorecard(tmp_path / "empty", tmp_path / "page.md").read_text()
    assert "No run has been made yet." in text


def test_a_judgement_is_plain():
    assert Judgement({"a": 1.0}, "holds").note == ""
