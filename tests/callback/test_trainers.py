"""Other Trainers, precisions and loops than the plain one."""

import math
import warnings

import pytest
import pytorch_lightning
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from lightning_interactions import FeatureMapPatches, explain

pytestmark = pytest.mark.usefixtures("quick")


def test_the_standalone_package(make_monitor, make_trainer, make_loaders, tmp_path):
    class Module(pytorch_lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.body = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.ReLU())
            self.head = torch.nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.body(x).amax((2, 3)))

        def training_step(self, batch, _):
            return functional.cross_entropy(self(batch[0]), batch[1])

        def validation_step(self, batch, _):
            self.log("val_loss", functional.cross_entropy(self(batch[0]), batch[1]))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    def train(*callbacks, **options):
        torch.manual_seed(0)
        module = Module()
        trainer = make_trainer(*callbacks, cls=pytorch_lightning.Trainer, **options)
        trainer.fit(module, *make_loaders())
        return trainer, module

    monitor = make_monitor(layer="body.1")
    stopping = pytorch_lightning.callbacks.EarlyStopping("interactions/l1", patience=9)
    keeping = pytorch_lightning.callbacks.ModelCheckpoint(tmp_path / "kept", monitor="interactions/l1")
    logger = pytorch_lightning.loggers.TensorBoardLogger(tmp_path)
    options = {"enable_checkpointing": True, "enable_progress_bar": True, "logger": logger}
    trainer, module = train(monitor, stopping, keeping, **options)

    assert monitor.failures == 0
    assert monitor.history.epochs == [0, 1, 2]
    assert trainer.callback_metrics["interactions/l1"] == pytest.approx(monitor.history[2]["l1"], rel=1e-6)
    assert keeping.best_model_path
    _, plain = train()
    assert all(torch.equal(value, plain.state_dict()[key]) for key, value in module.state_dict().items())


@pytest.mark.parametrize("given", [False, True], ids=["from the loaders", "samples given"])
@pytest.mark.parametrize("precision", ["bf16-true", "bf16-mixed", "64-true", "32-true"])
def test_precision(precision, given, fit, make_monitor, assert_same_training, draw):
    monitor = make_monitor(samples=draw(6, 4) if given else None)
    watched = fit(monitor, precision=precision)

    assert monitor.failures == 0
    assert all(map(math.isfinite, monitor.history.column("l1")))
    assert all(map(math.isfinite, monitor.history.column("held_out_loss")))
    assert_same_training(watched, fit(precision=precision))


@pytest.mark.parametrize("asked", ["float32", "float64", "bf16"])
@pytest.mark.parametrize("precision", ["bf16-true", "bf16-mixed", "64-true", "32-true"])
def test_the_losses_are_in_the_precision_of_the_interactions(precision, asked, fit, make_monitor, conv_module_class):
    monitor = make_monitor(precision=asked)
    _, module = fit(monitor, precision=precision)

    dtype = torch.float64 if "float64" in asked or precision == "64-true" else torch.float32
    wide = conv_module_class().to(dtype)
    wide.load_state_dict({key: value.to(dtype) for key, value in module.state_dict().items() if value.ndim})
    wide.eval()
    batches = monitor._samples.held_out_batches
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=asked == "bf16"):
        logits = [wide(batch.inputs.to(dtype)).to(dtype) for batch in batches]
    total = sum(
        functional.cross_entropy(of_batch, batch.targets).item() * len(batch)
        for of_batch, batch in zip(logits, batches, strict=True)
    )
    assert monitor.history[2]["held_out_loss"] == total / sum(map(len, batches))


def test_data_in_half_under_mixed_precision(fit, make_monitor, draw):
    """Autocast takes such inputs; nothing else does."""

    def loaders():
        parts = [draw(24, 1), draw(12, 2)]
        return [DataLoader(TensorDataset(images.bfloat16(), labels), 8) for images, labels in parts]

    monitor = make_monitor()
    fit(monitor, precision="bf16-mixed", loaders=loaders())
    assert monitor.failures == 0
    assert all(map(math.isfinite, monitor.history.column("held_out_loss")))


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
def test_a_network_that_makes_tensors_in_its_forward_under_true_precision(
    precision, fit, make_module, make_monitor, conv_module_class, assert_same_training
):
    class Starting(conv_module_class):
        """The first state has to be of the type of the weights."""

        def __init__(self):
            super().__init__()
            self.cell = torch.nn.GRUCell(3, 3)

        def forward(self, x):
            logits = super().forward(x)
            return self.cell(logits, torch.zeros(len(x), 3))

        def loss(self, batch):
            return functional.cross_entropy(self(batch[0]), batch[1])

    monitor = make_monitor()
    watched = fit(monitor, module=make_module(Starting), precision=precision)
    assert monitor.failures == 0
    assert all(map(math.isfinite, monitor.history[2]["noise_floor"]))
    assert_same_training(watched, fit(module=make_module(Starting), precision=precision))


