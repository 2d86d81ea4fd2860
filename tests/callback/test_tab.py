import base64
import io
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_accumulator import (
    STORE_EVERYTHING_SIZE_GUIDANCE,
    EventAccumulator,
)
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.util.tensor_util import make_ndarray
from torch.utils.tensorboard import SummaryWriter

from lightning_interactions import Columns, Draw, InputPatches, Variables, sparsify
from lightning_interactions.callback.record import failed, summarize
from lightning_interactions.callback.tab import log_measurement, log_refit, log_samples, samples_document
from lightning_interactions.tensorboard_plugin.documents import decode
from lightning_interactions.tensorboard_plugin.runs import read_run


@pytest.fixture
def logger(tmp_path):
    logger = SimpleNamespace(experiment=SummaryWriter(str(tmp_path)))
    yield logger
    logger.experiment.close()


def read_back(logger):
    """Every tag's documents and step, as TensorBoard reads them."""
    logger.experiment.flush()
    events = EventAccumulator(logger.experiment.log_dir, size_guidance=STORE_EVERYTHING_SIZE_GUIDANCE).Reload()
    found = {}
    for tag in events.Tags()["tensors"]:
        assert events.SummaryMetadata(tag).plugin_data.plugin_name == "interactions"
        last = events.Tensors(tag)[-1]
        found[tag] = (last.step, [decode(part) for part in make_ndarray(last.tensor_proto)])
    return found


def draw_interactions(rows=3, n=3, seed=0, **provenance):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(rows, 2**n, generator=generator, dtype=torch.float64)
    return sparsify(values, solver="none", provenance=provenance)


def draw_images(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0)) * 3 - 1


# -- measurements ------------------------------------------------------------------------------------------------------


def test_a_measurement_is_read_back_with_its_numbers(logger):
    interactions = draw_interactions()
    record = summarize(interactions) | {"epoch": 5, "phase": "normal", "onset_epoch": math.nan, "train_loss": 1 / 3}
    log_measurement(logger, record, interactions, step=49)
    ((tag, (step, (measured, _))),) = read_back(logger).items()

    assert (tag, step) == ("interactions/record/000005", 49)
    kept = measured["record"]
    assert kept["positive"] == pytest.approx(record["positive"], rel=1e-4)
    assert kept["train_loss"] == 0.33333
    assert kept["onset_epoch"] is None
    assert kept["phase"] == "normal"


def test_the_strongest_effects_carry_the_number_of_their_sample(logger):
    # The second sample was left out.
    interactions = draw_interactions(rows=12, samples=[0, *range(2, 13)])
    log_measurement(logger, {"epoch": 0}, interactions, step=0, prefix="interactions/deep/")
    _, (_, effects) = read_back(logger)["interactions/deep/record/000000"]

    assert [entry["sample"] for entry in effects["strongest"]] == [0, 2, 3, 4, 5, 6, 7, 8]
    for row, entry in enumerate(effects["strongest"]):
        # The slow way: sort all effects by their size.
        both = [(kind, subset) for kind in ("and_", "or_") for subset in range(8)]
        both.sort(key=lambda place: -abs(getattr(interactions, place[0])[row, place[1]].item()))
        expected = [
            (kind.strip("_").upper(), [bit for bit in range(3) if subset >> bit & 1]) for kind, subset in both[:6]
        ]
        assert [(kind, variables) for kind, variables, _ in entry["effects"]] == expected
        values = [getattr(interactions, kind)[row, subset].item() for kind, subset in both[:6]]
        assert [effect for _, _, effect in entry["effects"]] == pytest.approx(values, rel=1e-3)


def test_a_failed_measurement_is_kept_without_numbers(logger):
    log_measurement(logger, failed(3) | {"epoch": 10, "held_out_loss": 0.5}, None, step=9)
    _, (measured, effects) = read_back(logger)["interactions/record/000010"]

    assert measured["record"]["positive"] == [None, None, None]
    assert measured["record"]["mean_order"] is None
    assert measured["record"]["held_out_loss"] == 0.5
    assert effects["strongest"] == []


def test_a_refit_holds_the_keys_of_the_fit_and_nothing_else(logger):
    records = [
        {
            "epoch": epoch,
            "spindle_share": 0.1 * epoch,
            "spindle": [1.0, 2.0],
            "mean_order": 3.0,
            "residual_positive": [9.0],
        }
        for epoch in (0, 5)
    ]
    log_refit(logger, records, step=49)
    _, (document,) = read_back(logger)["interactions/refit"]

    assert document["records"] == [
        {"epoch": 0, "spindle_share": 0.0, "spindle": [1.0, 2.0]},
        {"epoch": 5, "spindle_share": 0.5, "spindle": [1.0, 2.0]},
    ]


