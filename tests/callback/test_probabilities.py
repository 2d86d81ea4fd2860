"""A network that returns probabilities is warned of, and one that returns logits is not, trained or not."""

import warnings

import pytest
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from lightning_interactions.callback.probabilities import Suspicion, are_distributions

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def said(fit, make_monitor, make_module, conv_module_class, make_loaders, draw, monitor_warnings):
    """What the monitor warns of in a training, with a network of one class or three that ends with ``last``."""

    class Module(conv_module_class):
        last = staticmethod(lambda logits: logits)

        def forward(self, x):
            return self.last(super().forward(x))

        def loss(self, batch):
            if self.head[-1].out_features > 1:
                return super().loss(batch)
            logits = self.head(self.features(batch[0])).flatten()
            return functional.binary_cross_entropy_with_logits(logits, batch[1].float())

    def binary(n, seed, ones):
        images, labels = draw(n, seed)
        return DataLoader(TensorDataset(images, sum((labels == one).long() for one in ones)), 8)

    def run(last, *, classes=3, ones=(0,), **options):
        module = make_module(Module, classes=classes)
        module.last = last
        loaders = make_loaders() if classes > 1 else (binary(24, 1, ones), binary(12, 2, ones))
        monitor = make_monitor(n_loss_samples=24, **options)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fit(monitor, module=module, loaders=loaders, max_epochs=3)
        assert monitor.failures == 0
        assert monitor.history.epochs == [0, 1, 2, 3]
        return [text for text in monitor_warnings(caught) if "probabilities" in text]

    return run


def own_output(logits, targets):
    return logits[torch.arange(len(logits)), targets]


def own_loss(logits, targets):
    return -own_output(logits, targets).mean()


@pytest.mark.parametrize("options", [{}, {"output": own_output}, {"loss": own_loss}, {"output": "margin"}])
def test_a_softmax_is_warned_of_once(options, said):
    (text,) = said(lambda logits: logits.softmax(dim=1), **options)
    assert "HINT: pass `forward=lambda model, inputs: model(inputs).log()`" in text


@pytest.mark.parametrize("ones", [(0,), (1, 2)], ids=["a third", "two thirds"])
def test_a_sigmoid_is_warned_of_once(ones, said):
    (text,) = said(torch.sigmoid, classes=1, ones=ones)
    assert "`forward=lambda model, inputs: torch.logit(model(inputs))`" in text


def test_what_the_hint_says_is_no_longer_warned_of(said):
    assert said(lambda logits: logits.softmax(dim=1), forward=lambda model, inputs: model(inputs).log()) == []
    assert said(torch.sigmoid, classes=1, forward=lambda model, inputs: torch.logit(model(inputs))) == []


@pytest.mark.parametrize("classes", [1, 3])
def test_logits_are_not(classes, said):
    assert said(lambda logits: logits, classes=classes) == []


def test_nor_are_probabilities_that_only_functions_of_the_user_read(said):
    assert said(lambda logits: logits.softmax(dim=1), output=own_output, loss=own_loss) == []


@pytest.mark.parametrize("base_rate", [0.5, 0.6, 0.75, 0.95])
@pytest.mark.parametrize("spread", [0.001, 0.05])
def test_single_logits_of_a_network_that_has_learned_little(base_rate, spread):
    """It has learned how often class 1 is: with more than half of it and up to 73 %, all logits lie between 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    labels = (torch.arange(500) < 500 * base_rate).float()
    rate = torch.tensor(base_rate)
    for logits, raised in ((torch.logit(rate), False), (rate, True)):
        suspicion = Suspicion(lambda *_: torch.tensor(0.0))
        suspicion((logits + spread * torch.rand(500, generator=generator)).unsqueeze(1), labels)
        assert suspicion.raised is raised


def test_a_logit_among_probabilities_takes_the_suspicion_away():
    suspicion = Suspicion(lambda *_: torch.tensor(0.0))
    suspicion(torch.full((4, 2), 0.5), torch.zeros(4))
    assert suspicion.raised
    suspicion(torch.tensor([[0.5, 0.5], [0.9, 1.2]]), torch.zeros(2))
    assert not suspicion.raised


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_distributions_of_any_precision(dtype):
    rows = torch.randn(50, 200, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
    assert are_distributions(rows.to(dtype))
    assert not are_distributions(rows.to(dtype) * 1.05)
    assert not are_distributions(rows.log().to(dtype))


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 2, 2)])
def test_other_shapes_are_no_distributions(shape):
    assert not are_distributions(torch.ones(shape) / shape[-1])
    assert not are_distributions(torch.tensor([[0, 1], [1, 0]]))


def test_outputs_and_labels_that_are_not_understood_raise_no_suspicion():
    loss = Suspicion(lambda *_: torch.tensor(0.0))
    for logits, labels in (
        (torch.rand(3, 2, 4, 4), torch.zeros(3, 4, 4)),
        (torch.rand(3), torch.zeros(3, 2)),
        (torch.rand(3), torch.tensor([0, 1, 2])),
        (torch.tensor([0.1, float("nan"), 0.2]), torch.zeros(3)),
    ):
        loss(logits, labels)
        assert not loss.raised
