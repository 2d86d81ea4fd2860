"""The questions: measured on a small run, kept question by question, and the page that is written from that alone."""

import json
import shutil

import pytest

from experiments.cli import main
from experiments.figures.run_folder import RunFolder
from experiments.questions import ask as asking
from experiments.questions import weight_decay
from experiments.questions.ask import ask
from experiments.questions.measure import measure
from experiments.questions.page import write_page
from experiments.questions.settings import QUESTIONS, settings
from experiments.restore import restore
from experiments.sizes import leaves
from lightning_interactions import InputPatches

# -- Measuring: a LeNet of three epochs on images of noise -------------------------------------------------------------


@pytest.fixture
def run(lenet_home, lenet_run, monkeypatch):
    """The run, where its data are found."""
    monkeypatch.chdir(lenet_home)
    return RunFolder(lenet_run[1].relative_to(lenet_home))


def test_the_same_settings_measure_the_same(run):
    networks = [restore(run, epoch) for epoch in (0, 1, 3)]
    points = measure(networks, networks[0].monitor.variables, networks[0].monitor.settings.solver)

    assert [point["epoch"] for point in points] == [0, 1, 3]
    assert [point["mean_order"] for point in points] == pytest.approx(run.history.column("mean_order"), rel=1e-3)
    assert [point["l1"] for point in points] == pytest.approx(run.history.column("l1"), rel=1e-3)
    assert points[1]["spindle_share"] == pytest.approx(0, abs=1e-3)  # the reference


@pytest.mark.parametrize(
    ("question", "labels", "changed"),
    [
        ("n", [f"n = {n}" for n in range(6, 13)], "n_variables"),
        ("grid", ["4 × 4, border 0", "6 × 6, border 1", "8 × 8, border 1", "14 × 14, border 2"], "grid"),
        ("draws", [f"draw {seed}" for seed in range(5)], "seed"),
    ],
)
def test_one_thing_is_changed_at_a_time(run, question, labels, changed):
    network = restore(run, 3)
    found = settings(question, network)

    assert [label for label, *_ in found] == labels
    assert len({getattr(variables, changed) for _, variables, _ in found}) == len(labels)
    kept = {"layer", "n_variables", "seed", "baseline"} - {changed}
    for _, variables, _ in found:
        assert {getattr(variables, name) == getattr(network.monitor.variables, name) for name in kept} == {True}


def test_what_replaces_a_masked_patch_is_changed(run):
    (_, zero, _), (_, mean, _), (_, image, _) = settings("baseline", restore(run, 3))

    assert zero.baseline == (0.0,)
    assert len(mean.baseline) == 6  # LeNet's first channels
    assert min(mean.baseline) >= 0  # after a ReLU
    assert max(mean.baseline) > 0
    assert isinstance(image, InputPatches)


def test_only_patches_of_a_map_can_be_asked_about(run):
    network = restore(run, 3)
    network.monitor.variables = InputPatches(grid=4, n_variables=3)
    with pytest.raises(TypeError, match="`run` must mask the patches of a map, got variables of the kind InputPatches"):
        settings("draws", network)


def test_a_question_is_answered_by_every_setting_at_every_epoch(run, tmp_path, monkeypatch):
    monkeypatch.setattr(asking, "QUESTIONS", {"solver": QUESTIONS["solver"]})
    assert ask(run.path, tmp_path / "answers.json") == ["solver"]

    found = json.loads((tmp_path / "answers.json").read_text())
    assert [answer["setting"] for answer in found["answers"]["solver"]] == ["interior_point", "admm", "sgd", "none"]
    for answer in found["answers"]["solver"]:
        assert [point["epoch"] for point in answer["points"]] == found["epochs"]
    optimum, *_, nothing_done = ([point["l1"] for point in answer["points"]] for answer in found["answers"]["solver"])
    assert all(best <= plain for best, plain in zip(optimum, nothing_done, strict=True))


# -- Which answers are kept --------------------------------------------------------------------------------------------


@pytest.fixture
def asked(synthetic_run, tmp_path, monkeypatch):
    """Two questions of a setting each whose answers cost nothing: ``asked()`` is what was measured."""
    monkeypatch.setattr(asking, "QUESTIONS", {"one": "One?", "other": "Other?"})
    monkeypatch.setattr(asking, "restore", lambda *_: None)
    monkeypatch.setattr(asking, "_asked", lambda question, *_: asked.settings[question])
    monkeypatch.setattr(asking, "_answer", lambda question, *_: given(*asked.settings[question]))

    def asked(**options):
        return ask(synthetic_run.path, tmp_path / "answers.json", **options)

    asked.path = tmp_path / "answers.json"
    asked.run = synthetic_run
    asked.settings = {"one": ["a"], "other": ["b"]}
    return asked


