"""A run repeated with another weight decay."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from lightning.pytorch.core.saving import load_hparams_from_yaml

from experiments.figures.run_folder import RunFolder
from experiments.in_use import FolderLock
from experiments.process import run_process
from experiments.questions.measure import point
from experiments.sizes import leaves
from experiments.training import finished_record, resume_options, start_clean

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["setting", "trained_with"]

_WEIGHT_DECAY = "model.optimizer.init_args.weight_decay"

_OUTSIDE = ("ckpt_path", "weights_only", "trainer.logger.", "trainer.enable_")
"""Options that decide where a training lies, what it shows, and from where it goes on."""


def setting(weight_decay: float) -> str:
    """What the answer of a weight decay is called."""
    return f"weight decay {weight_decay:g}"


def trained_with(folder: RunFolder, weight_decay: float) -> dict[str, Any]:
    """The run's whole history with another weight decay; trained unless that was done before."""
    own = folder.config["model"]["optimizer"]["init_args"]["weight_decay"]
    run = folder if weight_decay == own else _retrained(folder, weight_decay)
    epochs = [run.history.epochs[0], run.reference_epoch, run.history.epochs[-1]]
    reference = run.interactions(run.reference_epoch)
    return {
        "setting": setting(weight_decay),
        "points": [point(epoch, run.interactions(epoch), reference) for epoch in epochs],
        "epochs": run.history.epochs,
        "mean_order": run.history.column("mean_order"),
        "loss_gap": run.history.column("loss_gap"),
    }


def _retrained(folder: RunFolder, weight_decay: float) -> RunFolder:
    """The repeated run, trained to its end: from its last checkpoint, if an earlier attempt was cut off."""
    size = f"{folder.config['size']}-wd{weight_decay:g}"
    target = folder.path.with_name(f"{size}-seed{folder.config['seed_everything']}")
    changed = {"size": size, _WEIGHT_DECAY: weight_decay, "similarity.at_epochs": []}
    finished = finished_record(target) is not None
    if not finished:
        with FolderLock(target):
            start_clean(target)
    if finished or resume_options(target):
        _check_repeats(target, folder, changed)
    if not finished:
        _train(target, folder, changed)
    return RunFolder(target)


def _check_repeats(target: Path, folder: RunFolder, changed: dict[str, Any]) -> None:
    """Refuse a training that was made of another configuration than the run's: it says nothing about the weight decay.

    Options that only one of the two has are not compared: the other is from before they were there.
    """
    path = target / "config.yaml"
    kept = dict(leaves(load_hparams_from_yaml(path, use_omegaconf=False))) if path.exists() else {}
    wanted = dict(leaves(folder.config)) | changed
    other = [
        f"{key} {kept[key]} in place of {value}"
        for key, value in wanted.items()
        if key in kept and kept[key] != value and not key.startswith(_OUTSIDE)
    ]
    if other or not kept:
        msg = (
            f"'{target}' must hold the training of '{folder.path}' with a weight decay of {changed[_WEIGHT_DECAY]:g},"
            f" got one with {', '.join(other) or 'no config.yaml'}. HINT: move or remove that folder, and the same"
            f" command trains anew."
        )
        raise FileExistsError(msg)


def _train(target: Path, folder: RunFolder, changed: dict[str, Any]) -> None:
    """Train with the run's own configuration, which may be another than that of its name."""
    command = ["fit", "--config", str(folder.path / "config.yaml")]
    command += [f"--{key}={value}" for key, value in changed.items()]
    command += [f"--trainer.logger.init_args.save_dir={target.parent.parent}"]
    command += [f"--trainer.logger.init_args.version={target.name}"]
    command += ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    command += resume_options(target) or ["--ckpt_path=null"]
    code = run_process([sys.executable, "-m", "experiments", *command])
    # A training that was asked to stop ends with 0, too.
    if code or finished_record(target) is None:
        msg = (
            f"The training with weight decay {changed[_WEIGHT_DECAY]:g} in '{target}' must come to its end, got one"
            f" that ended with code {code} before. HINT: what it said stands above; the same command goes on."
        )
        raise RuntimeError(msg)
