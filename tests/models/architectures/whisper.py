"""Whisper-tiny's encoder (Radford et al., arXiv 2212.04356)."""

from __future__ import annotations

import math

import torch
from tests.models.architectures.layers import SelfAttention
from torch import Tensor, nn


def sinusoids(length: int, width: int) -> Tensor:
    """Sines, then cosines, of positions: (length, width)."""
    rate = torch.exp(torch.arange(width // 2) * (-math.log(10000.0) / (width // 2 - 1)))
    angle = torch.arange(length)[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], dim=1)


class Block(nn.Module):
    """A pre-norm encoder block; keys have no bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads, key_bias=False)
        self.norm2 = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.perceptron(self.norm2(x))


class WhisperTinyEncoder(nn.Module):
    """Log-mel frames (batch, 80, 3000), thirty seconds, to states (batch, 1500, 384)."""

    positions: Tensor

    def __init__(self, mels: int = 80, width: int = 384, heads: int = 6, layers: int = 4) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(mels, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.register_buffer("positions", sinusoids(1500, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)

    def forward(self, mel: Tensor) -> Tensor:
        x = nn.functional.gelu(self.conv1(mel))
        x = nn.functional.gelu(self.conv2(x)).permute(0, 2, 1)
        return self.norm(self.blocks(x + self.positions))
