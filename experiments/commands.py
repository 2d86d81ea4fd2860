"""``python -m experiments figure | inject | collect | reproduce | scorecard | questions``: after a training."""

from __future__ import annotations

import argparse
from pathlib import Path

from experiments.figures.catalogue import FIGURES, make_figure
from experiments.figures.run_folder import RunFolder
from experiments.in_use import FolderLock
from experiments.inject import FGSM_SIGMAS, WEIGHT_SIGMAS, inject
from experiments.questions.ask import ask
from experiments.questions.page import write_page
from experiments.reproduce import reproduce
from experiments.results import RESULTS, collect
from experiments.scorecard import write_scorecard
from experiments.sizes import SIZES

__all__ = ["COMMANDS", "run_command"]


def run_command(arguments: list[str]) -> int:
    """Run one of :data:`COMMANDS`.

    Args:
        arguments: the command's name and its options.

    Returns:
        0 when all went well.
    """
    options = _parser().parse_args(arguments)
    return int(options.run_it(options) or 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments", description="What comes after a training.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    figure = commands.add_parser("figure", help="draw a figure of the paper from what a run has stored")
    figure.add_argument("number", type=int, choices=sorted(FIGURES), help="the figure's number in the paper")
    _add_run(figure)
    figure.add_argument("--out", type=Path, help="folder for the PNG and the JSON (default: figures/ in the run)")
    figure.set_defaults(run_it=_figure)

    injection = commands.add_parser("inject", help="weight noise and FGSM: the measurements of Figs. 3, 4 and 8")
    _add_run(injection)
    unit = "relative to each parameter tensor's RMS (default: %(default)s)"
    injection.add_argument("--weight-sigmas", type=float, nargs="+", default=WEIGHT_SIGMAS, help=unit)
    pixels = ", ".join(f"{255 * sigma:g}/255" for sigma in FGSM_SIGMAS)
    injection.add_argument(
        "--fgsm-sigmas",
        type=float,
        nargs="+",
        default=FGSM_SIGMAS,
        help=f"in pixel values of 0 … 1 (default: {pixels})",
    )
    injection.add_argument("--epoch", type=int, help="whose network (default: the end of the normal phase)")
    injection.set_defaults(run_it=_inject)

    collection = commands.add_parser("collect", help="put a finished run's results into experiments/results/")
    _add_run(collection)
    _add_results(collection)
    collection.set_defaults(run_it=_collect)

    everything = commands.add_parser("reproduce", help="do everything that is missing, in order")
    everything.add_argument("--size", choices=SIZES, default="small")
    everything.add_argument("--only", nargs="+", metavar="RUN", help="only these runs, e.g. lenet_mnist")
    everything.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the runs")
    _add_results(everything)
    _add_scorecard(everything)
    everything.add_argument("--list", action="store_true", help="only show what is done and what is missing")
    everything.set_defaults(run_it=_reproduce)

    scorecard = commands.add_parser("scorecard", help="write REPRODUCTION.md from experiments/results/")
    _add_results(scorecard)
    _add_scorecard(scorecard)
    scorecard.set_defaults(run_it=_scorecard)

    questions = commands.add_parser("questions", help="what the numbers of one run depend on: docs/questions.md")
    questions.add_argument("--run", type=Path, help="folder of the run; without it only the page is written again")
    questions.add_argument("--again", action="store_true", help="measure all of them again, also those answered before")
    answers, page = RESULTS / "questions.json", Path("docs/questions.md")
    questions.add_argument("--results", type=Path, default=answers, help="file of the answers (default: %(default)s)")
    questions.add_argument("--out", type=Path, default=page, help="the page (default: %(default)s)")
    questions.set_defaults(run_it=_questions)
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", type=Path, required=True, help="folder of the run, with config.yaml in it")


def _add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results (default: %(default)s)")


def _add_scorecard(parser: argparse.ArgumentParser) -> None:
    page = Path("REPRODUCTION.md")
    parser.add_argument("--out", type=Path, default=page, help="the page of claims (default: %(default)s)")


def _figure(options: argparse.Namespace) -> None:
    numbers, picture = make_figure(options.number, RunFolder(options.run), options.out)
    print(f"Numbers: {numbers}\nPicture: {picture}")


def _inject(options: argparse.Namespace) -> None:
    run = RunFolder(options.run)
    with FolderLock(run.path):
        index = inject(run, options.weight_sigmas, options.fgsm_sigmas, options.epoch)
    print(f"{len(index['steps'])} disturbed networks of epoch {index['epoch']} in {run.injected()}")


def _collect(options: argparse.Namespace) -> None:
    print(f"Result: {collect(RunFolder(options.run), options.results)}")


def _reproduce(options: argparse.Namespace) -> int:
    return reproduce(
        options.size,
        options.runs,
        only=options.only,
        list_only=options.list,
        results=options.results,
        scorecard=options.out,
    )


def _scorecard(options: argparse.Namespace) -> None:
    print(f"Scorecard: {write_scorecard(options.results, options.out)}")


def _questions(options: argparse.Namespace) -> None:
    if options.run is not None and not ask(options.run, options.results, again=options.again):
        print("Measured: nothing, all was answered before. HINT: --again measures all again")
    print(f"Page: {write_page(options.results, options.out)}")


COMMANDS = ("figure", "inject", "collect", "reproduce", "scorecard", "questions")
"""The names of the commands; all others are Lightning's."""
