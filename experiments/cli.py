"""One command line for every experiment: Lightning's, with an InteractionMonitor attached and a summary at the end."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch import LightningDataModule
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from rich.console import Console

from experiments.classifier import Classifier
from experiments.summary import print_summary
from lightning_interactions import InteractionMonitor

__all__ = ["ExperimentCLI", "main"]


class ExperimentCLI(LightningCLI):
    """Lightning's command line with the monitor's options under ``monitor`` and ``n`` for the number of variables."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add ``--n`` and ``--monitor.*``."""
        parser.add_argument("--n", type=int, default=10, help="input variables of a sample; each costs a factor of 2")
        parser.add_lightning_class_args(InteractionMonitor, "monitor")
        parser.link_arguments("n", "monitor.variables.init_args.n_variables")

    def after_fit(self) -> None:
        """Say what happened, where it lies, and how to look at it."""
        monitor: InteractionMonitor = self.config_init[self.subcommand].monitor
        if self.trainer.is_global_zero and monitor.folder is not None and len(monitor.history):
            print_summary(monitor.history, Path(monitor.folder), monitor.phase_detector.phase_message, Console())


def main(arguments: list[str] | None = None) -> ExperimentCLI:
    """Run the command line."""
    return ExperimentCLI(Classifier, LightningDataModule, subclass_mode_data=True, args=arguments)
