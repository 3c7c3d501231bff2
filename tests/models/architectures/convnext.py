"""ConvNeXt (Liu et al., arXiv 2201.03545) at timm's size "femto": depths 2, 2, 6, 2 and widths 48 to 384."""

from __future__ import annotations

import torch
from tests.models.architectures.layers import channels_last_norm
from torch import Tensor, nn


class Block(nn.Module):
    """A 7x7 depthwise convolution, then a two-layer perceptron on the channels, scaled per channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.scale = nn.Parameter(torch.linspace(0.3, 0.7, width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + (self.scale * self.perceptron(y)).permute(0, 3, 1, 2)


class Downsample(nn.Module):
    """Normalization, then a strided convolution of 2x2."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width_in, eps=1e-6)
        self.conv = nn.Conv2d(width_in, width_out, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(channels_last_norm(self.norm, x))


class ConvNeXtFemto(nn.Module):
    """(batch, 3, 224, 224) to (batch, classes)."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        widths = (48, 96, 192, 384)
        self.stem = nn.Conv2d(3, widths[0], 4, 4)
        self.stem_norm = nn.LayerNorm(widths[0], eps=1e-6)
        layers: list[nn.Module] = []
        for stage, depth in enumerate((2, 2, 6, 2)):
            if stage:
                layers.append(Downsample(widths[stage - 1], widths[stage]))
            layers += [Block(widths[stage]) for _ in range(depth)]
        self.stages = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(widths[-1], eps=1e-6)
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(channels_last_norm(self.stem_norm, self.stem(x)))
        return self.classifier(self.norm(x.mean([-2, -1])))
