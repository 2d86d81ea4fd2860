"""What is measured when, and where it can be read afterwards."""

import csv
import math
import re

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import STORE_EVERYTHING_SIZE_GUIDANCE, EventAccumulator
from torch import nn
from torch.nn import functional

from lightning_interactions import InteractionMonitor, Interactions, explain
from lightning_interactions.callback.loggers import effects_table
from lightning_interactions.distribution.reference import FIT_LISTS, FIT_NUMBERS
from lightning_interactions.history import History

N = 3
STEPS_PER_EPOCH = 3


def documented_keys():
    """The keys in the table of the class docstring, with every order spelled out."""
    keys = set()
    _, _, table, _ = re.split(r"\n *=+ +=+\n", InteractionMonitor.__doc__)
    for line in table.splitlines():
        cell = line[:41]
        for name in re.findall(r"``([^`]+)``", cell):
            if name.endswith("_01"):
                assert "…" in cell
                keys |= {f"interactions/{name[:-1]}{order}" for order in range(1, N + 1)}
            else:
                keys.add(f"interactions/{name}")
    return keys


def read_events(folder):
    events = EventAccumulator(str(folder), STORE_EVERYTHING_SIZE_GUIDANCE)
    events.Reload()
    return events


class Recorder(Logger):
    def __init__(self):
        super().__init__()
        self.seen = []

    name = version = "recorder"

    def log_metrics(self, metrics, step=None):
        self.seen.append((step, dict(metrics)))

    def log_hyperparams(self, *_, **__):
        pass


def test_the_table_in_the_docstring_is_understood():
    keys = documented_keys()
    assert {"interactions/positive/order_01", "interactions/held_out_loss", "interactions/seconds"} <= keys
    assert len(keys) == 11 * N + 34


def test_the_documented_keys_are_those_logged(fit, make_monitor):
    monitor, recorder = make_monitor(), Recorder()
    trainer, _ = fit(monitor, logger=recorder)

    assert {key for key in trainer.callback_metrics if key.startswith("interactions/")} == documented_keys()
    for epoch, step in ((0, 0), (1, STEPS_PER_EPOCH - 1), (2, 2 * STEPS_PER_EPOCH - 1)):
        logged = {}
        for at, metrics in recorder.seen:
            if at == step:
                logged |= {key: value for key, value in metrics.items() if key.startswith("interactions/")}
        assert logged.keys() == documented_keys()
        record = monitor.history[epoch]
        for key, value in logged.items():
            name, _, order = key.removeprefix("interactions/").partition("/order_")
            if name in (*FIT_NUMBERS, *FIT_LISTS) and epoch < 2:
                continue  # a later reference has changed these in the history
            expected = record[name][int(order) - 1] if order else record[name]
            assert value == pytest.approx(expected, rel=1e-6, nan_ok=True)


@pytest.mark.parametrize(("every", "expected"), [(1, [0, 1, 2, 3, 4, 5]), (2, [0, 2, 4]), (3, [0, 3]), (9, [0])])
def test_epoch_0_and_every_so_many_are_measured(every, expected, fit, make_monitor):
    monitor = make_monitor(every_n_epochs=every)
    fit(monitor, max_epochs=5, limit_train_batches=1)
    assert monitor.history.epochs == expected


def test_the_schedule_can_be_overridden(fit, make_monitor):
    class Monitor(InteractionMonitor):
        def should_measure(self, epoch):
            return epoch in {1, 4}

    monitor = make_monitor(cls=Monitor)
    fit(monitor, max_epochs=5, limit_train_batches=1)
    assert monitor.history.epochs == [1, 4]


