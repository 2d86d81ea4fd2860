"""Pictures and tables for loggers that can show them. Scalars need nothing here: they go through Lightning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from lightning_interactions.callback.record import PREFIX
from lightning_interactions.lattice import subset_order
from lightning_interactions.plots import strength_by_order

if TYPE_CHECKING:
    from lightning_interactions.interactions import Interactions

__all__ = ["effects_table", "log_pictures"]

_SAMPLES_IN_TABLE = 4
_EFFECTS_IN_TABLE = 5


def log_pictures(
    logger: Any, interactions: Interactions, record: dict[str, Any], step: int, prefix: str = PREFIX
) -> None:
    """Give TensorBoard the strength figure, a histogram of the effects of each order and the strongest effects.

    Args:
        logger: one of the Trainer's loggers; one that is not TensorBoard's is passed over.
        interactions: what was measured.
        record: the same as plain data.
        step: the step of the measurement on the logger's axis.
        prefix: what every tag starts with.
    """
    writer: Any = getattr(logger, "experiment", None)
    if not (hasattr(writer, "add_figure") and hasattr(writer, "add_histogram") and hasattr(writer, "add_text")):
        return
    figure, _ = strength_by_order(
        torch.tensor(record["positive"]), torch.tensor(record["negative"]), title=f"epoch {record['epoch']}"
    )
    writer.add_figure(f"{prefix}strength", figure, step, close=False)
    for order, effects in _effects_by_order(interactions).items():
        writer.add_histogram(f"{prefix}effects/order_{order:02d}", effects.numpy(), step)
    writer.add_text(f"{prefix}strongest", effects_table(interactions), step)


def effects_table(interactions: Interactions) -> str:
    """The strongest interactions of the first samples as a Markdown table: which patches or words, and the effect."""
    lines = ["| sample | kind | order | variables | effect |", "|---|---|---|---|---|"]
    samples = interactions.provenance.get("samples", range(len(interactions)))
    for row in range(min(_SAMPLES_IN_TABLE, len(interactions))):
        names = interactions.variable_names(row)
        for effect in interactions.strongest(row, _EFFECTS_IN_TABLE):
            who = ", ".join(names[variable] for variable in effect.variables).replace("|", "\\|")
            lines.append(f"| {samples[row]} | {effect.kind} | {effect.order} | {who} | {effect.effect:+.3f} |")
    return "\n".join(lines)


def _effects_by_order(interactions: Interactions) -> dict[int, torch.Tensor]:
    """The non-zero effects of each order that has any, over all samples."""
    orders = subset_order(interactions.n_variables)
    found = {}
    for order in range(1, interactions.n_variables + 1):
        columns = orders == order
        effects = torch.cat([interactions.and_[:, columns].flatten(), interactions.or_[:, columns].flatten()])
        if effects.count_nonzero():
            found[order] = effects[effects != 0]
    return found