def given(*labels, **more):
    return [{"setting": label} | more for label in labels]


def change(path, **changed):
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def test_answers_are_measured_once(asked):
    assert asked() == ["one", "other"]
    before = asked.path.read_text()

    assert asked() == []
    assert asked.path.read_text() == before
    assert asked(again=True) == ["one", "other"]


def test_one_missing_answer_leaves_the_others_and_what_is_said_of_them(asked):
    asked()
    change(asked.path, date="long ago", machine="another", answers={"other": given("b", kept=True)})
    assert asked() == ["one"]

    found = json.loads(asked.path.read_text())
    assert found["answers"] == {"other": given("b", kept=True), "one": given("a")}
    assert (found["date"], found["machine"]) == ("long ago", "another")
    assert found["measured"]["one"]["machine"] != "another"


@pytest.mark.parametrize(
    "changed", [{"run": "vgg11_cifar10"}, {"size": "paper"}, {"seed": 1}, {"epochs": [0, 4, 8]}, {"n_samples": 7}]
)
def test_answers_about_something_else_are_dropped(asked, changed):
    asked()
    change(asked.path, answers={"one": given("a", of="another"), "other": given("b", of="another")}, **changed)
    assert asked() == ["one", "other"]

    found = json.loads(asked.path.read_text())
    assert found["answers"] == {"one": given("a"), "other": given("b")}
    assert {key: found[key] for key in changed} != changed


def test_answers_about_an_earlier_training_are_dropped(asked):
    asked()
    record = asked.run.path / "run.json"
    change(record, date="2026-02-02T00:00:00")
    assert asked() == ["one", "other"]

    content = json.loads(asked.path.read_text())
    del content["trained"]  # as in a file that does not say what it is about
    asked.path.write_text(json.dumps(content))
    assert asked() == ["one", "other"]


def test_a_training_that_was_cut_off_is_not_asked(asked):
    change(asked.run.path / "run.json", finished=False)
    with pytest.raises(RuntimeError, match=r"small-seed0' must have come to its end, .* --ckpt_path last\."):
        asked()
    assert not asked.path.exists()


def test_a_question_of_which_more_settings_are_asked_is_measured_again(asked):
    asked()
    asked.settings["one"] = ["a", "c"]
    assert asked() == ["one"]

    assert json.loads(asked.path.read_text())["answers"] == {"one": given("a", "c"), "other": given("b")}
    assert asked() == []


# -- The same run with another weight decay ----------------------------------------------------------------------------


@pytest.fixture
def trainings(synthetic_run, monkeypatch):
    """The commands of the trainings; each leaves what the run has left, with its own options, unless it is refused."""

    class Trainings:
        def __init__(self):
            self.commands, self.code = [], 0
            self.folder = synthetic_run.path.with_name("small-wd0.5-seed0")

        def run(self, command):
            self.commands.append(command[3:])
            if self.code == 0:
                shutil.copytree(synthetic_run.path, self.folder, dirs_exist_ok=True)
                self.leave_config(size="small-wd0.5", weight_decay=0.5)
            return self.code

        def leave_config(self, size, weight_decay, **more):
            self.folder.mkdir(exist_ok=True)
            model = {"network": {"init_args": {}}, "optimizer": {"init_args": {"weight_decay": weight_decay}}}
            config = synthetic_run.config | {"size": size, "model": model} | more
            (self.folder / "config.yaml").write_text(json.dumps(config))

        def leave_checkpoint(self):
            (self.folder / "checkpoints").mkdir(parents=True)
            (self.folder / "checkpoints" / "last.ckpt").touch()
            (self.folder / "run.json").write_text(json.dumps({"finished": False}))

        def ask(self, decay=0.5):
            return weight_decay.trained_with(synthetic_run, decay)

    synthetic_run.config["model"]["optimizer"] = {"init_args": {"weight_decay": 0.1}}
    trainings = Trainings()
    monkeypatch.setattr(weight_decay, "run_process", trainings.run)
    return trainings