def test_a_record_says_what_an_explanation_of_the_same_weights_says(fit, make_monitor, draw):
    images, labels = draw(6, 5)
    monitor = make_monitor(samples=(images, labels.tolist()))
    _, module = fit(monitor)

    module.train()
    found = explain(module, images, labels, monitor.variables)
    last = monitor.history[2]
    assert torch.equal(found.and_, monitor.interactions.and_)
    assert last["l1"] == pytest.approx(sum(abs(x) for x in [*found.and_.flatten(), *found.or_.flatten()]) / 6)
    orders = [subset.bit_count() for subset in range(2**N)]
    for order in range(1, N + 1):
        columns = [column for column in range(2**N) if orders[column] == order]
        for sign, key in ((1, "positive"), (-1, "negative")):
            strength = sum(
                sign * effect.item()
                for part in (found.and_, found.or_)
                for effect in part[:, columns].flatten()
                if abs(effect) > found.threshold and sign * effect > 0
            )
            assert last[key][order - 1] == pytest.approx(strength / 6)
    scale = last["positive"][0] + last["negative"][0]
    assert last["normalized_positive"] == pytest.approx([value / scale for value in last["positive"]])
    assert last["normalized_negative"] == pytest.approx([value / scale for value in last["negative"]])
    assert last["n_samples"] == 6
    assert last["n_dropped"] == 0
    assert last["matching_error"] <= last["noise_bound"] * (1 + 1e-6)
    assert last["solver_gap"] <= 1e-6
    assert last["loss_gap"] == pytest.approx(last["held_out_loss"] - last["train_loss"])
    module.eval()
    with torch.no_grad():
        expected = functional.cross_entropy(module(images), labels).item()
    assert last["held_out_loss"] == pytest.approx(expected, rel=1e-5)


def test_the_files_are_what_was_measured(fit, make_monitor, tmp_path):
    monitor = make_monitor(every_n_epochs=2)
    fit(monitor, max_epochs=3)

    folder = tmp_path / "interactions"
    # The logger shows no pictures, so they are files.
    assert sorted(path.name for path in folder.iterdir()) == [
        "epoch=0000.npz",
        "epoch=0000_strength.png",
        "epoch=0002.npz",
        "epoch=0002_decomposition.png",
        "epoch=0002_strength.png",
        "history.json",
        "samples.json",
    ]
    saved = History.load(folder / "history.json")
    assert saved.epochs == [0, 2]
    assert saved[2]["mean_order"] == monitor.history[2]["mean_order"]
    last = Interactions.load(folder / "epoch=0002.npz")
    assert torch.equal(last.and_, monitor.interactions.and_)


@pytest.fixture
def tensorboard_run(fit, make_monitor, tmp_path):
    monitor = make_monitor()
    trainer, _ = fit(monitor, logger=TensorBoardLogger(tmp_path, name="run", version="0"))
    return monitor, trainer, read_events(tmp_path / "run" / "0")


def test_tensorboard_shows_everything_at_the_steps_of_lightning(tensorboard_run, tmp_path):
    monitor, _, events = tensorboard_run
    # Lightning's own metric of the epoch says where an epoch is.
    epochs = {event.step for event in events.Scalars("train_loss_epoch")}
    assert epochs == {2, 5}
    steps = [0, 2, 5]
    tags = events.Tags()
    for key in documented_keys():
        assert [event.step for event in events.Scalars(key)] == steps, key
    for key in ("positive", "negative", "normalized_positive", "normalized_negative"):
        for order in range(1, N + 1):
            shown = [event.value for event in events.Scalars(f"interactions/{key}/order_{order:02d}")]
            expected = [record[key][order - 1] for record in monitor.history]
            assert shown == pytest.approx(expected, rel=1e-6, nan_ok=True)
    for order in range(1, N + 1):
        histograms = events.Histograms(f"interactions/effects/order_{order:02d}")
        assert {event.step for event in histograms} <= set(steps)
    last = events.Histograms("interactions/effects/order_01")[-1]
    singles = monitor.interactions.and_[:, [1, 2, 4]]
    assert last.step == 5
    assert last.histogram_value.num == singles.count_nonzero()
    assert last.histogram_value.sum == pytest.approx(singles.sum().item())
    images = events.Images("interactions/strength")
    assert [event.step for event in images] == steps
    assert all(image.width > 100 and image.height > 100 for image in images)
    (table,) = [tag for tag in tags["tensors"] if tag.startswith("interactions/strongest")]
    texts = [(event.step, event.tensor_proto.string_val[0].decode()) for event in events.Tensors(table)]
    assert [step for step, _ in texts] == steps
    assert texts[-1][1] == effects_table(monitor.interactions)
    assert (tmp_path / "run" / "0" / "interactions" / "history.json").exists()


