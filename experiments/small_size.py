"""What the small size of each run changes in its configuration of paper size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.core.saving import load_hparams_from_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["changes"]

CONFIGS = Path(__file__).resolve().parent.parent / "configs"

_ONLY_SPEED = {
    *("size", "data.init_args.in_memory", "trainer.accelerator", "trainer.log_every_n_steps"),
    "trainer.check_val_every_n_epoch",
}
"""Changes that change no number, and the size itself."""


def changes(run: str, configs: Path = CONFIGS) -> list[str]:
    """Each setting that differs, with both values; a dash for what the paper's configuration leaves at its default.

    Args:
        run: name of the configuration.
        configs: the folder of configurations; those of small size lie in ``small/``.

    Returns:
        words such as ``"label_noise 0.01 → 0.1"``, in the order of the file.
    """
    paper, small = (dict(_leaves(load_hparams_from_yaml(path, use_omegaconf=False))) for path in _files(run, configs))
    return [
        f"{key.rpartition('.')[2]} {_short(paper.get(key))} → {_short(value)}"
        for key, value in small.items()
        if value != paper.get(key) and key not in _ONLY_SPEED and not key.endswith("num_workers")
    ]


def _files(run: str, configs: Path) -> tuple[Path, Path]:
    return configs / f"{run}.yaml", configs / "small" / f"{run}.yaml"


def _leaves(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _short(value: Any) -> str:
    """A list by its length, which is what the page needs of the measured epochs."""
    if isinstance(value, list):
        return f"{len(value)} values"
    return "–" if value is None else str(value)
