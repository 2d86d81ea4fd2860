"""Do everything that is missing, in order: trainings, injections, figures, results, and the scorecard.

Each step of each run is done once its last file is there, and that file is written whole or not at all. So after a kill
the same command goes on: a training from its last checkpoint, everything else from the step that was cut off.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.table import Table

from experiments.results import RESULTS, result_name
from experiments.scorecard import write_scorecard
from lightning_interactions.files import write_json

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PLAN", "Job", "PlannedRun", "estimate", "jobs", "progress_table", "reproduce", "training_command"]

Size = Literal["small", "paper"]

_MORE_SEEDS = (1, 2)


@dataclass(frozen=True)
class PlannedRun:
    """One run of the paper.

    Attributes:
        name: of its configuration.
        minutes: what it takes at small size on one core, roughly; only for the estimate until one was timed.
        inject: whether Figs. 3, 4 and 8 are made of it.
        seeds: which seeds are run at small size.
    """

    name: str
    minutes: float
    inject: bool = False
    seeds: tuple[int, ...] = (0,)


PLAN = (
    PlannedRun("lenet_mnist", 3, inject=True, seeds=(0, *_MORE_SEEDS)),
    PlannedRun("vgg11_cifar10", 8.5, inject=True, seeds=(0, *_MORE_SEEDS)),
    PlannedRun("minilm_sst2", 8.5, seeds=(0, *_MORE_SEEDS)),
    PlannedRun("lenet_tiny_imagenet", 1.5),
    PlannedRun("resnet20_mnist", 4, inject=True),
    PlannedRun("alexnet_cub200", 4.5),
    PlannedRun("alexnet_tiny_imagenet", 5.5),
    PlannedRun("bert_medium_sst2", 5.5),
    PlannedRun("vgg13_cub200", 6),
    PlannedRun("vgg16_cub200", 6, inject=True),
)
"""Every run of the paper: first the three that stand for all kinds of data, then the others; of each, cheapest first.

