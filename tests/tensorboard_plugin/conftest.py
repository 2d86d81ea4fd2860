"""Event files as a monitor writes them, with a few foreign ones, and ways to read them."""

import math
from functools import cache
from types import SimpleNamespace

import pytest
import torch
from tensorboard.backend.event_processing import data_provider, tag_types
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from torch.utils.tensorboard import SummaryWriter

from lightning_interactions import InputPatches, sparsify
from lightning_interactions.callback.tab import log_measurement, log_refit, log_samples, samples_document

N = 4
ONSET = 10


def make_record(epoch, n=N, *, fitted=True):
    """A training that overfits from epoch 10 on; strengths that tell the epochs apart."""
    over = epoch >= ONSET
    spindle = [0.1 * (1 + epoch) / (1 + abs(order - n / 2)) for order in range(1, n + 1)]
    decay = [4.0 / order for order in range(1, n + 1)]
    record = {
        "epoch": epoch,
        "global_step": 10 * epoch,
        "n_variables": n,
        "positive": [a + b + 0.05 for a, b in zip(decay, spindle, strict=True)],
        "negative": [a / 2 + b - 0.01 for a, b in zip(decay, spindle, strict=True)],
        "mean_order": 1.5 + 0.01 * epoch,
        "train_loss": math.exp(-epoch / 10),
        "held_out_loss": math.exp(-epoch / 10) + 0.02 * epoch,
        "loss_gap": 0.02 * epoch,
        "phase": "overfitting" if over else "normal",
        "overfitting": int(over),
        "onset_epoch": ONSET if over else math.nan,
        "seconds": 1.5,
    }
    if fitted:
        share = min(0.9, 0.1 + 0.02 * epoch)
        record |= {
            "decay_positive": decay,
            "decay_negative": [a / 2 for a in decay],
            "spindle": spindle,
            "residual_positive": [0.05] * n,
            "residual_negative": [-0.01] * n,
            "spindle_share": share,
            "spindle_share_low": share - 0.05,
            "spindle_share_high": share + 0.05,
            "identified": 1,
            "r_squared": 0.98,
            "reference_epoch": 5,
        }
    return record


def make_images(count=3):
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(0))


VARIABLES = InputPatches(grid=4, border=0, n_variables=N)


@cache
def make_interactions(seed=0, count=3):
    values = torch.randn(count, 2**N, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    draws = [draw.as_dict() for draw in VARIABLES.draw(make_images(count))]
    return sparsify(values, solver="none", provenance={"draws": draws, "samples": list(range(count))})


@pytest.fixture(scope="session")
def record_of():
    return make_record


@pytest.fixture(scope="session")
def interactions_of():
    return make_interactions


@pytest.fixture(scope="session")
def open_logger():
    """A logger with an event file; to be closed by ``.experiment.close()``."""

    def make(folder):
        return SimpleNamespace(experiment=SummaryWriter(str(folder)))

    return make


@pytest.fixture(scope="session")
def write_run(open_logger):
    """An event file with measurements of some epochs."""

    def write(folder, epochs=(0, 5, 10, 15), prefix="interactions/", *, n=N, fitted=True, refit=(), samples=True):
        logger = open_logger(folder)
        if samples:
            log_samples(logger, samples_document(make_images(), VARIABLES, torch.arange(3)), 0, prefix)
        for epoch in epochs:
            interactions = make_interactions(epoch % 20)
            log_measurement(logger, make_record(epoch, n, fitted=fitted), interactions, max(0, 10 * epoch - 1), prefix)
        if refit:
            log_refit(logger, refit, 10 * max(epochs), prefix)
        logger.experiment.close()

    return write


@pytest.fixture(scope="session")
def write_bytes(open_logger):
    """An event file with anything under the plugin's name."""

    def write(folder, tag, *contents, dtype=DT_STRING, **fields):
        logger = open_logger(folder)
        metadata = SummaryMetadata(
            plugin_data=SummaryMetadata.PluginData(plugin_name="interactions"), data_class="DATA_CLASS_TENSOR"
        )
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=len(contents))])
        tensor = TensorProto(dtype=dtype, tensor_shape=shape, **({"string_val": list(contents)} | fields))
        value = Summary.Value(tag=tag, tensor=tensor, metadata=metadata)
        logger.experiment._get_file_writer().add_summary(Summary(value=[value]), 0)
        logger.experiment.close()

    return write


@pytest.fixture(scope="session")
def read_folder():
    """TensorBoard's data provider for a folder, with the ten entries a tag that it keeps for unknown plugins."""

    def read(folder):
        multiplexer = EventMultiplexer(size_guidance={tag_types.TENSORS: 10})
        multiplexer.AddRunsFromDirectory(str(folder))
        multiplexer.Reload()
        return data_provider.MultiplexerDataProvider(multiplexer, str(folder))

    return read