def test_the_runs_own_weight_decay_needs_no_training(trainings):
    found = trainings.ask(0.1)

    assert trainings.commands == []
    assert found["epochs"] == [0, 2, 4, 6, 8]
    assert [point["epoch"] for point in found["points"]] == [0, 2, 8]
    assert found["points"][1]["spindle_share"] == pytest.approx(0, abs=1e-3)


def test_another_weight_decay_is_trained_once(trainings):
    assert trainings.ask()["setting"] == "weight decay 0.5"
    (command,) = trainings.commands
    assert command[:3] == ["fit", "--config", str(trainings.folder.with_name("small-seed0") / "config.yaml")]
    assert {"--size=small-wd0.5", "--model.optimizer.init_args.weight_decay=0.5"} <= set(command)
    assert "--ckpt_path=last" not in command

    trainings.ask()
    assert len(trainings.commands) == 1


def test_a_training_with_another_weight_decay_that_was_cut_off_goes_on(trainings):
    trainings.leave_checkpoint()
    trainings.leave_config("small-wd0.5", 0.5)
    trainings.ask()

    assert "--ckpt_path=last" in trainings.commands[0]


def test_what_a_training_cut_off_at_once_has_left_is_not_in_the_way(trainings):
    trainings.leave_config("of another", 7)
    (trainings.folder / "left_over.yaml").touch()
    trainings.ask()

    assert "--ckpt_path=last" not in trainings.commands[0]
    assert not (trainings.folder / "left_over.yaml").exists()


def test_a_training_that_does_not_end_is_no_answer(trainings):
    trainings.code = 1
    with pytest.raises(
        RuntimeError, match=r"weight decay 0\.5 in '.*wd0\.5-seed0' must come to its end, got .* code 1"
    ):
        trainings.ask()


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weight_decay": 0.7}, r"weight_decay 0\.7 in place of 0\.5"),
        ({"size": "paper-wd0.5"}, r"size paper-wd0\.5 in place of small-wd0\.5"),
        ({"seed_everything": 1}, "seed_everything 1 in place of 0"),
        ({"n": 9}, "n 9 in place of 4"),
    ],
)
def test_a_training_of_something_else_is_no_answer_and_not_gone_on_with(trainings, finished, options, said):
    trainings.ask() if finished else trainings.leave_checkpoint()
    trainings.leave_config(**({"size": "small-wd0.5", "weight_decay": 0.5} | options))
    before = len(trainings.commands)
    with pytest.raises(
        FileExistsError, match=rf"small-wd0\.5-seed0' must hold .* of 0\.5, got one with .*{said}\. HINT"
    ):
        trainings.ask()
    assert len(trainings.commands) == before


def test_a_training_that_does_not_say_of_what_it_is_is_no_answer(trainings):
    trainings.ask()
    (trainings.folder / "config.yaml").unlink()
    with pytest.raises(FileExistsError, match=r"got one with no config\.yaml\. HINT: move or remove that folder"):
        trainings.ask()


def test_options_that_came_later_and_where_a_training_lies_make_it_no_other(trainings):
    trainings.ask()
    logger = {"class_path": "CSVLogger", "init_args": {"name": "lenet_mnist", "save_dir": "elsewhere"}}
    trainings.leave_config("small-wd0.5", 0.5, trainer={"logger": logger}, ckpt_path="last", monitor={"new": True})
    trainings.ask()

    assert len(trainings.commands) == 1


def test_a_run_that_was_really_trained_is_repeated_but_for_its_weight_decay(run, monkeypatch):
    """Though it was made with other options than those of the configuration that bears its name."""
    commands = []

    def in_this_process(command):
        commands.append(command[3:])
        main(command[3:])
        return 0

    monkeypatch.setattr("sys.argv", ["experiments"])
    monkeypatch.setattr(weight_decay, "run_process", in_this_process)
    for _ in range(2):
        assert weight_decay.trained_with(run, 0.25)["epochs"] == [0, 1, 3]
    repeated = RunFolder(run.path.with_name("small-wd0.25-seed0"))
    before, after = (dict(leaves(folder.config)) for folder in (run, repeated))
    changed = {key: after[key] for key in after if after[key] != before[key]}

    assert len(commands) == 1
    assert changed == {
        "model.optimizer.init_args.weight_decay": 0.25,
        "size": "small-wd0.25",
        "similarity.at_epochs": [],
        "trainer.logger.init_args.version": "small-wd0.25-seed0",
    }
    assert before.keys() == after.keys()


# -- The page ----------------------------------------------------------------------------------------------------------


