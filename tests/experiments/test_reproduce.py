"""What is done, in which order, and that a kill costs nothing that was finished."""

import json
from pathlib import Path

import pytest
from rich.console import Console

import experiments.reproduce as reproduction
from experiments.commands import run_command
from experiments.reproduce import PLAN, estimate, jobs, reproduce

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
            self.calls = []
            self.refuse = lambda _arguments: 0
            self.options = {
                "results": tmp_path / "results",
                "scorecard": tmp_path / "page.md",
                "console": Console(quiet=True),
            }

        def run(self, command, **_):
            arguments = command[3:]
            self.calls.append(arguments)
            code = self.refuse(arguments)
            if code == 0:
                self.leave(arguments)
            return type("Done", (), {"returncode": code})

        def leave(self, arguments):
            if arguments[0] == "fit":
                (seed,) = (option.split("=")[1] for option in arguments if option.startswith("--seed_everything"))
                name = Path(arguments[2]).stem
                folder = tmp_path / "runs" / name / f"small-seed{seed}"
                (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
                (folder / "checkpoints" / "last.ckpt").touch()
                (folder / "run.json").write_text(json.dumps({"finished": True, "seconds": 90.0}))
                return
            folder = Path(arguments[2])
            if arguments[0] == "inject":
                (folder / "injected").mkdir()
                (folder / "injected" / "index.json").write_text("{}")
            else:
                results = Path(arguments[4])
                results.mkdir(exist_ok=True)
                seed = folder.name.removeprefix("small-seed")
                (results / f"{folder.parent.name}_small_seed{seed}.json").touch()

        def reproduce(self, *only):
            return reproduce("small", tmp_path / "runs", only=only or None, **self.options)

    machine = Machine()
    monkeypatch.setattr(reproduction.subprocess, "run", machine.run)
    monkeypatch.setattr(reproduction, "write_scorecard", lambda *_: None)
    return machine


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
    assert {run.name for run in PLAN if run.inject} >= {"resnet20_mnist", "vgg11_cifar10", "vgg16_cub200"}


def test_a_run_that_there_is_not_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`only` must name runs of"):
        jobs("small", tmp_path, ["resnet"])


def test_everything_is_done_once(machine):
    assert machine.reproduce("lenet_mnist", "minilm_sst2") == 0
    assert [call[0] for call in machine.calls] == (["fit", "inject", "collect", "fit", "collect"]) * 3

    machine.calls.clear()
    assert machine.reproduce("lenet_mnist", "minilm_sst2") == 0
    assert machine.calls == []


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
    seconds = json.loads((tmp_path / "runs/minilm_sst2/small-seed0/trained.json").read_text())["seconds"]
    assert seconds == 90.0  # what the training's record says, which counts the parts before a resume


def test_a_training_that_stopped_politely_is_not_taken_for_finished(machine, tmp_path):
    leave = machine.leave

    def leave_unfinished(arguments):
        leave(arguments)
        for record in (tmp_path / "runs" / "minilm_sst2").glob("*/run.json"):
            record.write_text(json.dumps({"finished": False}))

    machine.leave = leave_unfinished
    assert machine.reproduce("minilm_sst2") > 0
    assert not (tmp_path / "runs/minilm_sst2/small-seed0/trained.json").exists()


def test_a_training_cut_off_before_its_first_checkpoint_starts_again(machine, tmp_path):
    folder = tmp_path / "runs" / "minilm_sst2" / "small-seed0"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("left over")

    assert machine.reproduce("minilm_sst2") == 0
    assert not (folder / "config.yaml").exists()


def test_one_failing_run_does_not_stop_the_others(machine):
    machine.refuse = lambda arguments: int("lenet_mnist" in str(arguments) and arguments[0] == "inject")

    assert machine.reproduce("lenet_mnist", "minilm_sst2") == 3
    assert sum(call[0] == "collect" for call in machine.calls) == 3
    machine.refuse = lambda _arguments: 0
    machine.calls.clear()
    machine.reproduce("lenet_mnist", "minilm_sst2")
    assert [call[0] for call in machine.calls] == ["inject", "collect"] * 3


def test_the_estimate_learns_from_finished_runs(tmp_path):
    todo = jobs("small", tmp_path, ["lenet_mnist"])
    planned = todo[0].run.minutes
    assert estimate(todo) == pytest.approx(3 * planned)

    todo[0].folder.mkdir(parents=True)
    todo[0].markers["train"].write_text(json.dumps({"seconds": 2 * planned * 60}))
    assert estimate(todo) == pytest.approx(2 * 2 * planned)


def test_nothing_is_estimated_at_paper_size(tmp_path):
    todo = jobs("paper", tmp_path, ["lenet_mnist"])
    assert estimate(todo) is None

    todo[0].folder.mkdir(parents=True)
    todo[0].markers["train"].write_text(json.dumps({"seconds": 3600}))
    assert estimate(todo) == 0


def test_the_table_can_be_shown_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_command(["reproduce", "--list", "--only", "lenet_mnist"]) == 0
    said = capsys.readouterr().out
    assert "minutes left" in said
    assert "lenet_mnist" in said
    assert list(tmp_path.iterdir()) == []
