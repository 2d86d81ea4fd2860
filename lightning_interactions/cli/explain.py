"""``lightning-interactions explain``: what the networks in finished checkpoints combine, without training again."""

from __future__ import annotations

import argparse
import pickle
import re
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lightning_interactions.callback.held_out import explained_samples, given_samples
from lightning_interactions.callback.record import summarize
from lightning_interactions.callback.samples import flatten_loaders, prepared, split_batch

if TYPE_CHECKING:
    from lightning_interactions.callback.monitor import InteractionMonitor
    from lightning_interactions.callback.samples import Samples
    from lightning_interactions.cli.configuration import Built

__all__ = ["add_arguments", "checkpoints_in", "run"]

_EPILOG = """\
The configuration is that of a LightningCLI, such as the config.yaml in a run's folder. The InteractionMonitor in it,
under trainer.callbacks or under `monitor`, says which variables of which samples are explained. Where `model` and
`data` hold only arguments, --model and --data name the classes. Files that are there already are skipped, so that an
interrupted call can simply be repeated.

  lightning-interactions explain --checkpoint runs/a/checkpoints --config runs/a/config.yaml
  lightning-interactions explain --checkpoint last.ckpt --config configs/quickstart.yaml \\
      --model experiments.classifier.Classifier --set monitor.n_samples=10
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command and its arguments.

    Args:
        parser: of the command.
    """
    parser.description = "Explain the networks in checkpoints: one file of Interactions for each."
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--checkpoint", type=Path, required=True, help="a checkpoint, or a folder of checkpoints")
    parser.add_argument("--config", type=Path, required=True, help="the training's configuration (YAML)")
    parser.add_argument("-o", "--output", type=Path, help="folder to write to; by default interactions/ beside them")
    parser.add_argument("--model", metavar="CLASS", help="class path of the module, where the file has only arguments")
    parser.add_argument("--data", metavar="CLASS", help="class path of the data module, likewise")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="override a setting of the file; repeatable"
    )
    parser.add_argument("--accelerator", default="auto", help="where to run, as Lightning names it")
    parser.add_argument(
        "--trust", action="store_true", help="load checkpoints that hold objects other than numbers; these can run code"
    )


def run(args: argparse.Namespace) -> int:
    """Explain every checkpoint that has no file yet.

    Returns:
        the exit status: 0, or 1 when a checkpoint could not be explained.

    Raises:
        FileNotFoundError: if there is no such checkpoint or configuration.
        ValueError: if the configuration does not say what is needed.
    """
    checkpoints = checkpoints_in(args.checkpoint)
    folder = args.output or checkpoints[0].parent / "interactions"
    missing = [path for path in checkpoints if not _file_of(path, folder).exists()]
    if len(missing) < len(checkpoints):
        _say(f"{len(checkpoints) - len(missing)} of {len(checkpoints)} checkpoints are explained in {folder} already.")
    if not missing:
        return 0
    return _explain_all(missing, folder, _built(args), args)


def checkpoints_in(path: Path) -> list[Path]:
    """A checkpoint itself, or those in a folder or in its ``checkpoints`` folder; numbers in names count as numbers.

    Raises:
        FileNotFoundError: if there is none.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("epoch=9.ckpt", "epoch=10.ckpt"):
        ...     (folder / name).touch()
        >>> [path.name for path in checkpoints_in(folder)]
        ['epoch=9.ckpt', 'epoch=10.ckpt']
    """
    if path.is_file():
        return [path]
    for folder in (path, path / "checkpoints"):
        found = [file for file in folder.glob("*.ckpt") if file.is_file()]
        if found:
            return sorted(found, key=lambda file: [int(part) if part.isdigit() else part for part in _parts(file.name)])
    msg = f"`--checkpoint` must be a file, or a folder with *.ckpt files, got '{path}'."
    raise FileNotFoundError(msg)


def _parts(name: str) -> list[str]:
    return re.split(r"(\d+)", name)


def _file_of(checkpoint: Path, folder: Path) -> Path:
    return folder / f"{checkpoint.stem}.npz"


