"""What each kind of logger is given. W&B and MLflow are Lightning's own classes around a recording stand-in."""

import gc
import math
import sys
from types import ModuleType, SimpleNamespace

import lightning.pytorch.loggers as lightning_loggers
import matplotlib.pyplot as plt
import numpy as np
import pytest
import pytorch_lightning.loggers as standalone_loggers
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import STORE_EVERYTHING_SIZE_GUIDANCE, EventAccumulator

from lightning_interactions.callback.loggers import effects_table, log_pictures, save_pictures
from lightning_interactions.callback.record import scalars, summarize
from lightning_interactions.interactions import Interactions

N = 10
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(autouse=True)
def _lighter():
    """Nothing is left out here: the pictures are what is tested."""


@pytest.fixture(scope="module")
def interactions():
    """Effects like those of a trained network: a hundred of 2,046 are not 0."""
    generator = torch.Generator().manual_seed(0)
    effects = torch.randn(2, 24, 2**N, dtype=torch.float64, generator=generator)
    effects *= torch.rand(2, 24, 2**N, generator=generator) < 0.05
    effects[:, :, 0] = 0
    rows = torch.zeros(24, dtype=torch.float64)
    draws = [{"names": [f"row {sample} col {column}" for column in range(N)], "positions": []} for sample in range(24)]
    return Interactions(
        values=torch.zeros(24, 2**N, dtype=torch.float64),
        and_=effects[0],
        or_=effects[1],
        l1=rows,
        gap=rows,
        noise_bound=rows + 1,
        threshold=0.0,
        provenance={"draws": draws},
    )


@pytest.fixture(scope="module")
def record(interactions):
    rest = dict.fromkeys(("train_loss", "held_out_loss", "loss_gap", "overfitting", "onset_epoch", "failures"), 0.0)
    return summarize(interactions) | rest | {"epoch": 25, "seconds": 1.0}


@pytest.fixture(scope="module")
def fitted(record):
    half = {f"decay_{side}": [amount / 2 for amount in record[side]] for side in ("positive", "negative")}
    return record | half | {"spindle": [0.1] * N}


def read_events(folder):
    events = EventAccumulator(str(folder), STORE_EVERYTHING_SIZE_GUIDANCE)
    events.Reload()
    return events


@pytest.fixture(params=[lightning_loggers, standalone_loggers], ids=["lightning", "pytorch_lightning"])
def package(request):
    return request.param


# -- TensorBoard ---------------------------------------------------------------------------------------------------


def test_tensorboard_gets_figures_histograms_and_a_table(package, interactions, fitted, tmp_path):
    logger = package.TensorBoardLogger(tmp_path, name="run", version="0")
    assert log_pictures(logger, interactions, fitted, 40) is True
    logger.finalize("success")

    events = read_events(tmp_path / "run" / "0")
    assert set(events.Tags()["images"]) == {"interactions/strength", "interactions/decomposition"}
    assert [event.step for event in events.Images("interactions/decomposition")] == [40]
    orders = torch.tensor([subset.bit_count() for subset in range(2**N)])
    for order in range(1, N + 1):
        effects = torch.cat([interactions.and_[:, orders == order], interactions.or_[:, orders == order]]).flatten()
        effects = effects[effects != 0]
        if not len(effects):
            continue
        (event,) = events.Histograms(f"interactions/effects/order_{order:02d}")
        shown = event.histogram_value
        assert shown.num == len(effects)
        assert shown.sum == pytest.approx(effects.sum().item())
        assert (shown.min, shown.max) == pytest.approx((effects.min().item(), effects.max().item()))
        # The bins hold what lies between their limits; the first limit only closes an empty one.
        limits = np.array(shown.bucket_limit)
        counted = [
            ((effects <= limit).sum() - (effects <= before).sum()).item()
            for before, limit in zip([-math.inf, *limits[:-1]], limits, strict=True)
        ]
        assert sum(shown.bucket) == len(effects)
        assert np.abs(np.cumsum(shown.bucket) - np.cumsum(counted)).max() <= 1
    (text,) = events.Tensors("interactions/strongest/text_summary")
    assert text.tensor_proto.string_val[0].decode() == effects_table(interactions)


def test_without_a_fit_there_is_no_decomposition(interactions, record, tmp_path):
    for number, change in enumerate(({}, {"decay_positive": [math.nan] * N, "decay_negative": [math.nan] * N})):
        logger = TensorBoardLogger(tmp_path, name="run", version=str(number))
        log_pictures(logger, interactions, record | change, 0)
        logger.finalize("success")
        assert read_events(tmp_path / "run" / str(number)).Tags()["images"] == ["interactions/strength"]


def test_a_run_of_256_epochs_leaves_less_than_20_mb(interactions, fitted, tmp_path):
    """Everything of 4 epochs, counted 64 times: what an epoch adds does not depend on its number."""
    logger = TensorBoardLogger(tmp_path, name="run", version="0")
    per_order = ("decay_positive", "decay_negative", "spindle", "residual_positive", "residual_negative")
    numbers = scalars(fitted) | {f"interactions/{key}/order_{m:02d}": 0.5 for key in per_order for m in range(1, N + 1)}
    for epoch in range(4):
        log_pictures(logger, interactions, fitted | {"epoch": epoch}, epoch)
        logger.log_metrics(numbers, epoch)
    logger.finalize("success")

    size = sum(path.stat().st_size for path in (tmp_path / "run" / "0").glob("events*"))
    assert 64 * size < 20e6


# -- Weights & Biases ----------------------------------------------------------------------------------------------


