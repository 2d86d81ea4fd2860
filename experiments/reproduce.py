"""Do everything that is missing, in order: trainings, injections, figures, results, and the scorecard.

Each step of each run is done once its last file is there and is of this run, and that file is written whole or not at
all. So after a kill the same command goes on: a training from its last checkpoint, everything else from the step that
was cut off. A request to stop goes on to the step that runs, and no step begins while another process uses the folder.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from experiments.in_use import FolderInUseError, FolderLock
from experiments.process import run_process
from experiments.results import RESULTS, is_collected, result_name
from experiments.scorecard import write_scorecard
from experiments.sizes import config_files
from experiments.training import finished_record, resume_options, start_clean, training_command

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from experiments.sizes import Size

__all__ = ["PLAN", "Job", "PlannedRun", "estimate", "jobs", "progress_table", "reproduce"]

_MORE_SEEDS = (1, 2)

# Figures and result of a run: about the same for every run of small size.
_COLLECTING_MINUTES = 0.5


@dataclass(frozen=True)
class PlannedRun:
    """One run of the paper.

    Attributes:
        name: of its configuration.
        minutes: what its training takes at small size on one core, roughly; only for the estimate until one was timed.
        injecting: the same for the injection that Figs. 3, 4 and 8 are made of; ``None`` where there is none.
        seeds: which seeds are run at small size.
    """

    name: str
    minutes: float
    injecting: float | None = None
    seeds: tuple[int, ...] = (0,)

    @property
    def planned_minutes(self) -> dict[str, float]:
        """The steps in their order, and how long each may take."""
        steps = {"train": self.minutes}
        if self.injecting is not None:
            steps["inject"] = self.injecting
        return steps | {"result": _COLLECTING_MINUTES}


PLAN = (
    PlannedRun("lenet_mnist", 3, injecting=0.4, seeds=(0, *_MORE_SEEDS)),
    PlannedRun("vgg11_cifar10", 8.5, injecting=2, seeds=(0, *_MORE_SEEDS)),
    PlannedRun("minilm_sst2", 8.5, seeds=(0, *_MORE_SEEDS)),
    PlannedRun("lenet_tiny_imagenet", 1.5),
    PlannedRun("resnet20_mnist", 4, injecting=1.2),
    PlannedRun("alexnet_cub200", 4.5),
    PlannedRun("alexnet_tiny_imagenet", 5.5),
    PlannedRun("bert_medium_sst2", 5.5),
    PlannedRun("vgg13_cub200", 6),
    PlannedRun("vgg16_cub200", 6, injecting=2.3),
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
    def result(self) -> Path:
        """The run's result among those of the other runs; one of another machine may lie there."""
        return self.results / f"{result_name(self.run.name, self.size, self.seed)}.json"

    @property
    def steps(self) -> list[str]:
        """What there is to do, in order."""
        return list(self.run.planned_minutes)

    def is_done(self, step: str) -> bool:
        """Whether a step has left its last file."""
        if step == "train":
            return finished_record(self.folder) is not None
        return self._injection.exists() if step == "inject" else is_collected(self.folder, self.result)

    def missing(self) -> list[str]:
        """The steps still to be done, in order; a step after a missing one is missing too."""
        first = next((place for place, step in enumerate(self.steps) if not self.is_done(step)), len(self.steps))
        return self.steps[first:]

    def seconds(self) -> dict[str, float]:
        """How long the steps done took, as far as they say so; of a training the parts before a resume with it."""
        read: dict[str, Callable[[], Any]] = {
            "train": lambda: (finished_record(self.folder) or {}).get("seconds"),
            "inject": lambda: json.loads(self._injection.read_text()).get("seconds"),
            "result": lambda: 60 * json.loads(self.result.read_text())["minutes"].get("collecting", 0.0),
        }
        missing = self.missing()
        took = {step: read[step]() for step in self.steps if step not in missing}
        return {step: float(seconds) for step, seconds in took.items() if seconds}

    def command(self, step: str) -> list[str]:
        """The command line of a step."""
        if step == "inject":
            return ["inject", "--run", str(self.folder)]
        if step == "result":
            return ["collect", "--run", str(self.folder), "--results", str(self.results)]
        return training_command(self.run.name, self.size, self.seed, self.runs) + resume_options(self.folder)

    @property
    def _injection(self) -> Path:
        return self.folder / "injected" / "index.json"


def jobs(size: Size, runs: Path, only: Sequence[str] | None = None, results: Path = RESULTS) -> list[Job]:
    """What there is to do: the first seed of every run in the order of the plan, then the other seeds.

    Args:
        size: any of :data:`~experiments.sizes.SIZES`; but for the small one, one seed of each run that has this size.
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
    wanted = [run for run in PLAN if (only is None or run.name in only) and config_files(run.name, size)]
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
        size: any of :data:`~experiments.sizes.SIZES`.
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
            states[job] = _do(job, step, console)
            if states[job]:
                break
            if step == "result":
                write_scorecard(results, scorecard)
    console.print(progress_table(todo, states))
    return sum(map(bool, states.values()))


def progress_table(todo: Sequence[Job], states: dict[Job, str]) -> Table:
    """What is done, what is not, and how long the rest may take."""
    left = estimate(todo)
    table = Table(title="Time left: known at small size only" if left is None else f"About {left:.0f} minutes left")
    for name in ("run", "size", "seed", "done", "missing", "minutes", "now"):
        table.add_column(name, no_wrap=name == "run")  # its name is what `--only` takes
    for job in todo:
        missing = job.missing()
        done = [step for step in job.steps if step not in missing]
        took = sum(job.seconds().values())
        minutes = f"{took / 60:.1f}" if took else ""
        table.add_row(
            job.run.name, job.size, str(job.seed), ", ".join(done), ", ".join(missing), minutes, states.get(job, "")
        )
    return table


def estimate(todo: Sequence[Job]) -> float | None:
    """Minutes left: what the plan says, times what this machine took for the steps done relative to the plan.

    ``None`` while a run of another than small size is left: these take hours to days, in other proportions.
    """
    left = [(job, step) for job in todo for step in job.missing()]
    if any(job.size != "small" for job, _ in left):
        return None
    timed = [(job, step, seconds) for job in todo for step, seconds in job.seconds().items()]
    planned = sum(job.run.planned_minutes[step] for job, step, _ in timed)
    factor = sum(seconds for *_, seconds in timed) / 60 / planned if planned else 1.0
    return factor * sum(job.run.planned_minutes[step] for job, step in left)


def _do(job: Job, step: str, console: Console) -> str:
    """Run a step in a process of its own, with its output in a file of the run's folder; why it failed, if it did."""
    try:
        with FolderLock(job.folder):
            if step == "train":
                start_clean(job.folder)
    except FolderInUseError as error:
        console.print(str(error), markup=False)
        return f"{step} failed, the folder is in use"
    command = [sys.executable, "-m", "experiments", *job.command(step)]
    path = job.folder / f"{step}.log"
    started = time.perf_counter()
    with path.open("a") as log:
        log.write(f"$ {' '.join(command[1:])}\n")
        log.flush()
        code = run_process(command, log)
    took = time.perf_counter() - started
    clock = time.strftime("%H:%M:%S")
    console.print(f"{clock} {job.run.name} seed {job.seed}: {step} ended with {code} after {took / 60:.1f} min")
    return "" if code == 0 and job.is_done(step) else f"{step} failed, see {path}"