def test_accumulated_gradients_and_a_validation_inside_the_epoch(fit, make_monitor, assert_same_training):
    options = {"accumulate_grad_batches": 2, "val_check_interval": 1, "max_epochs": 3}
    monitor = make_monitor()
    watched = fit(monitor, **options)
    assert monitor.history.epochs == [0, 1, 2, 3]
    assert monitor.history.column("global_step") == [0, 2, 4, 6]
    assert_same_training(watched, fit(**options))


def test_several_loaders_for_training_and_validation(
    fit, make_monitor, make_module, make_loaders, conv_module_class, draw
):
    class Several(conv_module_class):
        def training_step(self, batch, index):
            assert set(batch) == {"labelled", "unlabelled"}
            return super().training_step(batch["labelled"], index)

        def validation_step(self, batch, _, dataloader_idx=0):  # noqa: ARG002
            self.loss(batch)

    unlabelled = DataLoader(TensorDataset(torch.randn(20, 1, 8, 8)), 5)
    train, val = make_loaders()
    monitor = make_monitor(
        n_samples=20,
        n_loss_samples=40,
        split_batch=lambda batch: batch if len(batch) == 2 else (batch[0], torch.zeros(len(batch[0]))),
    )
    more = DataLoader(TensorDataset(*draw(9, 3)), 3)
    fit(monitor, module=make_module(Several), loaders=({"labelled": train, "unlabelled": unlabelled}, [val, more]))
    assert monitor.failures == 0
    assert monitor.history[2]["n_samples"] == 20


def test_iterable_data(fit, make_monitor, draw, assert_same_training):
    class Stream(IterableDataset):
        def __init__(self, n, seed):
            self.data = draw(n, seed)

        def __iter__(self):
            for image, label in zip(*self.data, strict=True):
                yield image + torch.rand(()), label

    def loaders():
        return DataLoader(Stream(24, 1), 8), DataLoader(Stream(12, 2), 8)

    monitor = make_monitor()
    watched = fit(monitor, loaders=loaders())
    assert monitor.failures == 0
    assert monitor.history[2]["n_samples"] == 4
    assert_same_training(watched, fit(loaders=loaders()))


def test_batches_in_dictionaries(fit, make_monitor, make_module, conv_module_class, draw):
    class Dictionaries(conv_module_class):
        def loss(self, batch):
            return super().loss((batch["image"], batch["label"]))

    images, labels = draw(24, 1)
    rows = [{"image": image, "label": label} for image, label in zip(images, labels, strict=True)]
    loader = DataLoader(rows, 8)
    monitor = make_monitor()
    _, module = fit(monitor, module=make_module(Dictionaries), loaders=(loader, loader))
    assert monitor.failures == 0
    assert isinstance(monitor.variables, FeatureMapPatches)
    assert module.training


class OwnBatch:
    """What no rule for tuples and mappings understands, as libraries for graphs or volumes have them."""

    def __init__(self, image, label, name):
        self.image, self.label, self.name = image, label, name

    def to(self, device):
        return OwnBatch(self.image.to(device), self.label.to(device), self.name)


