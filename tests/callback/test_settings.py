"""The settings of an explanation are those of the whole package, and are taken over whole."""

import inspect
from dataclasses import FrozenInstanceError, fields

import pytest
import torch

from lightning_interactions import Columns, InteractionMonitor, explain
from lightning_interactions.callback.samples import Samples
from lightning_interactions.callback.settings import ExplainSettings

OTHER = {
    "output": "margin",
    "noise_ratio": 0.1,
    "solver": "none",
    "mask_batch_size": 3,
    "precision": "float64",
    "channels_last": True,
    "compiled": True,
    "forward": lambda module, inputs: module(-inputs),
}


@pytest.fixture
def samples():
    return Samples(torch.rand(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 1, 0]))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))


def defaults_of(function):
    return {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}


@pytest.mark.parametrize("function", [explain, InteractionMonitor])
def test_they_have_the_names_and_defaults_of_the_arguments(function):
    assert ExplainSettings().arguments().items() <= defaults_of(function).items()


def test_a_monitor_keeps_them_all_and_another_can_be_made_like_it():
    assert set(OTHER) == {field.name for field in fields(ExplainSettings)}
    monitor = InteractionMonitor(Columns(3), **OTHER)
    assert monitor.settings == ExplainSettings(**OTHER)
    assert InteractionMonitor(Columns(3), **monitor.settings.arguments()).settings == monitor.settings
    with pytest.raises(FrozenInstanceError):
        monitor.settings.solver = "admm"


def test_every_setting_reaches_the_explanation(network, samples):
    options = {name: value for name, value in OTHER.items() if name not in ("channels_last", "compiled")}
    found = ExplainSettings(**options).explain(network, samples, Columns(3))
    expected = explain(network, samples.inputs, samples.targets, Columns(3), **options)
    assert torch.equal(found.values, expected.values)
    assert torch.equal(found.and_, expected.and_)
    assert found.provenance == expected.provenance


def test_an_argument_of_the_call_goes_first(network, samples):
    settings = ExplainSettings(output="margin", solver="none")
    found = settings.explain(network, samples, Columns(3), solver="interior_point", seed=5)
    expected = explain(
        network, samples.inputs, samples.targets, Columns(3), output="margin", solver="interior_point", seed=5
    )
    assert torch.equal(found.and_, expected.and_)
    assert found.provenance == expected.provenance


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("output", "loss", ValueError),
        ("noise_ratio", -0.1, ValueError),
        ("noise_ratio", "2 %", TypeError),
        ("mask_batch_size", 0, ValueError),
        ("precision", "tf32", ValueError),
    ],
)
def test_what_cannot_be_is_refused_at_once(name, value, error):
    with pytest.raises(error, match=f"`{name}` must be"):
        ExplainSettings(**{name: value})
