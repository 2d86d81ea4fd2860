"""Starting weights of every network that is trained from nothing here."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["initialise"]


def initialise(network: nn.Module) -> None:
    """Draw the weights as torchvision does for its VGG networks; no biases.

    Convolutions by Kaiming's normal rule for ReLU with the fan-out, the last linear layer from N(0, 0.01²). Hidden
    linear layers follow Kaiming's rule with the fan-in, because at a small width 0.01 is so little that training does
    not start. A network drawn so combines its inputs in middle orders before it is trained; PyTorch's default, whose
    biases are large beside its weights, does not show that in a network of few layers.

    Args:
        network: changed in place; its last linear layer makes the logits.
    """
    *hidden, last = [module for module in network.modules() if isinstance(module, nn.Linear)]
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    for convolution in convolutions:
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    for linear in hidden:
        nn.init.kaiming_normal_(linear.weight, mode="fan_in", nonlinearity="relu")
    nn.init.normal_(last.weight, 0, 0.01)
    for biases in [module.bias for module in (*convolutions, *hidden, last)]:
        if isinstance(biases, Tensor):
            nn.init.zeros_(biases)