@pytest.fixture
def wandb_logger(package, monkeypatch):
    """Lightning's own logger on a stand-in of the library: what it logs is kept in ``logger.seen``."""
    seen = []
    fake = ModuleType("wandb")
    fake.Image = lambda data, **options: ("image", data, options)
    fake.Table = lambda columns=None, data=None, dataframe=None: ("table", columns, data, dataframe)
    lib, run = ModuleType("wandb.sdk.lib"), ModuleType("wandb.wandb_run")
    lib.RunDisabled = run.Run = type("Run", (), {})
    for name, module in {"wandb": fake, "wandb.sdk.lib": lib, "wandb.wandb_run": run}.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(f"{package.__name__}.wandb._WANDB_AVAILABLE", True)
    logger = package.WandbLogger(experiment=SimpleNamespace(log=seen.append))
    logger.seen = seen
    return logger


def test_wandb_gets_figures_and_a_table(wandb_logger, interactions, fitted):
    assert log_pictures(wandb_logger, interactions, fitted, 40, "interactions/deep/") is True

    logged = {}
    for entry in wandb_logger.seen:
        assert entry["trainer/global_step"] == 40
        logged |= entry
    for name in ("strength", "decomposition"):
        ((kind, pixels, _),) = logged[f"interactions/deep/{name}"]
        assert kind == "image"
        assert pixels.dtype == np.uint8
        assert pixels.shape == (240, 320, 3)
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 10
    _, columns, rows, _ = logged["interactions/deep/strongest"]
    assert columns == ["sample", "kind", "order", "variables", "effect"]
    strongest = interactions.strongest(0, 1)[0]
    names = [f"row 0 col {variable}" for variable in strongest.variables]
    assert rows[0] == [0, strongest.kind, strongest.order, ", ".join(names), strongest.effect]


# -- MLflow --------------------------------------------------------------------------------------------------------


class MlflowClient:
    """The methods of the real client that are used, with its argument names; figures are saved as it saves them."""

    def __init__(self, *_, **__):
        self.figures, self.texts = {}, {}

    def get_experiment_by_name(self, _name):
        return SimpleNamespace(experiment_id="7", lifecycle_stage="active")

    def create_run(self, experiment_id, tags=None):  # noqa: ARG002
        return SimpleNamespace(info=SimpleNamespace(run_id="run 7"))

    def log_figure(self, run_id, figure, artifact_file, *, save_kwargs=None):
        assert isinstance(figure, Figure)
        path = self.folder / artifact_file
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, **(save_kwargs or {}))
        self.figures[run_id, artifact_file] = path.read_bytes()

    def log_text(self, run_id, text, artifact_file):
        self.texts[run_id, artifact_file] = text


@pytest.fixture
def mlflow_logger(package, monkeypatch, tmp_path):
    tracking, context = ModuleType("mlflow.tracking"), ModuleType("mlflow.tracking.context")
    registry, tags = ModuleType("mlflow.tracking.context.registry"), ModuleType("mlflow.utils.mlflow_tags")
    tracking.MlflowClient = MlflowClient
    registry.resolve_tags = lambda tags=None: tags
    tags.MLFLOW_RUN_NAME = "mlflow.runName"
    fake = ModuleType("mlflow")
    fake.set_tracking_uri = lambda _: None
    for module in (fake, tracking, context, registry, tags, ModuleType("mlflow.utils")):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(f"{package.__name__}.mlflow._MLFLOW_AVAILABLE", True)
    logger = package.MLFlowLogger("name", save_dir=str(tmp_path))
    logger.experiment.folder = tmp_path
    return logger


def test_mlflow_gets_artifacts(mlflow_logger, interactions, fitted):
    assert log_pictures(mlflow_logger, interactions, fitted, 40) is True

    client = mlflow_logger.experiment
    assert set(client.figures) == {
        ("run 7", f"interactions/{name}/epoch=0025.png") for name in ("strength", "decomposition")
    }
    assert all(content.startswith(PNG) for content in client.figures.values())
    assert client.texts == {("run 7", "interactions/strongest/epoch=0025.md"): effects_table(interactions)}


# -- others --------------------------------------------------------------------------------------------------------


def test_loggers_without_pictures_are_passed_over(package, interactions, record, tmp_path):
    comet = SimpleNamespace(experiment=SimpleNamespace(log_figure=None, log_image=None, log_text=None))

    assert log_pictures(package.CSVLogger(tmp_path), interactions, record, 0) is False
    assert log_pictures(comet, interactions, record, 0) is False
    assert log_pictures(object(), interactions, record, 0) is False


def test_without_pictures_the_figures_go_beside_the_files(fitted, tmp_path):
    paths = save_pictures(tmp_path / "new", fitted)

    assert [path.name for path in paths] == ["epoch=0025_strength.png", "epoch=0025_decomposition.png"]
    assert all(path.read_bytes().startswith(PNG) for path in paths)
    assert set((tmp_path / "new").iterdir()) == set(paths)


def test_without_a_fit_there_is_no_decomposition_to_save(record, tmp_path):
    assert save_pictures(tmp_path, record) == [tmp_path / "epoch=0025_strength.png"]


def test_figures_are_let_go(interactions, fitted, tmp_path, wandb_logger):
    """As many live figures after two measurements as after one, and none in pyplot's hands."""
    board = TensorBoardLogger(tmp_path, name="run", version="0")

    def measure(epoch):
        for logger in (board, wandb_logger, CSVLogger(tmp_path)):
            log_pictures(logger, interactions, fitted | {"epoch": epoch}, epoch)
        save_pictures(tmp_path, fitted | {"epoch": epoch})
        wandb_logger.seen.clear()
        gc.collect()
        return sum(type(thing) is Figure for thing in gc.get_objects())

    before = measure(0)
    assert measure(1) == before
    assert plt.get_fignums() == []
    board.finalize("success")
