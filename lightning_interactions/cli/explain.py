"""``lightning-interactions explain``: what the networks in finished checkpoints combine, without training again."""

from __future__ import annotations

import argparse
import pickle
import re
import sys
import time
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import torch

from lightning_interactions.callback.held_out import explained_samples, given_samples
from lightning_interactions.callback.record import summarize
from lightning_interactions.callback.samples import flatten_loaders, prepared, split_batch
from lightning_interactions.cli.explained import Origin, Standing, digest, seen_from, standing

if TYPE_CHECKING:
    from lightning_interactions.callback.monitor import InteractionMonitor
    from lightning_interactions.callback.samples import Samples
    from lightning_interactions.cli.configuration import Built

__all__ = ["add_arguments", "checkpoints_in", "run"]

_EPILOG = """\
The configuration is that of a LightningCLI, such as the config.yaml in a run's folder. The InteractionMonitor in it,
under trainer.callbacks or under `monitor`, says which variables of which samples are explained. Where `model` and
`data` hold only arguments, --model and --data name the classes.

An interrupted call can simply be repeated: a checkpoint is skipped where its file says that it was made from the same
content (by its SHA-256) with the same settings of model, data and monitor, by this version of the package. One that has
changed, such as last.ckpt after further training, is explained again, and so are all after a change of a setting that
decides the numbers. What lies in files of data or in your code is not looked at: remove the files after such a change.
A file that does not say from what it was made, such as one of the monitor or of an earlier version, is left as it is
and named; so is one that another checkpoint of the same name has made.

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
    """Explain every checkpoint that has no file yet, or whose file was made from something else.

    Returns:
        the exit status: 0, or 1 when a checkpoint could not be explained.

    Raises:
        FileNotFoundError: if there is no such checkpoint or configuration.
        ValueError: if the configuration does not say what is needed.
    """
    checkpoints = checkpoints_in(args.checkpoint)
    folder = args.output or checkpoints[0].parent / "interactions"
    plan = _Plan.of(args, folder)
    stand = {path: standing(path, plan.file_of(path), plan.settings) for path in checkpoints}
    _tell(stand, folder)
    due = [path for path, (how, _) in stand.items() if how in (Standing.MISSING, Standing.OUTDATED)]
    taken = [path for path, (how, _) in stand.items() if how is Standing.TAKEN]
    failed = _explain_all(due, plan, args.accelerator) if due else []
    return 1 if taken or failed else 0


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


class _Plan(NamedTuple):
    """How checkpoints are explained, and where to."""

    built: Built
    settings: dict[str, str]
    folder: Path
    trust: bool

    @classmethod
    def of(cls, args: argparse.Namespace, folder: Path) -> _Plan:
        from lightning_interactions.cli import configuration  # noqa: PLC0415  # needs an optional extra

        config = configuration.read(args.config)
        for setting in args.set:
            configuration.override(config, setting)
        built = configuration.build(config, args.model, args.data)
        return cls(built, configuration.described(config, built), folder, args.trust)

    def file_of(self, checkpoint: Path) -> Path:
        return self.folder / f"{checkpoint.stem}.npz"


def _tell(stand: dict[Path, tuple[Standing, str]], folder: Path) -> None:
    """Say what is skipped and why something is explained again; what needs the user's hand is an error or a hint."""
    skipped = sum(how is Standing.CURRENT for how, _ in stand.values())
    if skipped:
        _say(f"{skipped} of {len(stand)} checkpoints are explained in {folder} already.")
    for checkpoint, (how, why) in stand.items():
        if how is Standing.OUTDATED:
            _say(f"{checkpoint.name}: {why}; it is explained again.")
        elif how is Standing.UNKNOWN:
            _say(f"{checkpoint.name}: {why}, and is left as it is. HINT: remove it to have the checkpoint explained.")
        elif how is Standing.TAKEN:
            sys.stderr.write(f"{checkpoint.name}: {why}. HINT: name another folder by --output.\n")


def _explain_all(checkpoints: list[Path], plan: _Plan, accelerator: str) -> list[Path]:
    """Let Lightning set up data and device as for a validation, and explain every checkpoint before its first batch.

    Returns:
        the checkpoints that could not be explained.
    """
    from lightning.fabric.utilities.exceptions import MisconfigurationException  # noqa: PLC0415
    from lightning.pytorch import Callback, Trainer  # noqa: PLC0415

    model, data, monitor = plan.built
    failed: list[Path] = []

    class Explainer(Callback):
        def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
            samples = _samples(monitor, trainer)
            failed.extend(path for path in checkpoints if not _explained(path, plan, pl_module, samples))

    trainer = Trainer(
        accelerator=accelerator,
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
    return failed


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


def _explained(checkpoint: Path, plan: _Plan, model: Any, samples: Samples) -> bool:
    """Explain one checkpoint; one that cannot be is named and does not keep the others from it."""
    try:
        told = _explain_one(checkpoint, plan, model, samples)
    except Exception as error:  # noqa: BLE001  # the file may hold anything, and the network's own hooks run
        sys.stderr.write(f"{checkpoint.name}: {error} ({type(error).__name__})\n")
        return False
    _say(told)
    return True


def _explain_one(checkpoint: Path, plan: _Plan, model: Any, samples: Samples) -> str:
    """Write the file of one checkpoint; returns what to say about it."""
    started = time.perf_counter()
    # Opened once: a training that goes on may put another file in its place meanwhile.
    with checkpoint.open("rb") as file:
        origin = Origin(seen_from(plan.folder, checkpoint), digest(file), plan.settings)
        file.seek(0)
        content = _load(file, trust=plan.trust)
    model.on_load_checkpoint(content)
    model.load_state_dict(content["state_dict"])
    monitor = plan.built.monitor
    found = monitor.settings.explain(model, samples, monitor.variables)
    found.provenance.update({key: content[key] for key in ("epoch", "global_step") if key in content})
    found.provenance.update({"checkpoint": checkpoint.name} | origin.provenance())
    saved = found.save(plan.file_of(checkpoint))
    record = summarize(found)
    return (
        f"{checkpoint.name}: {len(found)} samples, mean order {record['mean_order']:.2f},"
        f" {time.perf_counter() - started:.1f} s → {saved}"
    )


def _load(file: IO[bytes], *, trust: bool) -> dict[str, Any]:
    try:
        content = torch.load(file, map_location="cpu", weights_only=not trust)
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
