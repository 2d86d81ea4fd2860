"""ResNet-20 for small images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional

from experiments.models.initialise import initialise

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ResNet20"]


class _BasicBlock(nn.Module):
    """Two 3 × 3 convolutions with batch norm and a shortcut without weights.

    Where the block halves the image and widens the channels, the shortcut takes every second pixel and fills the new
    channels with zeros (option A of He et al., 2016, section 4.2).

    Args:
        in_channels: channels of the input.
        channels: channels of the output.
        stride: 2 to halve height and width.
    """

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.new_channels = channels - in_channels
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, in_channels, H, W)`` to ``(B, channels, H / stride, W / stride)``."""
        before = self.new_channels // 2
        shortcut = functional.pad(
            x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.new_channels - before)
        )
        return functional.relu(self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x))))) + shortcut)


class ResNet20(nn.Module):
    """The 20-layer residual network for CIFAR of He et al. (2016): 0.27 million weights.

    Three stages ``layer1`` … ``layer3`` of three blocks with 16, 32 and 64 channels, the mean over the image, one
    linear layer.

    Args:
        num_classes: number of classes.
        in_channels: 1 for grey images, 3 for colour.
        width: factor on the channels.

    Example:
        >>> import torch
        >>> ResNet20(in_channels=1)(torch.zeros(2, 1, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3, width: float = 1.0) -> None:
        super().__init__()
        first, second, third = (max(4, round(channels * width)) for channels in (16, 32, 64))
        self.conv1 = nn.Conv2d(in_channels, first, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.layer1 = _stage(first, first, stride=1)
        self.layer2 = _stage(first, second, stride=2)
        self.layer3 = _stage(second, third, stride=2)
        self.fc = nn.Linear(third, num_classes)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, num_classes)`` of images ``(B, in_channels, H, W)``."""
        x = functional.relu(self.bn1(self.conv1(images)))
        return self.fc(self.layer3(self.layer2(self.layer1(x))).mean(dim=(2, 3)))


def _stage(in_channels: int, channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        _BasicBlock(in_channels, channels, stride), _BasicBlock(channels, channels), _BasicBlock(channels, channels)
    )
