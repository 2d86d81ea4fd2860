"""A run repeated with another weight decay."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from experiments.figures.run_folder import RunFolder
from experiments.questions.measure import point
from experiments.reproduce import training_command

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
    seed, size = folder.config["seed_everything"], f"wd{weight_decay:g}"
    target = folder.path.parent / f"{size}-seed{seed}"
    record = target / "run.json"
    if not record.exists() or not json.loads(record.read_text())["finished"]:
        command = training_command(folder.name, folder.config["size"], seed, folder.path.parent.parent)
        changed = [f"--size={size}", f"--model.optimizer.init_args.weight_decay={weight_decay}"]
        changed.append("--similarity.at_epochs=[]")
        subprocess.run([sys.executable, "-m", "experiments", *command, *changed], check=True)  # noqa: S603
    return RunFolder(target)
