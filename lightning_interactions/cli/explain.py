"""``lightning-interactions explain``: what the networks in finished checkpoints combine, without training again."""

from __future__ import annotations

import os
import pickle
import re
import sys
import time
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lightning_interactions.callback.held_out import explained_samples, given_samples
from lightning_interactions.callback.monitor import InteractionMonitor
from lightning_interactions.callback.record import summarize
from lightning_interactions.callback.samples import flatten_loaders, prepared, split_batch

if TYPE_CHECKING:
    import argparse

    from lightning_interactions.callback.samples import Samples

__all__ = ["add_parser", "checkpoints_in", "run"]

_EPILOG = """\
The configuration is that of a LightningCLI, such as the config.yaml in a run's folder. The InteractionMonitor in it,
under trainer.callbacks or under `monitor`, says which variables of which samples are explained. Where `model` and
`data` hold only arguments, --model and --data name the classes. Files that are there already are skipped, so that an
interrupted call can simply be repeated.

  lightning-interactions explain --checkpoint runs/a/checkpoints --config runs/a/config.yaml
  lightning-interactions explain --checkpoint last.ckpt --config configs/quickstart.yaml \\
      --model experiments.classifier.Classifier --set monitor.n_samples=10
"""


def add_parser(subparsers: Any) -> None:
    """Add this command and its options to the program's."""
    import argparse  # noqa: PLC0415  # only here at run time

    parser = subparsers.add_parser(
        "explain",
        help="explain what a trained network combines on some samples",
        description="Explain the networks in checkpoints: one file of Interactions for each.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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
    config = _read_config(args.config)
    for setting in args.set:
        _override(config, setting)
    model, data, monitor = _built(config, args.model, args.data)
    return _explain_all(missing, folder, model, data, monitor, args)


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


# -- the configuration -------------------------------------------------------------------------------------------------


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        msg = f"`--config` must be a YAML file, got '{path}', which is none."
        raise FileNotFoundError(msg)
    config = _parsed(path.read_text(), f"'{path}'")
    if isinstance(config, dict) and "model" not in config and isinstance(config.get("fit"), dict):
        config = config["fit"]
    if not isinstance(config, dict) or "model" not in config:
        msg = f"'{path}' is no configuration of a LightningCLI: it has no `model`. HINT: the run's 'config.yaml'."
        raise ValueError(msg)
    return config


def _parsed(text: str, what: str) -> Any:
    import yaml  # type: ignore[import-untyped]  # noqa: PLC0415  # comes with jsonargparse, an optional extra

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        msg = f"{what} must be readable YAML, got: {error}"
        raise ValueError(msg) from error


def _override(config: dict[str, Any], setting: str) -> None:
    key, separator, value = setting.partition("=")
    if not separator or not key:
        msg = f"`--set` must be KEY=VALUE, got {setting!r}."
        raise ValueError(msg)
    *above, last = key.split(".")
    for name in above:
        config = config.setdefault(name, {})
        if not isinstance(config, dict):
            msg = f"`--set {setting}`: '{name}' holds no settings."
            raise ValueError(msg)  # noqa: TRY004  # what a user wrote, not a programmer
    config[last] = _parsed(value, f"`--set {setting}`")


def _monitor_settings(config: dict[str, Any]) -> tuple[type, dict[str, Any]]:
    """The class and the arguments of the monitor: under ``monitor``, or the first among the Trainer's callbacks."""
    settings = config.get("monitor")
    if isinstance(settings, dict):
        named = "class_path" in settings
        cls = _class(settings["class_path"], InteractionMonitor) if named else InteractionMonitor
        arguments = dict(_part(settings, "init_args") if named else settings)
    else:
        callbacks = _part(config, "trainer").get("callbacks") or []
        entries = [entry for entry in (callbacks if isinstance(callbacks, list) else [callbacks]) if entry]
        named_ones = [entry if isinstance(entry, dict) else {"class_path": entry} for entry in entries]
        classes = [(_class(entry.get("class_path")), _part(entry, "init_args")) for entry in named_ones]
        monitors = [(cls, arguments) for cls, arguments in classes if issubclass(cls, InteractionMonitor)]
        if not monitors:
            msg = (
                "The configuration has no InteractionMonitor, neither under `trainer.callbacks` nor under `monitor`."
                " HINT: --set monitor.variables.class_path=lightning_interactions.FeatureMapPatches"
                " --set monitor.variables.init_args.layer=…"
            )
            raise ValueError(msg)
        cls, arguments = monitors[0][0], dict(monitors[0][1])
    variables = arguments.get("variables")
    if isinstance(variables, dict) and "n" in config:
        # The experiments' command line has one option for it, which a saved configuration names only there.
        arguments["variables"] = variables | {"init_args": {"n_variables": config["n"]} | _part(variables, "init_args")}
    return cls, arguments


def _part(settings: dict[str, Any], key: str) -> dict[str, Any]:
    """The settings under a key; none where it is missing or empty."""
    part = settings.get(key) or {}
    if not isinstance(part, dict):
        msg = f"`{key}` of the configuration must hold settings, got {part!r}."
        raise ValueError(msg)  # noqa: TRY004  # what a user wrote, not a programmer
    return part


def _class(path: Any, base: type = object) -> type:
    """The class of that name; only a class, so that a configuration cannot have any function called."""
    module, _, name = str(path).rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        msg = (
            f"There is no class '{path}': {error}. HINT: run this where Python finds it, e.g. in the project's folder."
        )
        raise ValueError(msg) from error
    if not isinstance(found, type) or not issubclass(found, base):
        msg = f"`class_path` must name a class of the kind {base.__name__}, got '{path}'."
        raise ValueError(msg)  # noqa: TRY004  # what a user wrote, not a programmer
    return found


def _built(config: dict[str, Any], model: str | None, data: str | None) -> tuple[Any, Any, InteractionMonitor]:
    """The module, the data module and the monitor of a configuration."""
    try:
        from jsonargparse import ArgumentError  # noqa: PLC0415  # an optional extra
        from lightning.pytorch import LightningDataModule, LightningModule, seed_everything  # noqa: PLC0415
        from lightning.pytorch.cli import LightningArgumentParser  # noqa: PLC0415
    except ImportError as error:
        msg = f"{error}. HINT: pip install 'lightning-interactions[experiments]'."
        raise ImportError(msg) from error
    if os.getcwd() not in sys.path:  # noqa: PTH109  # as `python -m` does, for classes of the user's own
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    if "data" not in config:
        msg = "The configuration has no `data`, so there are no samples to explain. HINT: --set data.class_path=…"
        raise ValueError(msg)
    monitor_class, monitor_arguments = _monitor_settings(config)
    parser = LightningArgumentParser(exit_on_error=False)
    for key, named, base in (("model", model, LightningModule), ("data", data, LightningDataModule)):
        if named is None and "class_path" not in _part(config, key):
            msg = f"`{key}` of the configuration has no `class_path`. HINT: name the class with --{key}."
            raise ValueError(msg)
        parser.add_lightning_class_args(_class(named, base) if named else base, key, subclass_mode=named is None)
    parser.add_lightning_class_args(monitor_class, "monitor")
    seed = config.get("seed_everything")
    if isinstance(seed, int) and not isinstance(seed, bool):
        seed_everything(seed, verbose=False)
    try:
        parsed = parser.parse_object({"model": config["model"], "data": config["data"], "monitor": monitor_arguments})
        # The older name of the two; newer versions warn of it.
        built = getattr(parser, "instantiate", parser.instantiate_classes)(parsed)
    except (ArgumentError, TypeError) as error:
        msg = f"The configuration does not fit its classes: {error}"
        raise ValueError(msg) from error
    return built.model, built.data, built.monitor


# -- explaining --------------------------------------------------------------------------------------------------------


def _explain_all(
    checkpoints: list[Path],
    folder: Path,
    model: Any,
    data: Any,
    monitor: InteractionMonitor,
    args: argparse.Namespace,
) -> int:
    """Let Lightning set up data and device as for a validation, and explain every checkpoint before its first batch."""
    from lightning.fabric.utilities.exceptions import MisconfigurationException  # noqa: PLC0415
    from lightning.pytorch import Callback, Trainer  # noqa: PLC0415

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
    data.prepare_data = data.setup = _nothing
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
        flatten_loaders(trainer.val_dataloaders),
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
        _explain_one(checkpoint, file, model, samples, monitor, trust=trust)
    except (ValueError, TypeError, RuntimeError, OSError, ArithmeticError) as error:
        sys.stderr.write(f"{checkpoint.name}: {error}\n")
        return False
    return True


def _explain_one(
    checkpoint: Path, file: Path, model: Any, samples: Samples, monitor: InteractionMonitor, *, trust: bool
) -> None:
    started = time.perf_counter()
    content = _load(checkpoint, trust=trust)
    model.on_load_checkpoint(content)
    model.load_state_dict(content["state_dict"])
    found = monitor.settings.explain(model, samples, monitor.variables)
    found.provenance.update(
        {key: content[name] for key, name in (("epoch", "epoch"), ("global_step", "global_step")) if name in content}
        | {"checkpoint": checkpoint.name}
    )
    found.save(file)
    record = summarize(found)
    _say(
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
    if not isinstance(content, dict) or "state_dict" not in content:
        msg = "it is no checkpoint of Lightning: it has no `state_dict`."
        raise ValueError(msg)
    return content


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
