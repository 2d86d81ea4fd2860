"""The monitor only watches networks, too, that are more than layers with weights."""

import pytest
import torch
from torch import nn
from torch.nn import functional

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