def point(epoch, share):
    return {
        "epoch": epoch,
        "positive": [0.5, 0.4, 0.1],
        "negative": [0.5, None, 0.1],
        "mean_order": 1.6,
        "l1": 3.0,
        "solver": "admm",
        "solver_gap": 1e-7,
        "spindle_share": share,
        "spindle_share_interval": [0.0, 0.9],
    }


def answer(setting, **more):
    return {"setting": setting, "points": [point(epoch, epoch / 10) for epoch in (0, 2, 8)]} | more


@pytest.fixture
def answers(tmp_path):
    path = tmp_path / "questions.json"
    curves = {"epochs": [0, 2, 8], "mean_order": [3.0, 2.0, 2.5], "loss_gap": [0.0, None, 0.5]}
    content = {
        "run": "lenet_mnist",
        "size": "small",
        "seed": 0,
        "epochs": [0, 2, 8],
        "n_samples": 20,
        "machine": "a machine",
        "date": "2026-01-01T00:00:00",
        "commit": "0123456789",
        "answers": {
            "solver": [answer("interior_point"), answer("sgd")],
            "weight_decay": [answer("weight decay 0", **curves)],
        },
    }
    path.write_text(json.dumps(content))
    return path


def test_the_page_shows_the_answers_that_there_are(answers, tmp_path):
    page = write_page(answers, tmp_path / "docs" / "questions.md")
    text = page.read_text()

    assert QUESTIONS["solver"] in text
    assert QUESTIONS["grid"] not in text
    shares = "not identified (0.00 … 0.90), not identified (0.00 … 0.90)"
    assert "No: `sgd` ends at 1, 1, 1 times the least L1" in text
    assert (
        "With a weight decay of 0 the training ends with a mean order of 1.60, an L1 of 3 and a loss gap of"
        in " ".join(text.split())
    )
    assert f"| sgd | 1.60 → 1.60 → 1.60 | {shares} | 3 → 3 → 3 | 1.0e-07 |" in text
    for line in text.splitlines():
        if line.startswith("!["):
            assert (page.parent / line.split("(")[1].rstrip(")")).read_bytes().startswith(b"\x89PNG")


def test_without_answers_there_is_no_page(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no answers in '.*nothing.json'\. HINT: .* questions --run FOLDER"):
        write_page(tmp_path / "nothing.json", tmp_path / "questions.md")
    assert not (tmp_path / "questions.md").exists()


def test_a_solver_that_ends_less_sparse_than_nothing_done_is_named(answers, tmp_path):
    def found(setting, *l1):
        points = [point(epoch, 0.0) | {"l1": amount} for epoch, amount in zip((0, 2, 8), l1, strict=True)]
        return {"setting": setting, "points": points}

    content = json.loads(answers.read_text())
    solvers = [found("interior_point", 1, 2, 4), found("sgd", 3, 3, 5), found("none", 2, 8, 9)]
    answers.write_text(json.dumps(content | {"answers": {"solver": solvers}}))
    text = write_page(answers, tmp_path / "questions.md").read_text()

    assert "at the three epochs: sgd 3, 1.5, 1.25; none 2, 4, 2.25." in text
    assert "At epoch 0 `sgd` is further from sparse than `none`" in text


def test_settings_are_counted_and_their_solver_is_named(answers, tmp_path):
    def found(n, *orders):
        strength = {"positive": [0.5] * n, "negative": [0.5] * n, "spindle_share_interval": [0.0, 0.3]}
        points = [
            point(epoch, 0.1) | strength | {"mean_order": order} for epoch, order in zip((0, 2, 8), orders, strict=True)
        ]
        return {"setting": f"n = {n}", "points": points}

    content = json.loads(answers.read_text())
    n = [found(6, 2.0, 1.9, 1.9), found(12, 4.0, 2.5, 3.5)]
    answers.write_text(json.dumps(content | {"answers": {"n": n, "solver": [answer("interior_point"), answer("sgd")]}}))
    text = write_page(answers, tmp_path / "questions.md").read_text()

    said = " ".join(text.split())
    assert "Measured on a machine, 2026-01-01, commit 0123456." in said
    assert "All settings of a question have the same solver (`admm`), but for the question about solvers." in said
    assert (
        "Yes: the mean order falls in the normal phase in 1 of 2 settings (n = 12) and rises again after it in 1 of 2"
        " settings (n = 12);" in said
    )
    assert "identified in 2 of 2 settings and is 0.10 … 0.10 there." in said