def test_the_table_names_the_strongest_patches(tensorboard_run):
    monitor, _, _ = tensorboard_run
    found = monitor.interactions
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in effects_table(found).splitlines()[2:]]
    parts = {"AND": found.and_[0], "OR": found.or_[0]}
    effects = [(kind, subset, part[subset].item()) for kind, part in parts.items() for subset in range(2**N)]
    kind, subset, effect = max(effects, key=lambda entry: abs(entry[2]))
    cells = [cell for i, cell in enumerate(found.provenance["draws"][0]["names"]) if subset >> i & 1]
    assert rows[0] == ["0", kind, str(len(cells)), ", ".join(cells), f"{effect:+.3f}"]
    assert {row[0] for row in rows} == {"0", "1", "2", "3"}
    assert "row" in rows[0][3]


def test_pictures_stand_where_lightning_logs_with_two_optimisers(
    fit, make_monitor, make_module, conv_module_class, tmp_path
):
    class TwoOptimisers(conv_module_class):
        automatic_optimization = False

        def training_step(self, batch, _):
            for optimiser in self.optimizers():
                optimiser.zero_grad()
                self.manual_backward(self.loss(batch))
                optimiser.step()

        def configure_optimizers(self):
            return [torch.optim.SGD(self.features.parameters(), 0.1), torch.optim.SGD(self.head.parameters(), 0.1)]

    monitor = make_monitor()
    logger = TensorBoardLogger(tmp_path, name="run", version="0")
    fit(monitor, module=make_module(TwoOptimisers), logger=logger)
    events = read_events(tmp_path / "run" / "0")
    steps = [event.step for event in events.Scalars("interactions/mean_order")]
    assert len(set(steps)) == 3
    assert [event.step for event in events.Images("interactions/strength")] == steps


def test_csv_and_several_loggers(fit, make_monitor, tmp_path):
    monitor = make_monitor()
    loggers = [
        CSVLogger(tmp_path, name="csv", version="0"),
        TensorBoardLogger(tmp_path, name="board", version="0"),
        TensorBoardLogger(tmp_path, name="board", version="1"),
    ]
    fit(monitor, logger=loggers)

    assert monitor.failures == 0
    with (tmp_path / "csv" / "0" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row.get("interactions/mean_order")]
    orders = {int(row["step"]): float(row["interactions/mean_order"]) for row in rows}
    assert orders == pytest.approx(dict(zip([0, 2, 5], monitor.history.column("mean_order"), strict=True)), rel=1e-5)
    for version in "01":
        events = read_events(tmp_path / "board" / version)
        assert len(events.Scalars("interactions/mean_order")) == 3
        assert len(events.Images("interactions/strength")) == 3


def test_a_fast_dev_run_writes_nothing(fit, make_monitor, in_folder):
    monitor = make_monitor()
    fit(monitor, fast_dev_run=True, logger=True)
    assert monitor.failures == 0
    assert monitor.history.epochs == [0, 1]
    assert monitor.folder is None
    assert list(in_folder.rglob("*")) == []


def test_a_barebones_training(make_module, make_loaders, make_trainer, make_monitor, tmp_path):
    monitor = make_monitor()
    trainer = make_trainer(
        monitor,
        barebones=True,
        logger=None,
        enable_checkpointing=None,
        enable_progress_bar=None,
        enable_model_summary=None,
        log_every_n_steps=None,
    )
    with pytest.warns(UserWarning, match="barebones"):
        trainer.fit(make_module(), *make_loaders())
    assert monitor.failures == 0
    assert monitor.history.epochs == [0, 1, 2]
    assert (tmp_path / "interactions" / "history.json").exists()


