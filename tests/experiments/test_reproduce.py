"""What is done, in which order, and that a kill costs nothing that was finished."""

import json
from pathlib import Path

import pytest
from rich.console import Console

import experiments.reproduce as reproduction
from experiments.commands import run_command
from experiments.in_use import LOCK_FILE
from experiments.reproduce import PLAN, estimate, jobs, progress_table, reproduce

ROOT = Path(__file__).parents[2]
RUNS = (
    "vgg11_cifar10 vgg16_cub200 vgg13_cub200 alexnet_cub200 alexnet_tiny_imagenet lenet_mnist lenet_tiny_imagenet"
    " resnet20_mnist bert_medium_sst2 minilm_sst2"
)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """In the place of processes: each command leaves what the real one leaves, and is noted."""

    class Machine:
        def __init__(self):
            self.calls, self.pages = [], []
            self.refuse = lambda _arguments: 0
            self.options = {
                "results": tmp_path / "results",
                "scorecard": tmp_path / "page.md",
                "console": Console(quiet=True),
            }

        def run(self, command, _output):
            arguments = command[3:]
            self.calls.append(arguments)
            code = self.refuse(arguments)
            if code == 0:
                self.leave(arguments)
            return code

        def leave(self, arguments):
            if arguments[0] == "fit":
                (seed,) = (option.split("=")[1] for option in arguments if option.startswith("--seed_everything"))
                name = Path(arguments[2]).stem
                folder = tmp_path / "runs" / name / f"small-seed{seed}"
                (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
                (folder / "checkpoints" / "last.ckpt").touch()
                trained = {"finished": True, "seconds": 90.0, "date": f"the training with call {len(self.calls)}"}
                (folder / "run.json").write_text(json.dumps(trained))
                return
            folder = Path(arguments[2])
            injection = folder / "injected" / "index.json"
            if arguments[0] == "inject":
                injection.parent.mkdir(exist_ok=True)
                injection.write_text(json.dumps({"seconds": 30.0 + len(self.calls)}))
            else:
                results = Path(arguments[4])
                results.mkdir(exist_ok=True)
                seed = folder.name.removeprefix("small-seed")
                minutes = {"collecting": 0.1}
                if injection.exists():
                    minutes["injecting"] = json.loads(injection.read_text())["seconds"] / 60
                result = {"date": json.loads((folder / "run.json").read_text())["date"], "minutes": minutes}
                (results / f"{folder.parent.name}_small_seed{seed}.json").write_text(json.dumps(result))

        def reproduce(self, *only):
            return reproduce("small", tmp_path / "runs", only=only or None, **self.options)

    machine = Machine()
    monkeypatch.setattr(reproduction, "run_process", machine.run)
    monkeypatch.setattr(reproduction, "write_scorecard", lambda *_: machine.pages.append(len(machine.calls)))
    return machine


def trained(job, seconds):
    """What a training leaves that has ended."""
    job.folder.mkdir(parents=True)
    (job.folder / "run.json").write_text(json.dumps({"finished": True, "seconds": seconds, "date": "today"}))


def collected(job, minutes):
    """What a result says about the time it took, and which run it is of."""
    job.result.parent.mkdir(exist_ok=True)
    job.result.write_text(json.dumps({"date": "today", "minutes": minutes}))


def test_every_run_of_the_paper_is_planned():
    assert {run.name for run in PLAN} == set(RUNS.split())
    for run in PLAN:
        for folder in ("configs", "configs/small"):
            assert (ROOT / folder / f"{run.name}.yaml").exists(), run.name


def test_cheap_runs_come_first_and_other_seeds_last(tmp_path):
    todo = jobs("small", tmp_path)

    assert [job.seed for job in todo] == [0] * 10 + [1] * 3 + [2] * 3
    repeated = {"vgg11_cifar10", "lenet_mnist", "minilm_sst2"}
    assert {job.run.name for job in todo[:3]} == {job.run.name for job in todo if job.seed == 2} == repeated
    for part in (todo[:3], todo[3:10]):
        minutes = [job.run.minutes for job in part]
        assert minutes == sorted(minutes)
    assert len(jobs("paper", tmp_path)) == 10


def test_the_runs_of_figures_3_4_and_8_are_injected():
    assert {run.name for run in PLAN if run.injecting} >= {"resnet20_mnist", "vgg11_cifar10", "vgg16_cub200"}


def test_a_run_that_there_is_not_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`only` must name runs of"):
        jobs("small", tmp_path, ["resnet"])


def test_everything_is_done_once(machine):
    assert machine.reproduce("lenet_mnist", "minilm_sst2") == 0
    assert [call[0] for call in machine.calls] == (["fit", "inject", "collect", "fit", "collect"]) * 3

    machine.calls.clear()
    assert machine.reproduce("lenet_mnist", "minilm_sst2") == 0
    assert machine.calls == []


def test_the_result_of_another_machine_is_not_taken_for_this_runs(machine, tmp_path):
    """As in a fresh clone: the results are there, the runs are not."""
    (tmp_path / "results").mkdir()
    others = tmp_path / "results" / "minilm_sst2_small_seed0.json"
    others.write_text(json.dumps({"date": "long ago", "minutes": {"training": 5.0}}))

    assert machine.reproduce("minilm_sst2") == 0
    assert [call[0] for call in machine.calls[:2]] == ["fit", "collect"]
    assert json.loads(others.read_text())["date"] == "the training with call 1"
    assert machine.pages == [2, 4, 6]


def test_a_result_is_made_again_after_a_new_injection(machine, tmp_path):
    machine.reproduce("resnet20_mnist")
    machine.calls.clear()
    (tmp_path / "runs/resnet20_mnist/small-seed0/injected/index.json").unlink()

    machine.calls.append("so that it takes another time")
    machine.calls.append("than the first one did")
    machine.reproduce("resnet20_mnist")
    assert [call[0] for call in machine.calls[2:]] == ["inject", "collect"]


def test_the_small_configuration_lies_over_the_papers(machine):
    machine.reproduce("minilm_sst2")
    first = machine.calls[0]
    assert first[:5] == ["fit", "--config", "configs/minilm_sst2.yaml", "--config", "configs/small/minilm_sst2.yaml"]
    assert "--seed_everything=0" in first
    assert "--ckpt_path=last" not in first


def test_at_paper_size_the_papers_configuration_stands_alone(tmp_path):
    (job,) = jobs("paper", tmp_path / "runs", ["minilm_sst2"])
    command = [
        "fit",
        *("--config", "configs/minilm_sst2.yaml"),
        "--seed_everything=0",
        f"--trainer.logger.init_args.save_dir={tmp_path / 'runs'}",
        "--trainer.enable_progress_bar=false",
        "--trainer.enable_model_summary=false",
    ]
    assert job.command("train") == command
    (job.folder / "checkpoints").mkdir(parents=True)
    (job.folder / "checkpoints" / "last.ckpt").touch()
    assert job.command("train") == [*command, "--ckpt_path=last"]


def test_a_training_that_was_cut_off_is_resumed(machine, tmp_path):
    def killed(arguments):
        if arguments[0] == "fit":
            checkpoints = tmp_path / "runs" / "minilm_sst2" / "small-seed0" / "checkpoints"
            checkpoints.mkdir(parents=True, exist_ok=True)
            (checkpoints / "last.ckpt").touch()
            return -9
        return 0

    machine.refuse = killed
    assert machine.reproduce("minilm_sst2") == 3
    machine.refuse = lambda _arguments: 0
    machine.calls.clear()

    assert machine.reproduce("minilm_sst2") == 0
    assert "--ckpt_path=last" in machine.calls[0]


def test_a_training_whose_parent_is_gone_is_not_started_again(machine):
    """The training's own record says that it has ended; nobody had to wait for it."""
    (job, *_) = jobs("small", machine.options["results"].parent / "runs", ["minilm_sst2"], machine.options["results"])
    trained(job, 90.0)

    assert machine.reproduce("minilm_sst2") == 0
    assert machine.calls[0][0] == "collect"


def test_a_folder_that_another_process_uses_is_left_alone(machine, tmp_path, in_use):
    folder = tmp_path / "runs" / "minilm_sst2" / "small-seed0"
    process = in_use(folder)
    (folder / "config.yaml").write_text("of the training that lives on")
    with (tmp_path / "said.txt").open("w") as said:
        machine.options["console"] = Console(file=said, width=1000)
        assert machine.reproduce("minilm_sst2") == 1

    assert (folder / "config.yaml").exists()
    assert [call[0] for call in machine.calls] == ["fit", "collect"] * 2  # the other seeds
    said = (tmp_path / "said.txt").read_text()
    assert f"in use by process {process.pid}. HINT: wait for that process, or end it (kill {process.pid})" in said
    assert "train failed, the folder is in use" in said


def test_a_training_that_stopped_politely_is_not_taken_for_finished(machine, tmp_path):
    leave = machine.leave

    def leave_unfinished(arguments):
        leave(arguments)
        for record in (tmp_path / "runs" / "minilm_sst2").glob("*/run.json"):
            record.write_text(json.dumps({"finished": False}))

    machine.leave = leave_unfinished
    assert machine.reproduce("minilm_sst2") == 3
    assert {call[0] for call in machine.calls} == {"fit"}


def test_a_training_cut_off_before_its_first_checkpoint_starts_again(machine, tmp_path):
    folder = tmp_path / "runs" / "minilm_sst2" / "small-seed0"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("left over")
    (folder / "interactions").mkdir()

    assert machine.reproduce("minilm_sst2") == 0
    assert {path.name for path in folder.iterdir()} == {
        *(LOCK_FILE, "train.log", "checkpoints", "run.json"),  # of the new training
        "result.log",
    }


def test_one_failing_run_does_not_stop_the_others(machine):
    machine.refuse = lambda arguments: int("lenet_mnist" in str(arguments) and arguments[0] == "inject")

    assert machine.reproduce("lenet_mnist", "minilm_sst2") == 3
    assert sum(call[0] == "collect" for call in machine.calls) == 3
    machine.refuse = lambda _arguments: 0
    machine.calls.clear()
    machine.reproduce("lenet_mnist", "minilm_sst2")
    assert [call[0] for call in machine.calls] == ["inject", "collect"] * 3


def test_the_estimate_learns_from_finished_runs(tmp_path):
    todo = jobs("small", tmp_path, ["lenet_mnist"], tmp_path / "results")
    planned = todo[0].run.planned_minutes
    assert set(planned) == {"train", "inject", "result"}
    assert estimate(todo) == pytest.approx(3 * sum(planned.values()))

    trained(todo[0], seconds=2 * planned["train"] * 60)
    assert estimate(todo) == pytest.approx(2 * (3 * sum(planned.values()) - planned["train"]))


def test_the_estimate_counts_injecting_and_collecting(tmp_path):
    (job,) = todo = jobs("small", tmp_path, ["resnet20_mnist"], tmp_path / "results")
    planned = job.run.planned_minutes
    trained(job, seconds=planned["train"] * 60)
    assert estimate(todo) == pytest.approx(planned["inject"] + planned["result"])

    (job.folder / "injected").mkdir()
    (job.folder / "injected" / "index.json").write_text(json.dumps({"seconds": 600.0}))
    slower = (planned["train"] + 10) / (planned["train"] + planned["inject"])
    assert estimate(todo) == pytest.approx(slower * planned["result"])

    collected(job, {"injecting": 10.0, "collecting": 0.7})
    assert estimate(todo) == 0
    assert job.seconds()["result"] == pytest.approx(42)


def test_nothing_is_estimated_at_paper_size(tmp_path):
    (job,) = todo = jobs("paper", tmp_path, ["minilm_sst2"], tmp_path / "results")
    assert estimate(todo) is None

    trained(job, seconds=3600.0)
    assert estimate(todo) is None
    collected(job, {"training": 60.0})
    assert estimate(todo) == 0


def test_the_table_can_be_shown_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_command(["reproduce", "--list", "--only", "lenet_mnist"]) == 0
    said = capsys.readouterr().out
    assert "minutes left" in said
    assert "lenet_mnist" in said
    assert list(tmp_path.iterdir()) == []


def test_the_names_of_the_runs_are_whole_on_a_narrow_screen(tmp_path, capsys):
    todo = jobs("small", tmp_path, None, tmp_path / "results")
    Console(width=80).print(progress_table(todo, dict.fromkeys(todo, "train failed, see somewhere/train.log")))
    said = capsys.readouterr().out
    assert {run.name for run in PLAN if run.name in said} == {run.name for run in PLAN}


def test_results_and_the_page_may_go_elsewhere(machine, tmp_path, monkeypatch):
    pages = []
    monkeypatch.setattr(reproduction, "write_scorecard", lambda *places: pages.append(places))
    folders = [f"--runs={tmp_path / 'runs'}", f"--results={tmp_path / 'mine'}", f"--out={tmp_path / 'mine.md'}"]
    assert run_command(["reproduce", "--only", "lenet_tiny_imagenet", *folders]) == 0

    assert [call[0] for call in machine.calls] == ["fit", "collect"]
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["lenet_tiny_imagenet_small_seed0.json"]
    assert pages == [(tmp_path / "mine", tmp_path / "mine.md")]
