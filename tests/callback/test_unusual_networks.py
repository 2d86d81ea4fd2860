"""The monitor only watches networks, too, that are more than layers with weights."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.parameter import is_lazy

from lightning_interactions.callback.reference_network import weights_of

pytestmark = pytest.mark.usefixtures("quick")


class LowRank(nn.Linear):
    """A layer with a low-rank change of its weights, which ``eval()`` adds to them and ``train()`` takes off again."""

    def __init__(self, n_in, n_out):
        super().__init__(n_in, n_out)
        self.weight.requires_grad_(requires_grad=False)
        self.down, self.up = nn.Parameter(torch.randn(2, n_in)), nn.Parameter(torch.randn(n_out, 2))
        self.merged = False
        self.calls = 0

    def train(self, mode=True):
        self.calls += 1
        if self.merged == mode:
            self.weight.data += (-1 if mode else 1) * self.up @ self.down
            self.merged = not mode
        return super().train(mode)

    def forward(self, x):
        own = super().forward(x)
        return own if self.merged else own + functional.linear(x, self.up @ self.down)


@pytest.mark.parametrize("limit_val_batches", [2, 0], ids=["validating", "not validating"])
def test_a_network_whose_weights_are_changed_by_train_and_eval(
    limit_val_batches, fit, make_module, make_monitor, conv_module_class, draw, assert_same_training
):
    class Adapted(conv_module_class):
        def __init__(self):
            super().__init__()
            self.head[3] = LowRank(16, 3)

    def run(*callbacks):
        return fit(*callbacks, module=make_module(Adapted), limit_val_batches=limit_val_batches)

    monitor = make_monitor(samples=draw(4, 2))
    watched, plain = run(monitor), run()
    assert monitor.history.column("failures") == [0, 0, 0]
    assert monitor.history[2]["l1"] > 0
    assert watched[1].head[3].calls == plain[1].head[3].calls
    assert_same_training(watched, plain)


@pytest.fixture
def make_lazy(make_module, conv_module_class):
    """A module whose last layer, and perhaps a spare one, has no weights before it has run."""

    class Lazy(conv_module_class):
        def __init__(self, *, spare):
            super().__init__()
            self.head[3] = nn.LazyLinear(3)
            if spare:
                self.spare = nn.LazyLinear(2)

    return lambda spare=False: make_module(Lazy, spare=spare)


def same_tensor(one, other):
    return is_lazy(one) and is_lazy(other) if is_lazy(one) or is_lazy(other) else torch.equal(one, other)


@pytest.mark.parametrize("spare", [False, True], ids=["all layers run", "one never runs"])
@pytest.mark.parametrize("every_n_epochs", [1, 2])
def test_a_network_without_weights_before_its_first_batch(
    every_n_epochs, spare, fit, make_lazy, make_monitor, monitor_warnings
):
    monitor = make_monitor(every_n_epochs=every_n_epochs)
    with pytest.warns(UserWarning, match="untrained network is not measured") as recorded:
        _, watched = fit(monitor, module=make_lazy(spare), num_sanity_val_steps=0)
    _, plain = fit(module=make_lazy(spare), num_sanity_val_steps=0)

    assert len(monitor_warnings(recorded)) == 1
    assert monitor.history.epochs == [1, 2][every_n_epochs - 1 :]
    assert set(monitor.history.column("failures")) == {0}
    assert monitor.history[2]["l1"] > 0
    assert watched.train_metrics == plain.train_metrics
    assert all(map(same_tensor, watched.parameters(), plain.parameters()))


def test_such_a_network_is_measured_untrained_where_a_sanity_check_has_run_it(fit, make_lazy, make_monitor):
    monitor = make_monitor()
    fit(monitor, module=make_lazy(), num_sanity_val_steps=1)
    assert monitor.history.epochs == [0, 1, 2]
    assert monitor.failures == 0


def test_a_checkpoint_is_the_reference_of_such_a_network_once_it_has_weights(fit, make_lazy, make_monitor, tmp_path):
    trainer, _ = fit(module=make_lazy(), num_sanity_val_steps=0)
    trainer.save_checkpoint(tmp_path / "earlier.ckpt")
    monitor = make_monitor(reference=tmp_path / "earlier.ckpt")
    with pytest.warns(UserWarning, match="untrained network is not measured"):
        fit(monitor, module=make_lazy(), num_sanity_val_steps=0)
    assert monitor.failures == 0
    assert monitor._fits.reference.l1.mean() == pytest.approx(monitor.history[2]["l1"])  # the same training


def test_a_wrong_reference_of_such_a_network_costs_the_reference_alone(fit, make_lazy, make_monitor, tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    monitor = make_monitor(reference=tmp_path / "foreign.ckpt")
    with pytest.warns(UserWarning, match=r"(?s)no checkpoint of this Lazy.*made from 'onset' instead"):
        fit(monitor, module=make_lazy(), num_sanity_val_steps=0)
    assert monitor.history.column("failures") == [0, 0]
    with pytest.raises(ValueError, match="no checkpoint of this Lazy"):
        fit(
            make_monitor(reference=tmp_path / "foreign.ckpt", on_error="raise"),
            module=make_lazy(),
            num_sanity_val_steps=0,
        )


def test_a_network_with_a_sparse_buffer(fit, make_module, make_monitor, conv_module_class, tmp_path):
    class Graph(conv_module_class):
        def __init__(self):
            super().__init__()
            self.register_buffer("graph", torch.eye(16).to_sparse())
            self.head[2] = nn.Dropout(0.0)

        def forward(self, x):
            flat = self.head[:3](self.features(x))
            return self.head[3](torch.sparse.mm(self.graph, flat.T).T)

    trainer, plain = fit(module=make_module(Graph))
    trainer.save_checkpoint(tmp_path / "earlier.ckpt")
    monitor = make_monitor(reference=tmp_path / "earlier.ckpt")
    _, watched = fit(monitor, module=make_module(Graph))
    assert monitor.failures == 0
    assert monitor._noise_floor.effect[0] < 1e-4
    assert monitor._fits.reference.l1.mean() == pytest.approx(monitor.history[2]["l1"])
    assert watched.train_metrics == plain.train_metrics
    assert torch.equal(watched.graph.to_dense(), torch.eye(16))


class Scaled(nn.Module):
    """Keeps a number beside its tensors, as a quantized layer keeps its scale."""

    def __init__(self):
        super().__init__()
        self.state = {"scale": 1.0}

    def get_extra_state(self):
        return self.state

    def set_extra_state(self, state):
        self.state.update(state)

    def forward(self, x):
        return x * self.state["scale"]


def test_extra_state_comes_from_the_checkpoint_and_goes_with_it(make_module, conv_module_class, tmp_path):
    module = make_module(conv_module_class)
    module.scaled = Scaled()
    other = {key: torch.zeros_like(value) for key, value in module.state_dict().items() if key[:6] != "scaled"}
    torch.save({"state_dict": other | {"scaled._extra_state": {"scale": 3.0}}}, tmp_path / "earlier.ckpt")
    before = {key: value.clone() for key, value in module.named_parameters()}
    with weights_of(module, tmp_path / "earlier.ckpt"):
        assert module.scaled.state == {"scale": 3.0}
        assert not module.head[3].weight.any()
    assert module.scaled.state == {"scale": 1.0}
    assert all(torch.equal(value, before[key]) for key, value in module.named_parameters())


def test_extra_state_that_is_no_plain_data_is_refused(make_module, conv_module_class, tmp_path):
    module = make_module(conv_module_class)
    module.scaled = Scaled()
    module.scaled.state["scale"] = pytest.approx(1.0)
    torch.save({"state_dict": module.state_dict()}, tmp_path / "earlier.ckpt")
    with (
        pytest.raises(ValueError, match=r"(?s)no checkpoint of this ConvModule.*weights_only=True"),
        weights_of(module, tmp_path / "earlier.ckpt"),
    ):
        pass
    assert module.scaled.state == {"scale": 1.0}