def test_a_whole_history_holds_what_the_page_shows(logger):
    log_refit(logger, [{"epoch": 0, "positive": [1.0], "cancellation": [1.0]}], step=0, whole=True)
    _, (document,) = read_back(logger)["interactions/history"]

    assert document["records"] == [{"epoch": 0, "positive": [1.0]}]


@pytest.mark.parametrize(
    "logger",
    [SimpleNamespace(), SimpleNamespace(experiment=None), SimpleNamespace(experiment=SimpleNamespace(log=print))],
)
def test_other_loggers_are_passed_over(logger):
    log_measurement(logger, {"epoch": 0}, None, step=0)
    log_refit(logger, [], step=0)
    log_samples(logger, {"samples": []}, step=0)


def test_256_measurements_of_ten_variables_take_a_tenth_of_the_20_mb_that_a_run_may_leave(logger, tmp_path):
    def size():
        logger.experiment.flush()
        return sum(file.stat().st_size for file in tmp_path.iterdir())

    records = []
    before = size()
    for epoch in range(16):
        interactions = draw_interactions(rows=8, n=10, seed=epoch)
        effects = iter(interactions.or_.flatten().tolist())
        fit = {key: [next(effects) for _ in range(10)] for key in ("decay_positive", "decay_negative", "spindle")}
        numbers = {f"number_{i}": next(effects) for i in range(30)}
        records.append(summarize(interactions) | {"epoch": epoch} | fit | numbers)
        log_measurement(logger, records[-1], interactions, step=epoch)
    measurements = size() - before
    log_refit(logger, records, step=16)
    refit = size() - before - measurements

    assert 0 < refit < measurements
    assert 16 * (measurements + refit) < 2_000_000


# -- a training --------------------------------------------------------------------------------------------------------


def test_a_training_leaves_what_the_tab_shows(tmp_path, fit, make_monitor):
    monitor = make_monitor(every_n_epochs=2)
    fit(monitor, logger=TensorBoardLogger(tmp_path, name="run", version="0"), max_epochs=5)
    events = EventMultiplexer(tensor_size_guidance={"interactions": 10}).AddRunsFromDirectory(str(tmp_path)).Reload()
    content = read_run(MultiplexerDataProvider(events, ""), RequestContext(), "", "run/0", "interactions/")

    assert [record["epoch"] for record in content["records"]] == [0, 2, 4]
    for record, kept in zip(content["records"], monitor.history, strict=True):
        for key in (
            "positive",
            "negative",
            "decay_positive",
            "spindle",
            "spindle_share",
            "train_loss",
            "held_out_loss",
        ):
            told = np.array(record[key], dtype=float)  # null becomes NaN
            assert told == pytest.approx(np.array(kept[key], dtype=float), rel=1e-4, nan_ok=True), key
    assert [len(sample["cells"]) for sample in content["samples"]] == [3] * 4
    assert content["unreadable"] == 0


def test_a_resumed_training_shows_what_came_before(tmp_path, fit, make_monitor):
    logger = TensorBoardLogger(tmp_path, name="run", version="0")
    fit(make_monitor(), logger=logger, max_epochs=2, enable_checkpointing=True)
    (checkpoint,) = tmp_path.rglob("*.ckpt")
    logger = TensorBoardLogger(tmp_path, name="run", version="1")
    fit(make_monitor(), logger=logger, max_epochs=4, ckpt_path=str(checkpoint))
    events = EventMultiplexer(tensor_size_guidance={"interactions": 10}).AddRunsFromDirectory(str(tmp_path)).Reload()
    provider = MultiplexerDataProvider(events, "")
    first, second = (
        read_run(provider, RequestContext(), "", run, "interactions/")["records"] for run in ("run/0", "run/1")
    )

    assert [record["epoch"] for record in first] == [0, 1, 2]
    assert [record["epoch"] for record in second] == [0, 1, 2, 3, 4]
    assert [record["positive"] for record in second[:3]] == [record["positive"] for record in first]


# -- samples -----------------------------------------------------------------------------------------------------------


def pixels_of(sample):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(sample["image"]["png"]))))


def one_sample(images, **options):
    return samples_document(images, InputPatches(**({"grid": 4, "border": 0, "n_variables": 3} | options)))["samples"][
        0
    ]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_small_image_is_stretched_to_its_own_range(channels):
    images = draw_images(1, channels, 8, 12)
    pixels = pixels_of(one_sample(images))
    numbers = images[0].double().numpy()
    expected = np.round((numbers - numbers.min()) / (numbers.max() - numbers.min()) * 255)

    assert pixels.shape == ((8, 12) if channels == 1 else (8, 12, 3))
    assert (pixels == (expected[0] if channels == 1 else expected.transpose(1, 2, 0))).all()


def test_other_numbers_of_channels_become_grey():
    images = draw_images(1, 5, 8, 8)

    assert (pixels_of(one_sample(images)) == pixels_of(one_sample(images.mean(dim=1, keepdim=True)))).all()