def _built(args: argparse.Namespace) -> Built:
    from lightning_interactions.cli import configuration  # noqa: PLC0415  # needs an optional extra

    config = configuration.read(args.config)
    for setting in args.set:
        configuration.override(config, setting)
    return configuration.build(config, args.model, args.data)


def _explain_all(checkpoints: list[Path], folder: Path, built: Built, args: argparse.Namespace) -> int:
    """Let Lightning set up data and device as for a validation, and explain every checkpoint before its first batch."""
    from lightning.fabric.utilities.exceptions import MisconfigurationException  # noqa: PLC0415
    from lightning.pytorch import Callback, Trainer  # noqa: PLC0415

    model, data, monitor = built
    failed: list[Path] = []

    class Explainer(Callback):
        def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
            samples = _samples(monitor, trainer)
            failed.extend(
                checkpoint
                for checkpoint in checkpoints
                if not _explained(checkpoint, _file_of(checkpoint, folder), pl_module, samples, monitor, args.trust)
            )

    trainer = Trainer(
        accelerator=args.accelerator,
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=1,
        callbacks=[Explainer()],
    )
    data.trainer = trainer
    data.prepare_data()
    # Set up as for the training, so that the held-out samples are the same; and only once, for a split may be random.
    data.setup("fit")
    data.prepare_data = data.setup = _nothing  # type: ignore[method-assign]
    try:
        trainer.validate(model, datamodule=data, verbose=False)
    except (MisconfigurationException, TypeError) as error:  # set up wrongly, e.g. batches of an unknown kind
        raise ValueError(str(error)) from error
    return 1 if failed else 0


def _nothing(*_: Any, **__: Any) -> None:
    """Stands in for steps that are done."""


def _samples(monitor: InteractionMonitor, trainer: Any) -> Samples:
    """The samples that the monitor explained in the training, or would have."""
    if monitor.samples is not None:
        return given_samples(trainer, *monitor.samples)
    return explained_samples(
        dict(enumerate(flatten_loaders(trainer.val_dataloaders))),
        monitor.variables,
        monitor.n_samples,
        seed=monitor.seed,
        prepare=partial(prepared, trainer, split=monitor.split_batch or split_batch, seed=monitor.seed),
    )


def _explained(
    checkpoint: Path, file: Path, model: Any, samples: Samples, monitor: InteractionMonitor, trust: bool
) -> bool:
    """Explain one checkpoint; one that cannot be is named and does not keep the others from it."""
    try:
        told = _explain_one(checkpoint, file, model, samples, monitor, trust=trust)
    except Exception as error:  # noqa: BLE001  # the file may hold anything, and the network's own hooks run
        sys.stderr.write(f"{checkpoint.name}: {error} ({type(error).__name__})\n")
        return False
    _say(told)
    return True


def _explain_one(
    checkpoint: Path, file: Path, model: Any, samples: Samples, monitor: InteractionMonitor, *, trust: bool
) -> str:
    """Write the file of one checkpoint; returns what to say about it."""
    started = time.perf_counter()
    content = _load(checkpoint, trust=trust)
    model.on_load_checkpoint(content)
    model.load_state_dict(content["state_dict"])
    found = monitor.settings.explain(model, samples, monitor.variables)
    found.provenance.update({key: content[key] for key in ("epoch", "global_step") if key in content})
    found.provenance["checkpoint"] = checkpoint.name
    found.save(file)
    record = summarize(found)
    return (
        f"{checkpoint.name}: {len(found)} samples, mean order {record['mean_order']:.2f},"
        f" {time.perf_counter() - started:.1f} s → {file}"
    )


def _load(checkpoint: Path, *, trust: bool) -> dict[str, Any]:
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=not trust)
    except pickle.UnpicklingError as error:
        what = str(error).splitlines()[0]
        msg = f"it cannot be read as plain numbers ({what}). HINT: --trust, if you know where it comes from."
        raise ValueError(msg) from error
    except EOFError as error:
        msg = "the file ends too early. HINT: copy or save it again."
        raise ValueError(msg) from error
    if not isinstance(content, dict) or "state_dict" not in content:
        msg = "it is no checkpoint of Lightning: it has no `state_dict`."
        raise ValueError(msg)
    return content


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
