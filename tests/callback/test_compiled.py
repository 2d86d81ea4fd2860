"""Networks that ``torch.compile`` has changed, wholly or in part: measured as before, and left as they are."""

import pytest
import torch

from lightning_interactions import FeatureMapPatches, explain

pytestmark = pytest.mark.usefixtures("quick")


def replaced(module):
    module.features = torch.compile(module.features, backend="eager")


def in_place(module):
    module.features.compile(backend="eager")


def the_layer_alone(module):
    module.features[4] = torch.compile(module.features[4], backend="eager")


def whole(module):
    module.compile(backend="eager")


@pytest.fixture(autouse=True)
def _nothing_compiled_before():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def test_a_compiled_module(fit, make_module, make_monitor, assert_same_training):
    expected = make_monitor()
    fit(expected, max_epochs=1)
    for way in (replaced, in_place, the_layer_alone, whole):
        torch.compiler.reset()
        watched, plain = make_module(), make_module()
        way(watched)
        way(plain)
        monitor = make_monitor()
        assert_same_training(fit(monitor, module=watched, max_epochs=1), fit(module=plain, max_epochs=1))
        assert monitor.failures == 0, way
        # This backend trains bitwise as without a compiler, so that epoch 1 is the same network, too.
        for key in ("l1", "positive", "negative", "held_out_loss"):
            assert monitor.history.column(key) == expected.history.column(key), (way, key)
        assert torch.equal(monitor.interactions.values, expected.interactions.values), way


@pytest.mark.long
def test_a_module_given_to_the_trainer_compiled(make_module, make_monitor, make_trainer, make_loaders):
    def train(*callbacks):
        module = make_module()
        torch.compiler.reset()
        torch.manual_seed(7)
        make_trainer(*callbacks, max_epochs=2).fit(torch.compile(module, backend="eager"), *make_loaders())
        return module.state_dict()

    monitor = make_monitor()
    watched, plain = train(monitor), train()
    assert monitor.failures == 0
    assert monitor.history.epochs == [0, 1, 2]
    assert all(torch.equal(value, plain[key]) for key, value in watched.items())


def test_compiled_code_is_used_again_afterwards(draw, make_module):
    compilations = []

    def backend(graph, _):
        compilations.append(graph)
        return graph.forward

    module = make_module().eval()
    module.features = torch.compile(module.features, backend=backend)
    images, labels = draw(4, 1)
    with torch.no_grad():
        module(images)
    assert len(compilations) == 1
    patches = FeatureMapPatches("features.4", grid=4, border=1, n_variables=3)
    found = explain(module, images, labels, patches)
    with torch.no_grad():
        module(images)
    assert len(compilations) == 1
    assert found.l1.max() > 0


def test_a_compiled_network_is_explained_like_the_network(draw, make_module):
    module = make_module()
    images, labels = draw(4, 1)
    patches = FeatureMapPatches("features.4", grid=4, border=1, n_variables=3)
    found = explain(torch.compile(module, backend="eager"), images, labels, patches)
    assert torch.equal(found.values, explain(module, images, labels, patches).values)
