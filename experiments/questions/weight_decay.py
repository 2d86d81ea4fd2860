"""A run repeated with another weight decay."""

from __future__ import annotations

import sys
from typing import Any

from experiments.figures.run_folder import RunFolder
from experiments.in_use import FolderLock
from experiments.process import run_process
from experiments.questions.measure import point
from experiments.training import finished_record, resume_options, start_clean, training_command

__all__ = ["trained_with"]


def trained_with(folder: RunFolder, weight_decay: float) -> dict[str, Any]:
    """The run's whole history with another weight decay; trained unless that was done before."""
    own = folder.config["model"]["optimizer"]["init_args"]["weight_decay"]
    run = folder if weight_decay == own else _retrained(folder, weight_decay)
    epochs = [run.history.epochs[0], run.reference_epoch, run.history.epochs[-1]]
    reference = run.interactions(run.reference_epoch)
    return {
        "setting": f"weight decay {weight_decay:g}",
        "points": [point(epoch, run.interactions(epoch), reference) for epoch in epochs],
        "epochs": run.history.epochs,
        "mean_order": run.history.column("mean_order"),
        "loss_gap": run.history.column("loss_gap"),
    }


def _retrained(folder: RunFolder, weight_decay: float) -> RunFolder:
    """The repeated run, trained to its end: from its last checkpoint, if an earlier attempt was cut off."""
    seed, size = folder.config["seed_everything"], f"wd{weight_decay:g}"
    target = folder.path.parent / f"{size}-seed{seed}"
    if finished_record(target) is None:
        with FolderLock(target):
            start_clean(target)
        command = training_command(folder.name, folder.config["size"], seed, folder.path.parent.parent)
        command += [f"--size={size}", f"--model.optimizer.init_args.weight_decay={weight_decay}"]
        command += ["--similarity.at_epochs=[]", *resume_options(target)]
        code = run_process([sys.executable, "-m", "experiments", *command])
        # A training that was asked to stop ends with 0, too.
        if code or finished_record(target) is None:
            msg = (
                f"The training with weight decay {weight_decay:g} in '{target}' must come to its end, got one that"
                f" ended with code {code} before. HINT: what it said stands above; the same command goes on."
            )
            raise RuntimeError(msg)
    return RunFolder(target)