def test_early_stopping_and_checkpoints_can_monitor_a_key(fit, make_monitor, tmp_path):
    monitor = make_monitor()
    # A mean order can never fall below 1.
    stopping = EarlyStopping("interactions/mean_order", patience=1, stopping_threshold=float(N + 1))
    keeping = ModelCheckpoint(tmp_path / "best", monitor="interactions/l1", mode="max", save_top_k=1)
    trainer, _ = fit(stopping, monitor, keeping, max_epochs=6, enable_checkpointing=True)

    assert trainer.current_epoch == 1
    assert monitor.history.epochs == [0, 1]
    assert keeping.best_model_score.item() == pytest.approx(monitor.history[1]["l1"], rel=1e-6)


def test_a_key_can_be_monitored_between_measurements_too(fit, make_monitor, tmp_path):
    monitor = make_monitor(every_n_epochs=2)
    seen = []

    class Spy(EarlyStopping):
        def on_train_epoch_end(self, trainer, pl_module):
            seen.append(trainer.callback_metrics["interactions/l1"].item())
            super().on_train_epoch_end(trainer, pl_module)

    keeping = ModelCheckpoint(tmp_path / "best", monitor="interactions/l1", mode="max", save_top_k=1)
    fit(Spy("interactions/l1", patience=10), monitor, keeping, max_epochs=4, enable_checkpointing=True)

    l1 = dict(zip(monitor.history.epochs, monitor.history.column("l1"), strict=True))
    assert seen == pytest.approx([l1[0], l1[2], l1[2], l1[4]], rel=1e-6)
    assert keeping.best_model_score.item() == pytest.approx(max(l1.values()), rel=1e-6)


def test_what_is_not_a_number_is_monitored_as_such(fit, make_monitor):
    trainer, _ = fit(make_monitor())
    assert math.isnan(trainer.callback_metrics["interactions/onset_epoch"])


def test_validation_set_up_late(fit, make_monitor, make_module, conv_module_class, assert_same_training):
    class Module(conv_module_class):
        def on_validation_epoch_end(self):
            self.validations.append(self.current_epoch)

    def run(*callbacks):
        module = make_module(Module)
        module.validations = []
        return fit(*callbacks, module=module, max_epochs=4, check_val_every_n_epoch=2, num_sanity_val_steps=0)

    monitor = make_monitor()
    watched, plain = run(monitor), run()
    assert monitor.failures == 0
    assert monitor.history.epochs == [0, 1, 2, 3, 4]
    assert watched[1].validations == plain[1].validations == [1, 3]
    assert_same_training(watched, plain)


def test_validation_switched_off_needs_samples(fit, make_monitor, draw):
    monitor = make_monitor(samples=draw(5, 4))
    fit(monitor, limit_val_batches=0)
    assert monitor.failures == 0
    assert [record["n_samples"] for record in monitor.history] == [5, 5, 5]


def test_a_network_with_one_logit(fit, make_monitor, make_module, conv_module_class, draw):
    class Binary(conv_module_class):
        def loss(self, batch):
            logits = self.head(self.features(batch[0]))
            return functional.binary_cross_entropy_with_logits(logits.squeeze(1), (batch[1] > 0).float())

    images, labels = draw(6, 4)
    monitor = make_monitor(
        samples=(images, (labels > 0).long()),
        split_batch=lambda batch: (batch[0], (batch[1] > 0).long()),
    )
    _, module = fit(monitor, module=make_module(Binary, classes=1))
    assert monitor.failures == 0
    module.eval()
    with torch.no_grad():
        p = torch.sigmoid(module(images)).squeeze(1)
    loss = -torch.where(labels > 0, p, 1 - p).log().mean().item()
    assert monitor.history[2]["held_out_loss"] == pytest.approx(loss, rel=1e-5)
    assert isinstance(module.head[-1], nn.Linear)
