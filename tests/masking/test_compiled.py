"""Compiled networks: ours by choice, and the user's, which are seen as they were before."""

import warnings

import pytest
import torch
from torch import nn

from lightning_interactions import explain
from lightning_interactions.masking import compiled as module
from lightning_interactions.masking.feature_map import FeatureMapPatches
from lightning_interactions.masking.forward import values
from lightning_interactions.masking.inputs import InputPatches


class Net(nn.Module):
    """A chain whose parts are called by hand, so that no table can be made of it."""

    def __init__(self, parts):
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x):
        for part in self.parts:
            x = part(x)
        return x


def network(kind=nn.Sequential):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3), nn.ReLU(inplace=True)]
        parts += [nn.Flatten(), nn.Linear(4 * 7 * 9, 4)]
        return kind(*parts).double() if kind is nn.Sequential else kind(parts).double()


@pytest.fixture
def compilations(monkeypatch):
    """How often something was compiled; what is compiled runs as it was traced."""
    seen = []

    def backend(graph, _inputs):
        seen.append(graph)
        return graph.forward

    use(backend, monkeypatch)
    return seen


def use(backend, monkeypatch):
    torch._dynamo.reset()
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda run: compile_(run, backend=backend))
    module._compiled.cache_clear()
    module.uncompilable.clear()


CASES = {
    "split": (Net, FeatureMapPatches("parts.0", grid=3, border=0, n_variables=4)),
    "local": (nn.Sequential, FeatureMapPatches("0", grid=3, border=0, n_variables=4)),
    "inputs": (nn.Sequential, InputPatches(3, 0, 4)),
}


@pytest.mark.parametrize("mask_batch_size", [8, 48])
@pytest.mark.parametrize("case", CASES)
def test_compiled_once_and_right_while_the_network_trains(case, mask_batch_size, images, classes, compilations):
    kind, variables = CASES[case]
    model, draws = network(kind), variables.draw(images[:3])
    for _ in range(3):
        plain, found = (
            values(model, images[:3], classes[:3], variables, draws, mask_batch_size=mask_batch_size, compiled=compiled)
            for compiled in (False, True)
        )
        torch.testing.assert_close(found, plain, rtol=1e-9, atol=1e-9)
        for parameter in model.parameters():
            parameter.data.add_(torch.randn_like(parameter), alpha=0.1)

    assert len(compilations) == 1
    assert not any(part._forward_hooks for part in model.modules())


def test_explain_compiles_when_asked_to(images, classes, compilations):
    kind, variables = CASES["split"]
    plain, found = (
        explain(network(kind), images, classes, variables, solver="none", compiled=compiled)
        for compiled in (False, True)
    )

    torch.testing.assert_close(found.and_, plain.and_, rtol=1e-9, atol=1e-9)
    assert len(compilations) == 1


def test_what_lies_before_the_mask_is_left_out(images, classes, compilations):
    values(network(Net), images, classes, CASES["split"][1], CASES["split"][1].draw(images), compiled=True)

    (graph,) = compilations
    graph.graph.eliminate_dead_code()
    convolutions = [node for node in graph.graph.nodes if "conv2d" in str(node.target)]
    assert len(convolutions) == 1


def test_another_layer_of_the_same_network_is_another_code(images, classes, compilations):
    model = network(Net)
    for layer in ("parts.0", "parts.2", "parts.0"):
        patches = FeatureMapPatches(layer, grid=3, border=0, n_variables=4)
        plain, found = (
            values(model, images, classes, patches, patches.draw(images), compiled=compiled)
            for compiled in (False, True)
        )
        torch.testing.assert_close(found, plain, rtol=1e-9, atol=1e-9)

    assert len(compilations) == 2


def refuse(_graph, _inputs):
    msg = "no compiler here"
    raise NotImplementedError(msg)


def distort(graph, _inputs):
    return lambda *arguments: tuple(output + 0.1 for output in graph(*arguments))


