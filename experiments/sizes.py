"""The sizes in which a run can be made: its files of configuration, and what they change in the paper's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from lightning.pytorch.core.saving import load_hparams_from_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CONFIGS", "SIZES", "Size", "changes", "config_files", "leaves"]

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
"""The folder of configurations: the paper's size, and in a folder of its name what each other size changes."""

Size = Literal["paper", "small", "cut"]

SIZES: tuple[Size, ...] = get_args(Size)
"""The paper's; small, for minutes on two cores; cut, the paper's until an epoch that two cores reach in hours."""

_ONLY_SPEED = {
    *("size", "data.init_args.in_memory", "trainer.accelerator", "trainer.log_every_n_steps"),
    "trainer.check_val_every_n_epoch",
}
"""Changes that change no number, and the size itself."""


def config_files(run: str, size: str, configs: Path = CONFIGS) -> list[Path]:
    """The files that make up a configuration, the later over the earlier.

    Args:
        run: name of the configuration.
        size: any of :data:`SIZES`.
        configs: the folder of configurations.

    Returns:
        no file where the run has no such size.

    Example:
        >>> [path.parent.name for path in config_files("lenet_mnist", "small")]
        ['configs', 'small']
        >>> config_files("lenet_mnist", "cut")
        []
    """
    files = [configs / f"{run}.yaml"] + [configs / size / f"{run}.yaml"] * (size != "paper")
    return files if all(path.exists() for path in files) else []


def changes(run: str, size: str, configs: Path = CONFIGS) -> list[str]:
    """Each setting that differs, with both values; a dash for what the paper's configuration leaves at its default.

    Args:
        run: name of the configuration.
        size: any of :data:`SIZES` that the run has.
        configs: the folder of configurations.

    Returns:
        words such as ``"label_noise 0.01 → 0.1"``, in the order of the file.
    """
    paper, *over = (
        dict(leaves(load_hparams_from_yaml(path, use_omegaconf=False))) for path in config_files(run, size, configs)
    )
    return [
        f"{key.rpartition('.')[2]} {_short(paper.get(key))} → {_short(value)}"
        for changed in over
        for key, value in changed.items()
        if value != paper.get(key) and key not in _ONLY_SPEED and not key.endswith("num_workers")
    ]


def leaves(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every option of a configuration, and its value.

    Args:
        config: mappings in mappings.
        prefix: of every option's name.

    Example:
        >>> list(leaves({"n": 10, "trainer": {"max_epochs": 5}}))
        [('n', 10), ('trainer.max_epochs', 5)]
    """
    for key, value in config.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _short(value: Any) -> str:
    """A list by its length, which is what the page needs of the measured epochs."""
    if isinstance(value, list):
        return f"{len(value)} values"
    return "–" if value is None else str(value)