@pytest.mark.parametrize("kind", ["a loader", "an iterable"])
def test_iterable_data_whose_batches_are_of_their_own_kind(
    kind, fit, make_monitor, make_module, conv_module_class, draw, assert_same_training
):
    class Stream(IterableDataset):
        def __init__(self, n, seed):
            self.data = draw(n, seed)

        def __iter__(self):
            for number, (images, labels) in enumerate(zip(*(part.split(8) for part in self.data), strict=True)):
                yield OwnBatch(images, labels, str(number))

    class Module(conv_module_class):
        def transfer_batch_to_device(self, batch, device, dataloader_idx):  # noqa: ARG002
            return batch.to(device)

        def loss(self, batch):
            return super().loss((batch.image, batch.label))

        def log(self, name, value, **options):
            super().log(name, value, **({"batch_size": 8} | options))  # which Lightning does not find in such a batch

    def loaders():
        streams = Stream(24, 1), Stream(20, 2)
        return [DataLoader(stream, batch_size=None) if kind == "a loader" else stream for stream in streams]

    monitor = make_monitor(n_samples=10, n_loss_samples=12, split_batch=lambda batch: (batch.image, batch.label))
    watched = fit(monitor, module=make_module(Module), loaders=loaders())
    assert monitor.failures == 0
    assert monitor.history.column("n_samples") == [10, 10, 10]
    images, labels = draw(20, 2)
    assert torch.equal(monitor.held_out.inputs, images[:10])
    assert torch.equal(monitor.held_out.targets, labels[:10])
    assert [len(batch) for batch in monitor._samples.train_batches] == [8, 4]
    assert_same_training(watched, fit(module=make_module(Module), loaders=loaders()))


@pytest.mark.parametrize("held_out", ["classes", "mixed"])
def test_labels_that_are_mixed(held_out, fit, make_monitor, draw, monitor_warnings, assert_same_training):
    def mixed(rows):
        """MixUp and smoothing, as a collation."""
        images, labels = (torch.stack(list(part)) for part in zip(*rows, strict=True))
        soft = functional.one_hot(labels, 3) * 0.9 + 0.1 / 3
        share = 0.5 + torch.rand(()) / 2
        return torch.lerp(images.roll(1, 0), images, share), torch.lerp(soft.roll(1, 0), soft, share)

    def loaders():
        held_out_collate = {"collate_fn": mixed} if held_out == "mixed" else {}
        train, val = (TensorDataset(*draw(n, seed)) for n, seed in ((24, 1), (12, 2)))
        return DataLoader(train, 8, shuffle=True, collate_fn=mixed), DataLoader(val, 8, **held_out_collate)

    monitor = make_monitor(n_loss_samples=99)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        watched = fit(monitor, loaders=loaders())
    assert monitor_warnings(caught) == []
    assert monitor.failures == 0
    assert all(math.isfinite(value) for record in monitor.history for value in record["noise_floor"])

    module = watched[1].eval()
    with torch.no_grad():
        for batches, key in (("train_batches", "train_loss"), ("held_out_batches", "held_out_loss")):
            batches = getattr(monitor._samples, batches)  # noqa: PLW2901
            assert (batches[0].targets.ndim == 2) is (key == "train_loss" or held_out == "mixed")
            whole = module(torch.cat([batch.inputs for batch in batches]))
            expected = functional.cross_entropy(whole, torch.cat([batch.targets for batch in batches])).item()
            assert monitor.history[2][key] == pytest.approx(expected, rel=1e-5)
    targets = monitor.held_out.targets
    classes = targets.argmax(dim=1) if targets.ndim == 2 else targets
    found = explain(module, monitor.held_out.inputs, classes, monitor.variables)
    assert torch.equal(found.values, monitor.interactions.values)
    module.train()
    assert_same_training(watched, fit(loaders=loaders()))


def test_mixed_labels_for_an_output_and_a_loss_of_the_users_own(fit, make_monitor, draw):
    images, labels = draw(6, 4)
    soft = functional.one_hot(labels, 3) * 0.4 + 0.2

    def output(logits, targets):
        assert targets.shape == logits.shape
        return (logits * targets).sum(dim=1)

    monitor = make_monitor(samples=(images, soft), output=output)
    fit(monitor, max_epochs=1)
    assert monitor.failures == 0
    assert monitor.history[1]["held_out_loss"] > 0


def test_labels_of_several_classes_at_once_are_refused(fit, make_monitor, draw):
    images, _ = draw(6, 4)
    several = torch.tensor([[1.0, 1.0, 0.0]]).repeat(6, 1)
    with pytest.raises(
        ValueError, match=r"or the probabilities of all classes, got shape \(6, 3\)\. HINT: pass `loss=`"
    ):
        fit(make_monitor(samples=(images, several)), max_epochs=1)