def test_a_large_image_becomes_small_and_keeps_its_shape():
    image = one_sample(draw_images(1, 3, 224, 448))["image"]

    assert (image["width"], image["height"]) == (96, 48)
    assert len(image["png"]) < 25_000


@pytest.mark.parametrize("value", [0.0, 7.0, math.nan, math.inf])
def test_an_image_of_one_value_is_black(value):
    assert (pixels_of(one_sample(torch.full((1, 3, 8, 8), value))) == 0).all()


def test_half_precision_is_shown_too():
    images = draw_images(1, 3, 8, 8).half()

    assert (pixels_of(one_sample(images)) == pixels_of(one_sample(images.double()))).all()


@pytest.mark.parametrize(("grid", "border"), [(4, 0), (4, 1), (8, 2)])
def test_the_cells_lie_where_the_pixels_are_masked(grid, border):
    images = torch.ones(2, 1, 16, 24)
    images[1] = 2
    patches = InputPatches(grid=grid, border=border, n_variables=4)
    samples = samples_document(images, patches)["samples"]
    draws = patches.draw(images)
    # One variable absent at a time; what turns 0 is its cell.
    masked = patches.mask(images, draws, ~torch.eye(4, dtype=torch.bool)).reshape(2, 4, 16, 24)
    for row, sample in enumerate(samples):
        assert sample["names"] == list(draws[row].names)
        for variable, (left, top, width, height) in enumerate(sample["cells"]):
            rows, columns = (masked[row, variable] == 0).nonzero(as_tuple=True)
            assert (left * 24, (left + width) * 24) == (columns.min(), columns.max() + 1)
            assert (top * 16, (top + height) * 16) == (rows.min(), rows.max() + 1)


class Words(Variables):
    """A sentence of token ids, two of whose words are variables; one has two pieces, one sentence has too few."""

    PIECES = ("[PAD]", "[CLS]", "[SEP]", "a", "grip", "##ping", "film", ",", "truly")
    tokenizer = SimpleNamespace(
        all_special_ids=[0, 1, 2],
        convert_ids_to_tokens=lambda ids: [Words.PIECES[i] for i in ids],
        convert_tokens_to_string=lambda pieces: " ".join(pieces).replace(" ##", ""),
    )

    def __init__(self):
        super().__init__(2)

    def draw(self, inputs, seed=None):  # noqa: ARG002  # the protocol's
        short, long = None, Draw(((2, 3), (4,)), ("gripping", "film"), (0.0,))
        return [long if 6 in ids else short for ids in inputs["input_ids"].tolist()]

    def mask(self, target, draws, masks):
        raise NotImplementedError


def test_a_sentence_is_cut_into_its_variables_and_what_stands_between():
    ids = torch.tensor([[1, 3, 2, 0, 0, 0, 0, 0], [1, 3, 4, 5, 6, 7, 8, 2]])
    inputs = {"input_ids": ids, "attention_mask": (ids > 0).long()}
    (sample,) = samples_document(inputs, Words(), torch.tensor([0, 1]))["samples"]

    assert sample == {
        "sample": 1,
        "title": "sample 1, class 1",
        "names": ["gripping", "film"],
        "words": [
            {"text": "a", "variable": None},
            {"text": "gripping", "variable": 0},
            {"text": "film", "variable": 1},
            {"text": ", truly", "variable": None},
        ],
    }


def test_a_table_has_only_names():
    (sample,) = samples_document(torch.rand(1, 2), Columns(2, baseline=0.0, names=("age", "height")))["samples"]

    assert sample == {"sample": 0, "title": "sample 0", "names": ["age", "height"]}


def test_only_the_first_samples_are_shown(logger):
    log_samples(logger, samples_document(draw_images(50, 3, 96, 96), InputPatches(n_variables=10)), step=0)
    _, (document,) = read_back(logger)["interactions/samples"]

    assert [sample["sample"] for sample in document["samples"]] == list(range(8))


@pytest.mark.parametrize(
    ("targets", "titles"),
    [
        (torch.tensor([2, 0]), ["sample 0, class 2", "sample 1, class 0"]),
        (torch.tensor([[1.0], [0.0]]), ["sample 0, class 1", "sample 1, class 0"]),
        (torch.tensor([True, False]), ["sample 0, class 1", "sample 1, class 0"]),
        (torch.tensor([0.37, -1.0]), ["sample 0", "sample 1"]),
        (torch.tensor([math.nan, math.inf]), ["sample 0", "sample 1"]),
        (torch.zeros(2, 3, 3), ["sample 0", "sample 1"]),
    ],
    ids=["classes", "one column", "bool", "regression", "not finite", "maps"],
)
def test_a_title_names_the_class_of_what_has_one(targets, titles):
    document = samples_document(torch.rand(2, 3), Columns(3), targets)
    assert [sample["title"] for sample in document["samples"]] == titles
