"""A temporal convolutional network (Bai et al., arXiv 1803.01271): dilated causal convolutions with weight norm."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


class Block(nn.Module):
    """Two causal convolutions of one dilation, and a residual."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.past = (kernel - 1) * dilation
        self.first = weight_norm(nn.Conv1d(channels_in, channels_out, kernel, padding=self.past, dilation=dilation))
        self.second = weight_norm(nn.Conv1d(channels_out, channels_out, kernel, padding=self.past, dilation=dilation))
        self.dropout = nn.Dropout(0.2)
        self.across = nn.Identity() if channels_in == channels_out else nn.Conv1d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for conv in (self.first, self.second):
            y = self.dropout(torch.relu(conv(y)[:, :, : -self.past]))  # drops what would look ahead
        return torch.relu(y + self.across(x))


class TCN(nn.Module):
    """(batch, channels, time) to (batch, classes, time)."""

    def __init__(self, channels: int = 8, width: int = 32, classes: int = 5, levels: int = 6) -> None:
        super().__init__()
        widths = [channels] + [width] * levels
        self.blocks = nn.Sequential(*(Block(widths[i], widths[i + 1], 5, 1 << i) for i in range(levels)))
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.blocks(x).transpose(1, 2)).transpose(1, 2)
