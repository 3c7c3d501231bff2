"""A small U-Net (Ronneberger et al., arXiv 1505.04597), padded so that output and input have one extent."""

from __future__ import annotations

import torch
from tests.models.architectures.layers import conv_norm
from torch import Tensor, nn


def double_conv(channels_in: int, channels_out: int) -> nn.Sequential:
    """Two convolutions of 3x3."""
    return nn.Sequential(conv_norm(channels_in, channels_out, 3), conv_norm(channels_out, channels_out, 3))


class Up(nn.Module):
    """Doubles the extent, joins what came across and convolves."""

    def __init__(self, channels: int, bilinear: bool) -> None:
        super().__init__()
        half = channels // 2
        self.up: nn.Module = nn.ConvTranspose2d(channels, half, 2, 2)
        if bilinear:
            self.up = nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(channels, half, 1))
        self.conv = double_conv(channels, half)

    def forward(self, x: Tensor, across: Tensor) -> Tensor:
        return self.conv(torch.cat([across, self.up(x)], dim=1))


class UNet(nn.Module):
    """(batch, 3, 16 h, 16 w) to (batch, classes, 16 h, 16 w)."""

    def __init__(self, classes: int = 2, width: int = 16, bilinear: bool = False) -> None:
        super().__init__()
        widths = [width << level for level in range(5)]
        self.first = double_conv(3, width)
        self.down = nn.ModuleList(
            nn.Sequential(nn.MaxPool2d(2), double_conv(widths[i], widths[i + 1])) for i in range(4)
        )
        self.up = nn.ModuleList(Up(widths[i], bilinear) for i in (4, 3, 2, 1))
        self.last = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        across = [self.first(x)]
        for down in self.down:
            across.append(down(across[-1]))
        x = across.pop()
        for up in self.up:
            x = up(x, across.pop())
        return self.last(x)
