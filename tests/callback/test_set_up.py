"""A mistake in the set-up is an error before the first training step, with the weights as they were."""

import math

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_interactions import Columns, Draw, FeatureMapPatches, InputPatches, InteractionMonitor, Variables

pytestmark = pytest.mark.usefixtures("quick")


class Later(InteractionMonitor):
    """Does not measure the untrained network: a rehearsal must find the mistake."""

    def should_measure(self, epoch):
        return epoch == 2


monitors = pytest.mark.parametrize("cls", [InteractionMonitor, Later], ids=["measuring epoch 0", "rehearsing"])


def patches(layer="features.4", grid=4):
    return FeatureMapPatches(layer, grid=grid, border=1, n_variables=3)


class Scarce(Variables):
    """Only images brighter than ``limit`` in their first pixel have variables, the rows."""

    def __init__(self, limit):
        super().__init__(2)
        self.limit = limit

    def draw(self, inputs, seed=None):  # noqa: ARG002
        draw = Draw(((2,), (3,)), ("row 2", "row 3"), (0.0,))
        return [draw if image[0, 0, 0] > self.limit else None for image in inputs]

    def mask(self, target, draws, masks):
        repeated = target.repeat_interleave(len(masks), 0)
        for number, mask in enumerate(masks.repeat(len(draws), 1)):
            for row, present in zip((2, 3), mask, strict=True):
                if not present:
                    repeated[number, :, row] = 0
        return repeated


@pytest.fixture
def refused(make_module, make_loaders, make_trainer, make_monitor):
    """Fit and expect an error before the first step; returns its text."""

    def run(error, *, cls=InteractionMonitor, module=None, loaders=None, trainer=None, **options):
        module = make_module() if module is None else module
        before = {key: value.clone() for key, value in module.state_dict().items()}
        monitor = make_monitor(cls=cls, **options)
        trainer = make_trainer(monitor, **(trainer or {}))
        with pytest.raises(error) as caught:
            trainer.fit(module, *(make_loaders() if loaders is None else loaders))
        assert trainer.global_step == 0
        assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
        assert not any(m._forward_hooks for m in module.modules())
        return str(caught.value)

    return run


@monitors
def test_an_unknown_layer(refused, cls):
    message = refused(ValueError, cls=cls, layer="feature.4")
    assert "'feature.4'" in message
    assert "'features.4'" in message


@pytest.mark.parametrize("hook", ["setup", "configure_model"])
def test_a_layer_that_the_module_builds_in_a_hook(hook, fit, make_monitor, make_module, conv_module_class):
    class Built(conv_module_class):
        def __init__(self):
            super().__init__()
            self.parts, self.features = self.features, None

    def build(self, **_):
        self.features = self.parts

    setattr(Built, hook, build)
    monitor = make_monitor(cls=Later)
    fit(monitor, module=make_module(Built))
    assert monitor.history.column("failures") == [0]


@monitors
def test_a_layer_that_puts_out_no_map(refused, cls):
    message = refused(ValueError, cls=cls, layer="head.3")
    assert "(B, C, H, W)" in message
    assert "'head.3'" in message


@monitors
def test_a_grid_larger_than_the_map(refused, cls):
    message = refused(ValueError, cls=cls, variables=patches(grid=9))
    assert "8×8" in message
    assert "got 9" in message


@monitors
def test_a_layer_that_never_runs(refused, cls, make_module):
    module = make_module()
    module.spare = nn.Conv2d(1, 1, 1)
    assert "never" in refused(ValueError, cls=cls, module=module, layer="spare")


@monitors
@pytest.mark.parametrize("wrong", [-1, 3])
def test_held_out_labels_out_of_range(refused, cls, wrong, draw):
    images, labels = draw(6, 3)
    labels[4] = wrong
    message = refused(ValueError, cls=cls, samples=(images, labels))
    assert "class indices 0 … 2" in message
    assert str(wrong) in message


@monitors
def test_validation_labels_out_of_range(refused, cls, draw, make_loaders):
    images, labels = draw(6, 3)
    train, _ = make_loaders()
    val = DataLoader(TensorDataset(images, labels + 1), 4)
    # Without a sanity check the user's own validation step would meet them only after the first epoch.
    message = refused(ValueError, cls=cls, loaders=(train, val), trainer={"num_sanity_val_steps": 0})
    assert "class indices 0 … 2" in message


