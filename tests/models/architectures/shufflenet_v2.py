"""ShuffleNetV2 1x (Ma et al., arXiv 1807.11164)."""

from __future__ import annotations

import torch
from tests.models.architectures.layers import conv_norm
from torch import Tensor, nn


def shuffle(x: Tensor, groups: int = 2) -> Tensor:
    """Interleaves the channels of `groups` groups."""
    _, channels, height, width = x.shape
    return x.view(-1, groups, channels // groups, height, width).transpose(1, 2).reshape(-1, channels, height, width)


def branch(channels_in: int, channels_out: int, stride: int) -> list[nn.Module]:
    """A depthwise convolution, then a pointwise one."""
    return [
        conv_norm(channels_in, channels_in, 3, stride, channels_in, activation=None),
        conv_norm(channels_in, channels_out),
    ]


class Unit(nn.Module):
    """Splits the channels, works on one half, joins and shuffles; with stride 2 both branches see all channels."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        half = channels_out // 2
        self.split = stride == 1
        self.left = nn.Identity() if self.split else nn.Sequential(*branch(channels_in, half, stride))
        self.right = nn.Sequential(conv_norm(half if self.split else channels_in, half), *branch(half, half, stride))

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, dim=1) if self.split else (x, x)
        return shuffle(torch.cat([self.left(left), self.right(right)], dim=1))


class ShuffleNetV2(nn.Module):
    """(batch, 3, 224, 224) to (batch, classes)."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv_norm(3, 24, 3, 2), nn.MaxPool2d(3, 2, 1)]
        channels = 24
        for channels_out, units in ((116, 4), (232, 8), (464, 4)):
            for unit in range(units):
                layers.append(Unit(channels, channels_out, 2 if unit == 0 else 1))
                channels = channels_out
        layers.append(conv_norm(channels, 1024))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(1024, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean([2, 3]))