LeNet/MNIST is injected beyond the paper: it costs next to nothing.
"""


@dataclass(frozen=True)
class Job:
    """One run with one seed, and where its files are."""

    run: PlannedRun
    size: Size
    seed: int
    runs: Path
    results: Path = RESULTS

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.runs / self.run.name / f"{self.size}-seed{self.seed}"

    @property
    def markers(self) -> dict[str, Path]:
        """The file that is there when a step is done."""
        steps = {"train": self.folder / "trained.json"}
        if self.run.inject:
            steps["inject"] = self.folder / "injected" / "index.json"
        return steps | {"result": self.results / f"{result_name(self.run.name, self.size, self.seed)}.json"}

    def missing(self) -> list[str]:
        """The steps still to be done, in order; a step after a missing one is missing too."""
        steps = list(self.markers)
        first = next((place for place, step in enumerate(steps) if not self.markers[step].exists()), len(steps))
        return steps[first:]

    def command(self, step: str) -> list[str]:
        """The command line of a step."""
        if step == "inject":
            return ["inject", "--run", str(self.folder)]
        if step == "result":
            return ["collect", "--run", str(self.folder), "--results", str(self.results)]
        resumed = (self.folder / "checkpoints" / "last.ckpt").exists()
        return training_command(self.run.name, self.size, self.seed, self.runs) + ["--ckpt_path=last"] * resumed


def training_command(name: str, size: str, seed: int, runs: Path) -> list[str]:
    """The command line that trains a run.

    Args:
        name: of its configuration.
        size: ``"small"`` lays the small configuration over the paper's.
        seed: the run's.
        runs: folder of the runs.

    Example:
        >>> training_command("lenet_mnist", "paper", 0, Path("runs"))[:3]
        ['fit', '--config', 'configs/lenet_mnist.yaml']
    """
    configs = [Path("configs", f"{name}.yaml")]
    if size == "small":
        configs.append(Path("configs", "small", f"{name}.yaml"))
    options = [option for config in configs for option in ("--config", str(config))]
    options += [f"--seed_everything={seed}", f"--trainer.logger.init_args.save_dir={runs}"]
    options += ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    return ["fit", *options]


def jobs(size: Size, runs: Path, only: Sequence[str] | None = None, results: Path = RESULTS) -> list[Job]:
    """What there is to do: the first seed of every run in the order of the plan, then the other seeds.

    Args:
        size: ``"small"`` or ``"paper"``; at paper size one seed of each.
        runs: folder of the runs.
        only: names of the runs wanted; all when ``None``.
        results: folder of the results.

    Raises:
        ValueError: for a name that is no run.

    Example:
        >>> [job.seed for job in jobs("small", Path("runs"), only=["lenet_mnist"])]
        [0, 1, 2]
    """
    unknown = set(only or ()) - {run.name for run in PLAN}
    if unknown:
        msg = f"`only` must name runs of {[run.name for run in PLAN]}, got {sorted(unknown)}."
        raise ValueError(msg)
    wanted = [run for run in PLAN if only is None or run.name in only]
    found = [
        Job(run, size, seed, runs, results)
        for run in wanted
        for seed in (run.seeds if size == "small" else run.seeds[:1])
    ]
    return sorted(found, key=lambda job: job.seed)


def reproduce(
    size: Size,
    runs: Path,
    *,
    only: Sequence[str] | None = None,
    list_only: bool = False,
    results: Path = RESULTS,
    scorecard: Path = Path("REPRODUCTION.md"),
    console: Console | None = None,
) -> int:
    """Do what is missing, one process at a time; a step that fails is reported and its run skipped.

    Args:
        size: ``"small"`` or ``"paper"``.
        runs: folder of the runs.
        only: names of the runs wanted; all when ``None``.
        list_only: only show the table.
        results: folder of the results.
        scorecard: the page that is written again after every result.
        console: where to report.

    Returns:
        the number of runs that failed.
    """
    console = console or Console()
    todo = jobs(size, runs, only, results)
    states = dict.fromkeys(todo, "")
    if list_only:
        console.print(progress_table(todo, states))
        return 0
    for job in todo:
        while missing := job.missing():
            step = missing[0]
            states[job] = f"{step} …"
            console.print(progress_table(todo, states))
            if not _do(job, step, console):
                states[job] = f"{step} failed, see {job.folder / f'{step}.log'}"
                break
            states[job] = ""
            if step == "result":
                write_scorecard(results, scorecard)
    console.print(progress_table(todo, states))
    return sum("failed" in state for state in states.values())


def progress_table(todo: Sequence[Job], states: dict[Job, str]) -> Table:
    """What is done, what is not, and how long the rest may take."""
    left = estimate(todo)
    table = Table(title="Time left: known at small size only" if left is None else f"About {left:.0f} minutes left")
    for name in ("run", "size", "seed", "done", "missing", "minutes", "now"):
        table.add_column(name)
    for job in todo:
        missing = job.missing()
        done = [step for step in job.markers if step not in missing]
        took = _seconds(job)
        minutes = f"{took / 60:.1f}" if took else ""
        table.add_row(
            job.run.name, job.size, str(job.seed), ", ".join(done), ", ".join(missing), minutes, states.get(job, "")
        )
    return table


def estimate(todo: Sequence[Job]) -> float | None:
    """Minutes left: what the plan says, times what this machine took for the finished runs relative to the plan.

    ``None`` while a training of paper size is left: these take hours to days, in other proportions than the plan's.
    """
    left = [job for job in todo if "train" in job.missing()]
    if any(job.size == "paper" for job in left):
        return None
    finished = [job for job in todo if _seconds(job)]
    planned = sum(job.run.minutes for job in finished)
    factor = sum(_seconds(job) for job in finished) / 60 / planned if planned else 1.0
    return factor * sum(job.run.minutes for job in left)


def _seconds(job: Job) -> float:
    """How long the training took, the parts before a resume with it; 0 while it is not done."""
    marker = job.markers["train"]
    return float(json.loads(marker.read_text())["seconds"]) if marker.exists() else 0.0


def _do(job: Job, step: str, console: Console) -> bool:
    """Run a step in a process of its own, with its output in a file of the run's folder."""
    if step == "train":
        _start_clean(job)
    job.folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "experiments", *job.command(step)]
    started = time.perf_counter()
    with (job.folder / f"{step}.log").open("a") as log:
        log.write(f"$ {' '.join(command[1:])}\n")
        log.flush()
        code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode  # noqa: S603
    took = time.perf_counter() - started
    clock = time.strftime("%H:%M:%S")
    console.print(f"{clock} {job.run.name} seed {job.seed}: {step} ended with {code} after {took / 60:.1f} min")
    if step == "train" and code == 0:
        _mark_if_finished(job)
    return code == 0 and job.markers[step].exists()


def _mark_if_finished(job: Job) -> None:
    """Mark a training as done; Lightning ends one that was asked to stop with 0, too, but not the training's record."""
    path = job.folder / "run.json"
    record = json.loads(path.read_text()) if path.exists() else {}
    if record.get("finished"):
        write_json(job.markers["train"], {"seconds": record["seconds"]})


def _start_clean(job: Job) -> None:
    """A training that was cut off before its first checkpoint cannot be resumed: its files would be in the way."""
    if not (job.folder / "checkpoints" / "last.ckpt").exists():
        shutil.rmtree(job.folder, ignore_errors=True)
