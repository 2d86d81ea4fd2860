"""How sure a run's networks were of held-out samples: the simpler signs of overfitting beside the interactions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from torchmetrics import MeanMetric

from experiments.checkpoints import checkpoint_path
from experiments.restore import load_weights, restore
from lightning_interactions.files import write_json
from lightning_interactions.masking.batches import to_device
from lightning_interactions.masking.devices import device_of
from lightning_interactions.masking.network import call_network
from lightning_interactions.masking.observe import observing
from lightning_interactions.masking.outputs import logits_of, margin

if TYPE_CHECKING:
    from torch import Tensor

    from experiments.figures.run_folder import RunFolder
    from experiments.restore import Restored

__all__ = ["held_out_confidence"]


def held_out_confidence(run: RunFolder) -> list[dict[str, float]]:
    r"""Overconfidence and margin on all held-out samples, for every measured epoch whose weights were kept.

    With the probabilities :math:`p` of the classes and the true class :math:`y`, overconfidence is
    :math:`\mathbb E[\max_c p_c] - \mathrm{accuracy}`, the calibration error of a single bin with its sign, and the
    margin is :math:`\mathbb E[p_y - \max_{c \neq y} p_c]`. Both lie in -1 … 1. What was found is kept in the run's
    ``confidence.json``; only the first time the network and the data must be at hand.

    Args:
        run: the run.

    Returns:
        a record for each epoch: ``epoch``, ``overconfidence``, ``margin``.
    """
    epochs = [epoch for epoch in run.history.epochs if checkpoint_path(run.path, epoch).exists()]
    path = run.path / "confidence.json"
    kept: list[dict[str, float]] = json.loads(path.read_text()) if path.exists() else []
    if [record["epoch"] for record in kept] == epochs:
        return kept
    network = restore(run, epochs[0])
    found = []
    for epoch in epochs:
        load_weights(network.module, run, epoch)
        found.append({"epoch": epoch} | _confidence(network))
    write_json(path, found)
    return found


def _confidence(network: Restored) -> dict[str, float]:
    overconfidence, margins = MeanMetric(), MeanMetric()
    for batch in network.data.val_dataloader():
        inputs, targets = network.split(batch)
        probabilities = _probabilities(network, inputs)
        surest, predicted = probabilities.max(dim=1)
        overconfidence.update(surest - (predicted == targets).float())
        margins.update(margin(probabilities, targets))
    return {"overconfidence": overconfidence.compute().item(), "margin": margins.compute().item()}


def _probabilities(network: Restored, inputs: Any) -> Tensor:
    """``(B, classes)`` on the CPU."""
    with observing(network.module):
        logits = call_network(network.module, to_device(inputs, device_of(network.module)))
    return logits_of(logits).float().softmax(dim=1).cpu()
