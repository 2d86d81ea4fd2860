"""AlexNet at any width."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from experiments.models.initialise import initialise

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["AlexNet"]

_CHANNELS = (64, 192, 384, 256, 256)
_HIDDEN = 4096
_POOLED = 6


class AlexNet(nn.Module):
    """torchvision's AlexNet with every layer's channels and hidden units scaled.

    The first ReLU is ``features.1``. The smallest images are of 63 × 63 pixels.

    Args:
        num_classes: number of classes.
        width: factor on the 64 … 384 channels and on the 4,096 hidden units.
        dropout: share of hidden units dropped in training.
        pooled: height and width of the map before the hidden layers; torchvision's 6 is made for 224-pixel images, of
            which 64-pixel ones leave one pixel.

    Example:
        >>> import torch
        >>> AlexNet(width=0.25, pooled=1)(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 10])
    """

    def __init__(self, num_classes: int = 10, width: float = 1.0, dropout: float = 0.5, pooled: int = _POOLED) -> None:
        super().__init__()
        first, second, third, fourth, fifth = (round(channels * width) for channels in _CHANNELS)
        hidden = round(_HIDDEN * width)
        self.features = nn.Sequential(
            nn.Conv2d(3, first, 11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(first, second, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(second, third, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(third, fourth, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(fourth, fifth, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
        )
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(pooled),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(fifth * pooled**2, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, num_classes),
        )
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, num_classes)`` of images ``(B, 3, H, W)``."""
        return self.classifier(self.features(images))