@monitors
def test_neither_validation_data_nor_samples(refused, cls, make_loaders):
    train, _ = make_loaders()
    for loaders, trainer in (((train, None), {}), (make_loaders(), {"limit_val_batches": 0})):
        message = refused(MisconfigurationException, cls=cls, loaders=loaders, trainer=trainer)
        assert "samples=(inputs, targets)" in message


@monitors
def test_targets_missing(refused, cls, draw, make_module, conv_module_class, make_loaders):
    class Module(conv_module_class):
        def validation_step(self, *_):
            pass

    train, _ = make_loaders()
    val = DataLoader(TensorDataset(draw(6, 3)[0]), 4)
    message = refused(ValueError, cls=cls, module=make_module(Module), loaders=(train, val))
    assert "targets" in message
    assert "split_batch" in message


class Batch:
    def __init__(self, rows):
        self.images = torch.stack([image for image, _ in rows])
        self.labels = torch.stack([label for _, label in rows])

    def to(self, *_, **__):
        return self


@monitors
def test_a_batch_of_an_unknown_kind_and_the_way_out(
    refused, cls, draw, make_module, conv_module_class, fit, make_monitor
):
    class Module(conv_module_class):
        def loss(self, batch):
            return super().loss((batch.images, batch.labels))

        def training_step(self, batch, _):
            return self.loss(batch)

        def validation_step(self, batch, _):
            pass

    data = TensorDataset(*draw(12, 3))
    loaders = [DataLoader(data, 4, collate_fn=Batch)] * 2
    message = refused(TypeError, cls=cls, module=make_module(Module), loaders=loaders)
    assert "got a Batch" in message
    assert "split_batch" in message

    monitor = make_monitor(cls=cls, split_batch=lambda batch: (batch.images, batch.labels.tolist()))
    fit(monitor, module=make_module(Module), loaders=loaders)
    assert monitor.failures == 0
    assert monitor.history[2]["n_samples"] == 4


TABLE = TensorDataset(torch.rand(4, 1, 8, 8), torch.zeros(4))


