"""A finished run in one small JSON file, with everything that must be known to repeat or to doubt it."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.confidence import held_out_confidence
from experiments.figures.catalogue import FIGURES, make_figure
from experiments.figures.table import numbers as table_numbers
from experiments.record import surroundings
from experiments.training import whole_record
from lightning_interactions.files import with_nan, write_json

if TYPE_CHECKING:
    from experiments.figures.run_folder import RunFolder

__all__ = ["RESULTS", "collect", "is_collected", "load_results", "result_name"]

RESULTS = Path("experiments") / "results"
"""Where the results that are kept lie."""

_KEPT = (
    "epoch",
    "global_step",
    "train_loss",
    "held_out_loss",
    "loss_gap",
    "phase",
    "onset_epoch",
    "positive",
    "negative",
    "normalized_positive",
    "normalized_negative",
    "mean_order",
    "high_order_share",
    "salient_count",
    "matching_error",
    "noise_bound",
    "solver_gap",
    "n_samples",
    "seconds",
)
_RECORDED = ("metrics", "epochs", "machine", "versions", "python", "date", "commit", "remark")


def collect(run: RunFolder, results: Path = RESULTS) -> Path:
    """Make every figure whose measurements exist, and write the run's result beside those of the other runs.

    Args:
        run: a finished run.
        results: the folder of results.

    Returns:
        the JSON file; the pictures lie beside it under the same name.

    Raises:
        RuntimeError: if the run's training has not come to its end.
    """
    started = time.perf_counter()
    record = whole_record(run.path)
    seed, size = int(run.config["seed_everything"]), str(run.config["size"])
    name = result_name(run.name, size, seed)
    figures: dict[str, Any] = {"table": table_numbers(run)}
    for number in _possible(run):
        numbers, picture = make_figure(number, run)
        figures[str(number)] = json.loads(numbers.read_text())
        results.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture, results / f"{name}_figure_{number}.png")
    content = {
        "run": run.name,
        "size": size,
        "seed": seed,
        "command": f"python -m experiments reproduce --size {size} --only {run.name}",
        "minutes": _minutes(run, record) | {"collecting": (time.perf_counter() - started) / 60},
        **{key: record.get(key) for key in _RECORDED},
        "collected": surroundings(),
        "data": _data(run),
        "config": _portable(run.config),
        "history": [{key: row.get(key) for key in _KEPT} for row in run.history],
        "confidence": held_out_confidence(run),
        "figures": figures,
    }
    path = results / f"{name}.json"
    write_json(path, content, indent=None)
    return path


def is_collected(folder: Path, path: Path) -> bool:
    """Whether a result is that of the run in a folder, as it lies there now: of its last training and injection.

    Results are kept with the code, runs are not. So the result of another machine's run may lie under the same name.

    Args:
        folder: the run's.
        path: the result's JSON file.

    Example:
        >>> is_collected(Path("nowhere"), Path("nowhere.json"))
        False
    """
    record = folder / "run.json"
    if not record.exists() or not path.exists():
        return False
    result = json.loads(path.read_text())
    # An injection has no date; the time it took, to all digits, is as good.
    same_injection = result["minutes"].get("injecting") == _injecting(folder / "injected").get("injecting")
    return bool(result["date"] == json.loads(record.read_text())["date"] and same_injection)


def result_name(run: str, size: str, seed: int) -> str:
    """The stem of a result's files.

    Example:
        >>> result_name("lenet_mnist", "small", 0)
        'lenet_mnist_small_seed0'
    """
    return f"{run}_{size}_seed{seed}"


def load_results(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """All results of a folder, ordered by run, size and seed; a number that there is not is NaN."""
    found = [_with_numbers(json.loads(path.read_text())) for path in folder.glob("*_seed*.json")]
    return sorted(found, key=lambda result: (result["run"], result["size"], result["seed"]))


def _with_numbers(result: dict[str, Any]) -> dict[str, Any]:
    return result | {part: with_nan(result[part]) for part in ("history", "figures")}


def _possible(run: RunFolder) -> list[int]:
    """The figures whose measurements exist; 9 is the same as 5."""
    present = {
        "": True,
        "inject": (run.injected() / "index.json").exists(),
        "similarity": bool(run.similarity_epochs()),
    }
    return [number for number, recipe in FIGURES.items() if number != 9 and present[recipe.needs]]  # noqa: PLR2004


def _minutes(run: RunFolder, record: dict[str, Any]) -> dict[str, float]:
    """Minutes of the training, the part of it that the monitor took, and what came after."""
    found = {"training": record.get("seconds", 0.0) / 60}
    found["measuring in it"] = sum(row["seconds"] for row in run.history) / 60
    return found | _injecting(run.injected())


def _injecting(folder: Path) -> dict[str, float]:
    """Minutes of the injection; empty where there was none."""
    index = folder / "index.json"
    return {"injecting": json.loads(index.read_text())["seconds"] / 60} if index.exists() else {}


def _data(run: RunFolder) -> dict[str, Any]:
    """How many samples were trained on and held out, and of how many they were drawn, where the run has noted it."""
    path = run.path / "data.json"
    noted = json.loads(path.read_text()) if path.exists() else {}
    rows = {"trained_on": "train_rows", "held_out": "test_rows"}
    return {name: len(noted[key]) for name, key in rows.items() if key in noted} | {"at_hand": noted.get("at_hand")}


def _portable(config: Any) -> Any:
    """A configuration without the absolute paths of one machine."""
    if isinstance(config, dict):
        return {key: _portable(value) for key, value in config.items()}
    if isinstance(config, list):
        return [_portable(value) for value in config]
    return Path(config).name if isinstance(config, str) and Path(config).is_absolute() else config