@pytest.mark.parametrize(("backend", "message"), [(refuse, "no compiler here"), (distort, "gave other numbers")])
def test_a_network_that_cannot_be_compiled_is_run_as_it_is_with_one_warning(
    backend, message, images, classes, monkeypatch
):
    use(backend, monkeypatch)
    kind, variables = CASES["split"]
    model, draws = network(kind), variables.draw(images)
    plain = values(model, images, classes, variables, draws)
    with pytest.warns(UserWarning, match=rf"run as it is, because the compiled one .*{message}") as caught:
        found = values(model, images, classes, variables, draws, compiled=True, mask_batch_size=8)
    assert len(caught) == 1
    assert torch.equal(found, values(model, images, classes, variables, draws, mask_batch_size=8))
    torch.testing.assert_close(found, plain, rtol=1e-9, atol=1e-9)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values(model, images, classes, variables, draws, compiled=True)


def test_a_lack_of_memory_in_compiled_code_halves_the_chunk(images, classes, monkeypatch):
    sizes = []

    def backend(graph, _inputs):
        def run(*arguments):
            (logits,) = graph(*arguments)
            sizes.append(len(logits))
            if len(logits) > 8:
                raise torch.OutOfMemoryError
            return (logits,)

        return run

    use(backend, monkeypatch)
    kind, variables = CASES["split"]
    model, draws = network(kind), variables.draw(images)
    found = values(model, images, classes, variables, draws, compiled=True, mask_batch_size=32)

    torch.testing.assert_close(found, values(model, images, classes, variables, draws), rtol=1e-9, atol=1e-9)
    assert sizes == [32, 16, *[8] * 10]


def test_a_lack_of_memory_before_the_comparison_does_not_end_it(images, classes, compilations):
    kind, variables = CASES["split"]
    model, draws = network(kind), variables.draw(images)
    plain = values(model, images, classes, variables, draws)
    short = model.parts[2].register_forward_hook(run_out_of_memory_above(8))
    found = values(model, images, classes, variables, draws, compiled=True, mask_batch_size=32)
    short.remove()

    torch.testing.assert_close(found, plain, rtol=1e-9, atol=1e-9)
    assert len(compilations) == 1


def run_out_of_memory_above(limit):
    def hook(_module, _arguments, output):
        if len(output) > limit:
            raise torch.OutOfMemoryError

    return hook


def whole(model, backend):
    return torch.compile(model, backend=backend)


def in_place(model, backend):
    model.compile(backend=backend)
    return model


def in_part(model, backend):
    model.parts[2] = torch.compile(model.parts[2], backend=backend)
    return model


@pytest.mark.parametrize("layer", ["parts.0", "parts.2"])
@pytest.mark.parametrize("how", [whole, in_place, in_part])
def test_a_network_that_the_user_compiled_is_seen_as_it_was(how, layer, images, classes):
    seen = []

    def backend(graph, _inputs):
        seen.append(graph)
        return graph.forward

    torch._dynamo.reset()
    patches = FeatureMapPatches(layer, grid=3, border=0, n_variables=4)
    plain = values(network(Net), images, classes, patches, patches.draw(images))
    model = how(network(Net), backend).eval()
    with torch.no_grad():
        logits = model(images)
    assert len(seen) == 1

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = values(model, images, classes, patches, patches.draw(images))
    assert torch.equal(found, plain)
    assert len(seen) == 1
    with torch.no_grad():
        assert torch.equal(model(images), logits)  # the user's code is still there, and whole
    assert len(seen) == 1


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_the_real_compiler(images, classes):
    torch._dynamo.reset()
    module._compiled.cache_clear()
    module.uncompilable.clear()
    kind, variables = CASES["local"]
    model, draws = network(kind).float(), variables.draw(images)
    plain, found = (
        values(model, images.float(), classes, variables, draws, compiled=compiled) for compiled in (False, True)
    )

    torch.testing.assert_close(found, plain, rtol=0, atol=1e-5)
    assert model not in module.uncompilable
