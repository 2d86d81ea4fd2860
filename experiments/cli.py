"""One command line for every experiment: Lightning's, with an InteractionMonitor attached and a summary at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch import LightningDataModule
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from rich.console import Console

from experiments.checkpoints import MeasuredCheckpoints
from experiments.classifier import Classifier
from experiments.help import ShortHelp
from experiments.record import RunRecord
from experiments.schedule import ScheduledMonitor
from experiments.similarity import SimilarityMonitor
from experiments.summary import print_summary

if TYPE_CHECKING:
    from jsonargparse import Namespace

__all__ = ["ExperimentCLI", "main"]


class ExperimentCLI(LightningCLI):
    """Lightning's command line with the monitor's options under ``monitor`` and ``n`` for the number of variables."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add ``--n``, ``--size``, ``--monitor.*``, ``--similarity.*`` and ``--checkpoints.*``."""
        parser.add_argument("--n", type=int, default=10, help="input variables of a sample; each costs a factor of 2")
        parser.add_argument(
            "--size",
            type=str | None,
            default=None,
            help="the run lies in <logger's folder>/<size>-seed<seed>; without a size in version_0, version_1, …",
        )
        parser.add_lightning_class_args(ScheduledMonitor, "monitor")
        parser.add_lightning_class_args(SimilarityMonitor, "similarity")
        parser.add_lightning_class_args(MeasuredCheckpoints, "checkpoints")
        parser.link_arguments("n", "monitor.variables.init_args.n_variables")

    def before_instantiate_classes(self) -> None:
        """Name the run's folder, and write the run's seed and tokenizer where they are to be used."""
        config = self.config[self.subcommand] if self.subcommand else self.config
        if self.subcommand != "fit":
            # A validation of a finished run would put its own options in the place of the training's.
            self.save_config_callback = None
        _follow_pretrained(config)
        seed = config.seed_everything
        if "seed" in config.data.init_args and config.data.init_args.seed is None:
            config.data.init_args.seed = seed
        if config.size is None or not hasattr(config.trainer.logger, "init_args"):
            return
        logger = config.trainer.logger.init_args
        if logger.version is None:
            logger.version = f"{config.size}-seed{seed}"
        resumed = getattr(config, "ckpt_path", None) is not None
        self.save_config_kwargs |= {"overwrite": resumed}
        folder = Path(logger.save_dir, str(logger.name), str(logger.version))
        if self.subcommand == "fit" and not resumed and (folder / "config.yaml").exists():
            msg = (
                f"The run's folder '{folder}' is not empty. HINT: go on with `--ckpt_path last`, remove the folder, or"
                f" choose another by `--size`."
            )
            raise FileExistsError(msg)

    def after_fit(self) -> None:
        """Say what happened, where it lies, and how to look at it."""
        monitor: ScheduledMonitor = self.config_init[self.subcommand].monitor
        if self.trainer.is_global_zero and monitor.folder is not None and len(monitor.history):
            print_summary(monitor.history, Path(monitor.folder), monitor.phase_detector.phase_message, Console())


def _follow_pretrained(config: Namespace) -> None:
    """A network that is pretrained has its own size, and takes only what its own tokenizer returns."""
    name = config.get("model.network.init_args.pretrained")
    if not isinstance(name, str):
        return
    followers = dict.fromkeys(("data.init_args.tokenizer", "monitor.variables.init_args.tokenizer"), name)
    for option, value in (followers | {"model.network.init_args.config": None}).items():
        if option in config:
            config[option] = value


def main(arguments: Any = None, *, run: bool = True) -> ExperimentCLI:
    """Run the command line.

    Args:
        arguments: a list of texts as typed, or a whole configuration; the process's own when ``None``.
        run: run the subcommand; otherwise only make the network, the data and the Trainer of a configuration.
    """
    return ExperimentCLI(
        Classifier,
        LightningDataModule,
        subclass_mode_data=True,
        trainer_defaults={"callbacks": RunRecord()},
        parser_kwargs={"formatter_class": ShortHelp},
        args=arguments,
        run=run,
    )
