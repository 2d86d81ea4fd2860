"""LeNet-5 with ReLU and max pooling, as it is used today."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from experiments.models.initialise import initialise

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LeNet"]

_SMALLEST_IMAGE = 16


class LeNet(nn.Module):
    """Two convolutions of 5 × 5 with 6 and 16 channels, each with ReLU and 2 × 2 max pooling, then 120, 84 and logits.

    The first ReLU is ``features.1``. At 32 pixels and ten classes this has the 61,706 weights of the original's
    published size.

    Args:
        num_classes: number of classes.
        in_channels: 1 for grey images, 3 for colour.
        image_size: height and width of the images in pixels.

    Raises:
        ValueError: if nothing is left of an image after the convolutions.

    Example:
        >>> import torch
        >>> LeNet()(torch.zeros(2, 1, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1, image_size: int = 32) -> None:
        super().__init__()
        if image_size < _SMALLEST_IMAGE:
            msg = f"`image_size` must be at least {_SMALLEST_IMAGE}, got {image_size}."
            raise ValueError(msg)
        side = ((image_size - 4) // 2 - 4) // 2
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(16 * side**2, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, num_classes),
        )
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, num_classes)`` of images ``(B, in_channels, image_size, image_size)``."""
        return self.classifier(self.features(images))
