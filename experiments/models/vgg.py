"""VGG networks at any width, for small images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torchvision.models.vgg import cfgs, make_layers

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["VGG11"]


class VGG11(nn.Module):
    """torchvision's VGG-11 feature stack with every layer's channels scaled, and one linear layer as head.

    torchvision's own head has 120 million weights for 224-pixel images; 32-pixel images leave one pixel before it. The
    weights are initialised as torchvision does: Kaiming normal, fan-out, for convolutions, N(0, 0.01²) for the head.

    Args:
        num_classes: number of classes.
        width: factor on the 64 … 512 channels of VGG-11.
        narrowest: fewest channels of a layer.
    """

    def __init__(self, num_classes: int = 10, width: float = 1.0, narrowest: int = 16) -> None:
        super().__init__()
        layout = [item if isinstance(item, str) else max(narrowest, round(item * width)) for item in cfgs["A"]]
        self.features = make_layers(layout)
        channels = next(item for item in reversed(layout) if not isinstance(item, str))
        self.head = nn.Linear(channels, num_classes)
        for name, weights in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(weights)
            elif name.startswith("features"):
                nn.init.kaiming_normal_(weights, mode="fan_out", nonlinearity="relu")
            else:
                nn.init.normal_(weights, 0, 0.01)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, num_classes)`` of images ``(B, 3, 32, 32)``; larger images are averaged over what is left."""
        return self.head(self.features(images).mean(dim=(2, 3)))
