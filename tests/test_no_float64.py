"""A measurement on a device without float64 gives the numbers of one on the CPU."""

import importlib.util
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from lightning_interactions import Columns, FeatureMapPatches, InputPatches, explain
from lightning_interactions.callback.faults import Faults
from lightning_interactions.callback.held_out import MeasuredSamples
from lightning_interactions.callback.losses import mean_loss
from lightning_interactions.callback.measurement import Measurement
from lightning_interactions.callback.samples import Samples
from lightning_interactions.callback.settings import ExplainSettings
from lightning_interactions.masking.batches import to_device
from lightning_interactions.masking.choose import choose_way
from lightning_interactions.masking.devices import has_float64, in_float64
from lightning_interactions.masking.fgsm import fgsm
from lightning_interactions.masking.forward import values
from lightning_interactions.masking.memory import auto_mask_batch_size
from lightning_interactions.masking.ways import Local

spec = importlib.util.spec_from_file_location("no_float64", Path(__file__).with_name("no_float64.py"))
no_float64 = importlib.util.module_from_spec(spec)
spec.loader.exec_module(no_float64)
DEVICE = no_float64.DEVICE

CLASSES = torch.tensor([0, 1, 2, 1])
VARIABLES = {
    "a layer": FeatureMapPatches("1", grid=4, border=0, n_variables=4),
    "pixels": InputPatches(grid=4, border=0, n_variables=4, baseline=(0.1, 0.2, 0.3)),
}


@pytest.fixture
def device():
    with no_float64.StandIn():
        yield DEVICE


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU()]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(144, 3))


@pytest.fixture
def images():
    return torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_the_stand_in_refuses_what_such_a_device_refuses(device):
    x = torch.ones(2, 3).to(device)
    assert x.device == device
    assert x.cpu().device.type == "cpu"
    for attempt in (
        x.double,
        lambda: x.to(torch.float64),
        lambda: torch.zeros(2, dtype=torch.float64, device=device),
        lambda: torch.zeros(2, dtype=torch.float64).to(device),
        lambda: torch.as_tensor(x, dtype=torch.float64),
    ):
        with pytest.raises(TypeError, match="float64"):
            attempt()
    with pytest.raises(RuntimeError, match="same device"):
        x + torch.ones(2, 3)
    assert (x + torch.tensor(1.0)).device == device


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("kind", VARIABLES)
def test_interactions(kind, network, images):
    expected = explain(network, images, CLASSES, VARIABLES[kind])
    found = explain(no_float64.moved(network), images, CLASSES, VARIABLES[kind])

    assert torch.equal(found.values, expected.values)
    assert torch.equal(found.and_, expected.and_)
    assert found.values.dtype == torch.float64
    assert found.provenance == expected.provenance


@pytest.mark.parametrize("targets", [CLASSES, CLASSES.double(), CLASSES.tolist()], ids=["whole", "float64", "list"])
def test_samples_on_the_device_and_targets_of_any_kind(targets, network, images, device):
    expected = explain(network, images, CLASSES, VARIABLES["pixels"])
    found = explain(no_float64.moved(network), images.to(device), targets, VARIABLES["pixels"])
    assert torch.equal(found.values, expected.values)


@pytest.mark.parametrize("baseline", ["mean", 0.5])
def test_a_table_on_the_device(baseline, images, device):
    network, rows = nn.Linear(8, 3), images[:, 0, 0]
    expected = explain(network, rows, CLASSES, Columns(4, baseline))
    found = explain(no_float64.moved(network), rows.to(device), CLASSES.to(device), Columns(4, baseline))
    assert torch.equal(found.values, expected.values)
    assert found.provenance["draws"] == expected.provenance["draws"]


@pytest.mark.usefixtures("device")
def test_tables_of_local_values():
    """They are made where they save work: on large maps."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.MaxPool2d(2)]
        network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4096, 3))
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    patches, taken = FeatureMapPatches("1", grid=8, n_variables=7), []

    def choose(*arguments, **options):
        choice = choose_way(*arguments, **options)
        taken.append(vars(choice.way).get("_way"))
        return choice

    arguments = images, CLASSES[:2], patches, patches.draw(images)
    expected = values(network, *arguments, choose=choose)
    found = values(no_float64.moved(network), *arguments, choose=choose)

    assert [type(way) for way in taken] == [Local, Local]
    assert torch.equal(found, expected)


@pytest.mark.usefixtures("device")
def test_an_output_of_the_users_own_gets_float64_and_its_targets_beside_it(network, images):
    seen = []

    def output(logits, targets):
        seen.append((logits.dtype, logits.device == targets.device))
        return (logits * targets).sum(dim=1)

    weights = torch.rand(4, 3, dtype=torch.float64)
    expected = explain(network, images, weights, VARIABLES["pixels"], output)
    found = explain(no_float64.moved(network), images, weights, VARIABLES["pixels"], output)

    assert torch.equal(found.values, expected.values)
    assert set(seen) == {(torch.float64, True)}


@pytest.mark.usefixtures("device")
def test_losses(network, images):
    moved = no_float64.moved(network)
    for targets in (CLASSES, CLASSES.double(), torch.eye(3, dtype=torch.float64)[CLASSES]):
        samples = [Samples(images, targets)]
        assert mean_loss(moved, samples, precision="float32") == pytest.approx(mean_loss(network, samples))


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("head", ["logits", "probabilities", "one output"])
def test_a_measurement_of_the_monitor(head, network, images):
    ends = {"logits": [], "probabilities": [nn.Softmax(dim=1)], "one output": [nn.Linear(3, 1), nn.Sigmoid()]}
    network = nn.Sequential(*network, *ends[head])
    samples = Samples(images, CLASSES % 2 if head == "one output" else CLASSES)
    said = []
    faults = Faults()
    faults.warn_once = lambda text, key: said.append((key, text))
    measurement = Measurement(VARIABLES["a layer"], ExplainSettings(), faults)
    measured = MeasuredSamples(samples, [samples], [samples])
    expected = measurement.losses(network, measured)
    moved = no_float64.moved(network)

    assert measurement.losses(moved, measured) == expected
    assert torch.equal(measurement.explain(moved, samples).values, measurement.explain(network, samples).values)
    said.clear()
    assert all(map(math.isnan, measurement.noise_floor(moved, samples).effect))
    assert [key for key, text in said if "float64" in text] == ["noise floor"]


@pytest.mark.parametrize("where", ["samples here", "samples there"])
def test_gradient_steps(where, network, images, device):
    low, high = torch.full((3, 1, 1), 0.2), torch.full((3, 1, 1), 0.8)
    expected = fgsm(network, images, CLASSES, 0.1, bounds=(low, high))
    moved, step = no_float64.moved(network), torch.tensor(0.1, dtype=torch.float64)
    given = images if where == "samples here" else images.to(device)
    found = fgsm(moved, given, CLASSES.double(), step, bounds=(low, high.to(device)))
    assert found.device == given.device
    assert torch.equal(found.cpu(), expected)


def test_what_is_sent(device):
    sent = to_device({"x": torch.rand(2, dtype=torch.float64), "id": torch.tensor([1])}, device)
    assert {key: (tensor.device, tensor.dtype) for key, tensor in sent.items()} == {
        "x": (device, torch.float32),
        "id": (device, torch.int64),
    }
    assert in_float64(sent["x"]).dtype == torch.float64
    assert not has_float64(device)
    assert has_float64(torch.device("cpu"))
    assert has_float64(torch.device("cuda"))
    assert auto_mask_batch_size(device, 2**20) == auto_mask_batch_size(torch.device("cpu"), 2**20)