@pytest.mark.parametrize(
    ("samples", "got"),
    [
        (TABLE, "a TensorDataset"),
        (DataLoader(TABLE, 2), "a DataLoader"),
        (TABLE.tensors[0], "a Tensor"),
        ({"x": TABLE.tensors[0]}, "a dict"),
        ((*TABLE.tensors, None), "3 entries"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_samples_that_are_no_pair(samples, got, make_monitor):
    with pytest.raises(TypeError, match=rf"`samples` must be \(inputs, targets\), got {got}. HINT: .*next\(iter"):
        make_monitor(samples=samples)


@monitors
def test_validation_data_without_samples(refused, cls, make_loaders):
    train, _ = make_loaders()
    empty = DataLoader(TensorDataset(torch.zeros(0, 1, 8, 8), torch.zeros(0)), 4)
    message = refused(MisconfigurationException, cls=cls, loaders=(train, empty))
    assert "have none" in message
    assert "samples=(inputs, targets)" in message


@monitors
def test_held_out_images_of_two_sizes(refused, cls, make_loaders, make_module, conv_module_class):
    class Two(conv_module_class):
        def validation_step(self, *_, **__):
            pass

    train, val = make_loaders()
    larger = DataLoader(TensorDataset(torch.rand(8, 1, 12, 12), torch.zeros(8)), 4)
    message = refused(ValueError, cls=cls, module=make_module(Two), loaders=(train, [val, larger]), n_samples=12)
    assert "1, 12, 12)" in message
    assert "samples=(inputs, targets)" in message


class Semi:
    """A batch with labels and one without, as semi-supervised trainings have them."""

    def __init__(self, draw):
        images, labels = draw(40, 5)
        self.labelled = DataLoader(TensorDataset(images[:8], labels[:8]), 4, shuffle=True)
        self.unlabelled = DataLoader(TensorDataset(images[8:]), 4, shuffle=True)

    @staticmethod
    def split(batch):
        return None if len(batch) == 1 else tuple(batch)


@monitors
def test_a_loader_without_labels_is_passed_over(cls, fit, make_monitor, make_module, conv_module_class, draw):
    class Both(conv_module_class):
        def training_step(self, batch, index):
            return super().training_step(batch["labelled"], index) + self.features(batch["unlabelled"][0]).mean()

        def validation_step(self, *_, **__):
            pass

    data = Semi(draw)
    train = {"unlabelled": data.unlabelled, "labelled": data.labelled}
    monitor = make_monitor(cls=cls, split_batch=data.split, n_loss_samples=8)
    fit(monitor, module=make_module(Both), loaders=(train, [data.unlabelled, data.labelled]))
    assert monitor.failures == 0
    measured = monitor._samples
    for batches in (measured.train_batches, measured.held_out_batches):
        found = torch.cat([batch.inputs for batch in batches])
        assert sorted(found.sum((1, 2, 3)).tolist()) == sorted(data.labelled.dataset.tensors[0].sum((1, 2, 3)).tolist())
    assert len(measured.explained) == 4


@monitors
def test_not_all_batches_can_be_passed_over(refused, cls):
    message = refused(MisconfigurationException, cls=cls, split_batch=lambda _: None)
    assert "`split_batch` must pass some batches over and not all" in message


def test_fewer_samples_than_asked(fit, make_monitor, monitor_warnings):
    monitor = make_monitor(n_samples=50)
    with pytest.warns(UserWarning, match="InteractionMonitor") as caught:
        fit(monitor)
    (message,) = monitor_warnings(caught)
    assert "n_samples=50" in message
    assert "12 held-out samples" in message
    assert monitor.history.column("n_samples") == [12, 12, 12]


@monitors
def test_too_few_variables_in_all_samples(refused, cls, draw):
    message = refused(MisconfigurationException, cls=cls, variables=Scarce(limit=99.0))
    assert "None of the 12 held-out samples has 2 input variables" in message
    message = refused(ValueError, cls=cls, variables=Scarce(limit=99.0), samples=draw(5, 1))
    assert "None of the 5 samples has 2 input variables" in message


@pytest.mark.parametrize("given", [False, True])
@monitors
def test_too_few_variables_in_some_samples(cls, given, fit, make_monitor, draw):
    images, labels = draw(12, 2)  # the validation data
    images[:, 0, 0, 0] = torch.arange(12.0)
    val = DataLoader(TensorDataset(images, labels), 4)
    train = DataLoader(TensorDataset(*draw(24, 1)), 8)
    monitor = make_monitor(
        cls=cls, variables=Scarce(limit=8.5), n_samples=3, samples=(images, labels) if given else None
    )
    fit(monitor, loaders=(train, val))
    assert monitor.failures == 0
    assert monitor.history[2]["n_samples"] == 3
    firsts = monitor.held_out.inputs[:, 0, 0, 0].tolist()
    used = [firsts[row] for row in monitor.interactions.provenance["samples"]]
    assert sorted(used) == [9.0, 10.0, 11.0]


def test_too_few_good_samples_are_counted_in_the_warning(fit, make_monitor, draw):
    images, labels = draw(12, 2)
    images[:, 0, 0, 0] = torch.arange(12.0)
    loader = DataLoader(TensorDataset(images, labels), 4)
    with pytest.warns(UserWarning, match=r"n_samples=4 but found 3 held-out samples with 2 input variables"):
        fit(make_monitor(variables=Scarce(limit=8.5)), loaders=(loader, loader), max_epochs=1)


class Odd(SingleDeviceStrategy):
    pass


def test_an_untested_strategy_and_the_way_out(refused, fit, make_monitor):
    message = refused(MisconfigurationException, trainer={"strategy": Odd("cpu")})
    assert "Odd" in message
    assert "allow_untested=True" in message

    monitor = make_monitor(allow_untested=True)
    fit(monitor, strategy=Odd("cpu"))
    assert monitor.history.epochs == [0, 1, 2]
    assert monitor.failures == 0


@pytest.mark.parametrize("variables", ["features.4", None, {"layer": "features.4"}, InputPatches])
def test_variables_of_a_wrong_type(variables):
    with pytest.raises(TypeError, match="must be a Variables"):
        InteractionMonitor(variables)


@monitors
def test_variables_that_do_not_fit_the_inputs(refused, cls):
    message = refused(ValueError, cls=cls, variables=Columns(n_variables=3))
    assert "(B, F)" in message


@pytest.mark.parametrize("argument", ["every_n_epochs", "n_samples", "n_loss_samples", "mask_batch_size"])
@pytest.mark.parametrize(
    ("number", "error"),
    [(0, ValueError), (-1, ValueError), (2.5, TypeError), (math.nan, TypeError), ("3", TypeError), (True, TypeError)],
)
def test_bad_numbers(argument, number, error):
    with pytest.raises(error, match=argument) as caught:
        InteractionMonitor(patches(), **{argument: number})
    assert repr(number) in str(caught.value)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("noise_ratio", -0.1),
        ("noise_ratio", float("nan")),
        ("solver", "simplex"),
        ("output", "logits"),
        ("name", ""),
        ("name", "a/b"),
        ("name", "a\\b"),
        ("name", "."),
        ("name", ".."),
        ("on_error", "ignore"),
    ],
)
def test_bad_options(argument, value):
    with pytest.raises(ValueError, match=f"`{argument}`") as caught:
        InteractionMonitor(patches(), **{argument: value})
    assert repr(value) in str(caught.value)


def test_two_monitors_without_names_are_refused(make_trainer, make_monitor):
    with pytest.raises(RuntimeError, match="state_key"):
        make_trainer(make_monitor(), make_monitor())


@pytest.mark.parametrize("name", [None, "late"])
def test_so_are_a_monitor_and_one_of_a_class_of_its_own_with_the_same_name(
    name, make_trainer, make_monitor, make_module, make_loaders
):
    trainer = make_trainer(make_monitor(name=name), make_monitor(cls=Later, name=name))
    with pytest.raises(MisconfigurationException, match=f"Later with the name {name!r}. HINT: pass another `name=`"):
        trainer.fit(make_module(), *make_loaders())
    assert trainer.global_step == 0


def test_monitors_with_different_names_live_side_by_side(fit, make_monitor):
    monitors = make_monitor(), make_monitor(cls=Later, name="late")
    fit(*monitors)
    assert [monitor.history.epochs for monitor in monitors] == [[0, 1, 2], [2]]
    assert monitors[0].folder != monitors[1].folder


@monitors
def test_an_output_that_is_no_number_a_sample(refused, cls):
    message = refused(ValueError, cls=cls, output=lambda logits, _: logits.sum())
    assert "one number" in message


@monitors
def test_a_network_that_returns_no_logits(refused, cls, make_module):
    module = make_module(poison=lambda _, logits: {"scores": logits})
    message = refused(ValueError, cls=cls, module=module)
    assert "forward=" in message


MISTAKES = {
    "a name that is misspelt": ({"forward": lambda model, x: model.backbone(x)}, AttributeError, "backbone"),
    "a class that is none": ({"output": lambda logits, _: logits[:, 5]}, IndexError, "index 5"),
    "a key that is none": ({"split_batch": lambda batch: ({"x": batch[0]}["image"], batch[1])}, KeyError, "image"),
    "a loss not written yet": ({"loss": torch.nn.modules.loss._Loss().forward}, NotImplementedError, ""),
}


def asserting(_, logits):
    assert len(logits) > 99, "more rows"
    return logits


@monitors
@pytest.mark.parametrize(("options", "error", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_any_mistake_in_what_the_user_passes(refused, cls, options, error, message):
    assert message in refused(error, cls=cls, **options)


@monitors
def test_a_network_that_asserts_what_is_not_so(refused, cls, make_module):
    assert "more rows" in refused(AssertionError, cls=cls, module=make_module(poison=asserting))


@monitors
def test_a_network_called_in_its_own_way(cls, fit, make_monitor, make_module):
    module = make_module(poison=lambda _, logits: {"scores": logits})
    monitor = make_monitor(cls=cls, forward=lambda model, x: model(x)["scores"])
    fit(monitor, module=module)
    plain = make_monitor(cls=cls)
    fit(plain)
    assert monitor.failures == 0
    assert monitor.history[2]["l1"] == plain.history[2]["l1"]


def test_the_warning_of_a_rehearsal_is_heard(fit, make_monitor, make_module, monitor_warnings):
    def broken(module, logits):
        if module.trainer.global_step == 0:
            msg = "not yet"
            raise OSError(msg)
        return logits

    monitor = make_monitor(cls=Later)
    with pytest.warns(UserWarning, match="InteractionMonitor") as caught:
        fit(monitor, module=make_module(poison=broken))
    (message,) = monitor_warnings(caught)
    assert "rehearsal" in message
    assert "not yet" in message
    assert monitor.history.epochs == [2]
    assert monitor.failures == 0


def test_a_stage_without_training_is_left_alone(make_trainer, make_monitor, make_module, make_loaders):
    monitor = make_monitor(layer="no such layer")
    make_trainer(monitor).validate(make_module(), make_loaders()[1], verbose=False)
    assert len(monitor.history) == 0
