r"""Inject what does not generalise into a trained network: the measurements behind Figs. 3, 4 and 8.

The network at the end of the normal phase is explained as it is, with Gaussian noise on its parameters, and with its
inputs moved by FGSM (Section 2.2.2). Everything is kept in the run's folder ``injected/``: ``clean.npz``, one file for
each kind and :math:`\sigma`, and ``index.json``.

What :math:`\sigma` is relative to: for the parameters, the root mean square of each parameter tensor. The paper gives
:math:`\sigma` up to 6 without a unit; six times the size of a weight leaves nothing of a network, so its unit must be
another. For images FGSM's :math:`\sigma` is in pixel values of 0 … 1, for words relative to the root mean square of the
embeddings of the samples.
"""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from experiments.restore import restore
from lightning_interactions.callback.samples import Samples
from lightning_interactions.files import write_json
from lightning_interactions.masking.batches import to_device
from lightning_interactions.masking.devices import device_of
from lightning_interactions.masking.fgsm import fgsm, fgsm_embeddings
from lightning_interactions.masking.fixed import AsDrawn
from lightning_interactions.masking.weight_noise import weight_noise

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from experiments.figures.run_folder import RunFolder
    from experiments.restore import Restored

__all__ = ["FGSM_SIGMAS", "WEIGHT_SIGMAS", "inject"]

WEIGHT_SIGMAS = (0.05, 0.1, 0.2, 0.4)
"""Standard deviation of the parameters' noise, relative to the root mean square of each parameter tensor."""

FGSM_SIGMAS = (2 / 255, 4 / 255, 8 / 255, 16 / 255)
"""Steps of FGSM (Fig. 8), in pixel values of 0 … 1."""


def inject(
    run: RunFolder,
    weight_sigmas: Sequence[float] = WEIGHT_SIGMAS,
    fgsm_sigmas: Sequence[float] = FGSM_SIGMAS,
    epoch: int | None = None,
) -> dict[str, Any]:
    """Measure the clean network and every disturbed one, and store their interactions.

    Args:
        run: the run, with a checkpoint of ``epoch``.
        weight_sigmas: of the parameters' noise.
        fgsm_sigmas: of the step on the inputs.
        epoch: whose network is disturbed; the end of the normal phase when ``None``.

    Returns:
        what is also written to ``index.json``: the epoch, the units and where each result lies.
    """
    started = time.perf_counter()
    restored = restore(run, run.reference_epoch if epoch is None else epoch)
    samples = restored.samples
    variables = AsDrawn(restored.monitor.variables, samples.inputs)
    folder = run.injected()
    restored.explain(samples, variables).save(folder / "clean.npz")
    steps = []
    for kind, sigmas in (("weight_noise", weight_sigmas), ("fgsm", fgsm_sigmas)):
        for sigma in sigmas:
            with _disturbed(restored, kind, sigma) as disturbed:
                found = restored.explain(disturbed, variables)
            file = f"{kind}_{sigma:.4f}.npz"
            found.save(folder / file)
            steps.append({"kind": kind, "sigma": sigma, "file": file})
    index = {
        "epoch": restored.epoch,
        "sigma_unit": {
            "weight_noise": "root mean square of each parameter tensor",
            "fgsm": "pixel value, 0 … 1" if _is_image(samples) else "root mean square of the samples' embeddings",
        },
        "steps": steps,
        "seconds": time.perf_counter() - started,
    }
    write_json(folder / "index.json", index)
    return index


@contextmanager
def _disturbed(restored: Restored, kind: str, sigma: float) -> Iterator[Samples]:
    """The samples to explain, while the network or they are disturbed."""
    samples, module = restored.samples, restored.module
    if kind == "weight_noise":
        with weight_noise(module, sigma, relative=True, seed=0):
            yield samples
    elif _is_image(samples):
        moved = fgsm(module, samples.inputs, samples.targets, sigma)
        yield Samples(moved, samples.targets)
    else:
        size = sigma * _embedding_scale(restored)
        with fgsm_embeddings(module, samples.inputs, samples.targets, size) as moved:
            yield Samples(moved, samples.targets)


def _is_image(samples: Samples) -> bool:
    return not isinstance(samples.inputs, dict)


def _embedding_scale(restored: Restored) -> float:
    """The root mean square of the embeddings of the samples' tokens."""
    network: Any = next(module for module in restored.module.modules() if hasattr(module, "get_input_embeddings"))
    ids = to_device(restored.samples.inputs["input_ids"], device_of(network))
    embedded = network.get_input_embeddings()(ids)
    return math.sqrt(embedded.detach().square().mean().item())
