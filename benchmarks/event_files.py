"""How large the event files of a long run become, measured by writing one: 256 measurements, n = 10, 50 samples.

The limit is 20 MB for everything the monitor writes: scalars, figures, histograms, tables, and the Interactions tab
with records, effects and refits. The effects are synthetic (sparse, seeded by the epoch); a new reference is found at
every eighth measurement, at which all earlier records are written again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace

import torch
from torch.utils.tensorboard import SummaryWriter

from lightning_interactions import InputPatches, Interactions, sparsify
from lightning_interactions.callback.loggers import log_pictures
from lightning_interactions.callback.record import scalars, summarize
from lightning_interactions.callback.tab import log_measurement, log_refit, log_samples, samples_document
from lightning_interactions.distribution.reference import FIT_LISTS, FIT_NUMBERS

LIMIT_MB = 20
N = 10
SAMPLES = 50
REFIT_EVERY = 8
RESULT = Path(__file__).parent / "results" / "event_files.json"


def main() -> None:
    """Write, weigh, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=256)
    epochs = parser.parse_args().epochs
    with tempfile.TemporaryDirectory() as folder:
        megabytes = {kind: size / 1e6 for kind, size in written(Path(folder), epochs).items()}
    megabytes["all"] = sum(megabytes.values())
    result = {
        "date": datetime.now(tz=timezone.utc).date().isoformat(),
        "epochs": epochs,
        "n": N,
        "samples": SAMPLES,
        "megabytes": megabytes,
        "share_of_limit": megabytes["all"] / LIMIT_MB,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def written(folder: Path, epochs: int) -> dict[str, int]:
    """Bytes of each kind of content, each in event files of its own."""
    loggers = {
        kind: SimpleNamespace(experiment=SummaryWriter(str(folder / kind))) for kind in ("tab", "pictures", "scalars")
    }
    images = torch.rand(SAMPLES, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    log_samples(loggers["tab"], samples_document(images, InputPatches(n_variables=N)), 0)
    records = []
    for epoch in range(epochs):
        interactions = sparse_interactions(epoch)
        record = synthetic_record(interactions, epoch)
        records.append(record)
        log_measurement(loggers["tab"], record, interactions, epoch)
        if epoch % REFIT_EVERY == 0:
            log_refit(loggers["tab"], records, epoch)
        log_pictures(loggers["pictures"], interactions, record, epoch)
        for key, value in scalars(record).items():
            loggers["scalars"].experiment.add_scalar(key, value, epoch)
    for logger in loggers.values():
        logger.experiment.close()
    return {kind: sum(file.stat().st_size for file in (folder / kind).rglob("*")) for kind in loggers}


def sparse_interactions(seed: int) -> Interactions:
    """About 120 effects a sample, as the solvers give."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(SAMPLES, 2**N, generator=generator, dtype=torch.float64)
    dense = sparsify(values, solver="none")
    for effects, share in ((dense.and_, 0.08), (dense.or_, 0.04)):
        effects.mul_(torch.rand(effects.shape, generator=generator) < share)
    return dense


def synthetic_record(interactions: Interactions, epoch: int) -> dict[str, object]:
    """A whole record; the digits of its fit are as long as real ones."""
    drawn = torch.rand(
        len(FIT_NUMBERS) + len(FIT_LISTS) * N + 3, generator=torch.Generator().manual_seed(epoch)
    ).tolist()
    fit = {key: drawn.pop() for key in FIT_NUMBERS} | {key: [drawn.pop() for _ in range(N)] for key in FIT_LISTS}
    losses = dict(zip(("train_loss", "held_out_loss", "loss_gap"), drawn, strict=True))
    return (
        summarize(interactions)
        | fit
        | losses
        | {"identified": 1, "reference_epoch": epoch // REFIT_EVERY, "noise_floor": [1e-6] * N}
        | {
            "epoch": epoch,
            "global_step": epoch,
            "failures": 0,
            "seconds": 1.0,
            "overfitting": 0,
            "onset_epoch": float("nan"),
        }
        | {"phase": "normal", "phase_message": f"normal: the loss gap is {losses['loss_gap']:.3f}"}
    )


if __name__ == "__main__":
    main()
