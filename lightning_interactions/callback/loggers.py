"""Pictures and tables for loggers that can show them. Scalars need nothing here: they go through Lightning.

===========  =====================================================================
logger       what it gets beside the scalars
===========  =====================================================================
TensorBoard  figures, a histogram of the effects of each order, a table
W&B          figures, a table
MLflow       figures and a table, as artifacts under the key and the epoch
any other    nothing; :func:`save_pictures` puts the figures beside the run's files
===========  =====================================================================
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from lightning_interactions.callback.record import PREFIX
from lightning_interactions.files import write_whole
from lightning_interactions.lattice import subset_order
from lightning_interactions.plots import decomposition, strength_by_order
from lightning_interactions.run_files import picture_file

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from matplotlib.figure import Figure

    from lightning_interactions.interactions import Interactions

__all__ = ["effects_table", "log_pictures", "save_pictures"]

_SAMPLES_IN_TABLE = 4
_EFFECTS_IN_TABLE = 5
_COLUMNS = ("sample", "kind", "order", "variables", "effect")
# A run of hundreds of epochs keeps every figure and histogram in one event file. At this size a figure of four inches
# takes 5 to 9 kB. TensorBoard shows 30 bins whatever it is given; its own default writes ten times as many bytes.
_DPI = 80
_BINS = 30


def log_pictures(
    logger: Any, interactions: Interactions, record: dict[str, Any], step: int, prefix: str = PREFIX
) -> bool:
    """Give a logger the figures of one measurement, and the strongest effects.

    The figure ``strength`` shows the strength by order; ``decomposition`` shows decay and spindle once they are fitted.

    Args:
        logger: one of the Trainer's loggers, of Lightning's classes or anything that has their methods.
        interactions: what was measured.
        record: the same as plain data.
        step: the step of the measurement on the logger's axis.
        prefix: what every tag starts with.

    Returns:
        whether this logger can show pictures.
    """
    show = _way_of(logger)
    if show is None:
        return False
    with _figures(record) as figures:
        show(logger, figures, interactions, record["epoch"], step, prefix)
    return True


def save_pictures(folder: str | os.PathLike[str], record: dict[str, Any]) -> list[Path]:
    """Write the figures of one measurement, for runs whose loggers show no pictures.

    They are ``epoch=…_strength.png``, and ``epoch=…_decomposition.png`` once decay and spindle are fitted.

    Args:
        folder: of the run's files.
        record: the measurement as plain data.

    Returns:
        the files written.

    Raises:
        OSError: if they cannot be written.

    Example:
        >>> import tempfile
        >>> record = {"epoch": 5, "positive": [2.0, 1.0], "negative": [1.0, 0.5]}
        >>> [path.name for path in save_pictures(tempfile.mkdtemp(), record)]
        ['epoch=0005_strength.png']
    """
    paths = []
    with _figures(record) as figures:
        for name, figure in figures.items():
            path = picture_file(folder, record["epoch"], name)
            with write_whole(path) as file:
                figure.savefig(file, format="png")
            paths.append(path)
    return paths


def effects_table(interactions: Interactions) -> str:
    """The strongest interactions of the first samples as a Markdown table: which patches or words, and the effect."""
    lines = [f"| {' | '.join(_COLUMNS)} |", "|---|---|---|---|---|"]
    for sample, kind, order, who, effect in _strongest(interactions):
        who = who.replace("|", "\\|")  # noqa: PLW2901
        lines.append(f"| {sample} | {kind} | {order} | {who} | {effect:+.3f} |")
    return "\n".join(lines)


def _way_of(logger: Any) -> Callable[..., None] | None:
    """How to show pictures in a logger, told from its methods: both of Lightning's packages have these classes."""
    if callable(getattr(logger, "log_image", None)):
        return _show_in_wandb
    experiment: Any = getattr(logger, "experiment", None)
    if all(hasattr(experiment, method) for method in ("add_figure", "add_histogram", "add_text")):
        return _show_in_tensorboard
    # Comet's experiment has a `log_figure` too, of another signature, but no run's id.
    if hasattr(experiment, "log_figure") and hasattr(experiment, "log_text") and hasattr(logger, "run_id"):
        return _show_in_mlflow
    return None


def _show_in_tensorboard(
    logger: Any, figures: dict[str, Figure], interactions: Interactions, _epoch: int, step: int, prefix: str
) -> None:
    for name, figure in figures.items():
        logger.experiment.add_figure(f"{prefix}{name}", figure, step, close=False)
    for order, effects in _effects_by_order(interactions).items():
        logger.experiment.add_histogram(f"{prefix}effects/order_{order:02d}", effects.numpy(), step, bins=_BINS)
    logger.experiment.add_text(f"{prefix}strongest", effects_table(interactions), step)


def _show_in_wandb(
    logger: Any, figures: dict[str, Figure], interactions: Interactions, _epoch: int, step: int, prefix: str
) -> None:
    for name, figure in figures.items():
        logger.log_image(f"{prefix}{name}", [_pixels(figure)], step=step)
    if callable(getattr(logger, "log_table", None)):
        rows = [list(row) for row in _strongest(interactions)]
        logger.log_table(f"{prefix}strongest", columns=list(_COLUMNS), data=rows, step=step)


def _show_in_mlflow(
    logger: Any, figures: dict[str, Figure], interactions: Interactions, epoch: int, _step: int, prefix: str
) -> None:
    client, run = logger.experiment, logger.run_id
    for name, figure in figures.items():
        client.log_figure(run, figure, f"{prefix}{name}/epoch={epoch:04d}.png")
    client.log_text(run, effects_table(interactions), f"{prefix}strongest/epoch={epoch:04d}.md")


@contextmanager
def _figures(record: dict[str, Any]) -> Iterator[dict[str, Figure]]:
    """The figures of one measurement, emptied afterwards: figures hold themselves and wait long for the collector."""
    title = f"epoch {record['epoch']}"
    figures = {
        "strength": strength_by_order(torch.tensor(record["positive"]), torch.tensor(record["negative"]), title=title)[
            0
        ]
    }
    if np.isfinite(record.get("decay_positive", np.nan)).all():
        figures["decomposition"] = decomposition(record, title=title)[0]
    try:
        for figure in figures.values():
            figure.set_dpi(_DPI)
        yield figures
    finally:
        for figure in figures.values():
            figure.clear()


def _pixels(figure: Figure) -> np.ndarray:
    """A figure as colours, uint8 ``(height, width, 3)``."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _strongest(interactions: Interactions) -> Iterator[tuple[int, str, int, str, float]]:
    for row, sample in enumerate(interactions.sample_numbers[:_SAMPLES_IN_TABLE]):
        names = interactions.variable_names(row)
        for effect in interactions.strongest(row, _EFFECTS_IN_TABLE):
            who = ", ".join(names[variable] for variable in effect.variables)
            yield sample, effect.kind, effect.order, who, effect.effect


def _effects_by_order(interactions: Interactions) -> dict[int, torch.Tensor]:
    """The non-zero effects of each order that has any, over all samples."""
    orders = subset_order(interactions.n_variables, interactions.and_.device)
    found = {}
    for order in range(1, interactions.n_variables + 1):
        columns = orders == order
        effects = torch.cat([interactions.and_[:, columns].flatten(), interactions.or_[:, columns].flatten()])
        if effects.count_nonzero():
            found[order] = effects[effects != 0]
    return found
