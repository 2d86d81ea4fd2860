"""VGG networks at any width, for small images and large."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from experiments.models.initialise import initialise

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["VGG", "VGG11", "VGG13", "VGG16", "Head"]

Head = Literal["linear", "torchvision"]
"""What follows the feature stack: see :class:`VGG`."""

_POOLED = 7
_HIDDEN = 4096


class VGG(nn.Module):
    """torchvision's VGG feature stack with every layer's channels scaled.

    torchvision's own head, two hidden layers of 4,096 after a pooling to 7 × 7, has 120 million weights and is made for
    224-pixel images; 32-pixel images leave one pixel before it. The other head is one linear layer on the mean over
    what is left of the image. The weights are initialised as torchvision does: Kaiming normal, fan-out, for
    convolutions, N(0, 0.01²) for the last layer.

    Args:
        num_classes: number of classes.
        width: factor on the 64 … 512 channels, and on the 4,096 units of torchvision's head.
        narrowest: fewest channels of a layer.
        head: ``"linear"`` or ``"torchvision"``.

    Raises:
        ValueError: if ``head`` is unknown.
    """

    layers: ClassVar[str]
    """Letter of the layout in torchvision, which a subclass names."""

    def __init__(self, num_classes: int = 10, width: float = 1.0, narrowest: int = 16, head: Head = "linear") -> None:
        super().__init__()
        layout = [item if isinstance(item, str) else max(narrowest, round(item * width)) for item in cfgs[self.layers]]
        self.features = make_layers(layout)
        channels = next(item for item in reversed(layout) if not isinstance(item, str))
        self.head: nn.Module
        if head == "linear":
            self.head = nn.Linear(channels, num_classes)
        elif head == "torchvision":
            self.head = _torchvision_head(channels, round(_HIDDEN * width), num_classes)
        else:
            msg = f"`head` must be 'linear' or 'torchvision', got {head!r}."
            raise ValueError(msg)
        self._averages = head == "linear"
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, num_classes)`` of images ``(B, 3, H, W)`` of at least 32 × 32 pixels."""
        features = self.features(images)
        return self.head(features.mean(dim=(2, 3)) if self._averages else features)


class VGG11(VGG):
    """VGG-11. Its second ReLU is ``features.4``. The arguments are those of :class:`VGG`.

    Example:
        >>> import torch
        >>> VGG11(width=0.125)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    layers = "A"


class VGG13(VGG):
    """VGG-13. Its second ReLU is ``features.3``. The arguments are those of :class:`VGG`."""

    layers = "B"


class VGG16(VGG):
    """VGG-16. Its second ReLU is ``features.3``. The arguments are those of :class:`VGG`."""

    layers = "D"


def _torchvision_head(channels: int, hidden: int, num_classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(_POOLED),
        nn.Flatten(),
        nn.Linear(channels * _POOLED**2, hidden),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(hidden, num_classes),
    )
