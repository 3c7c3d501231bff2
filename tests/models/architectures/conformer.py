"""A Conformer block (Gulati et al., arXiv 2005.08100) with Transformer-XL's relative positions (arXiv 1901.02860)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def relative_positions(length: int, width: int) -> Tensor:
    """Sinusoids of the distances length - 1 down to -(length - 1): (2 length - 1, width)."""
    distance = torch.arange(length - 1, -length, -1, dtype=torch.float32)
    angle = distance[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


def feed_forward(width: int) -> nn.Sequential:
    """Half of the macaron."""
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, 4 * width),
        nn.SiLU(),
        nn.Dropout(0.1),
        nn.Linear(4 * width, width),
        nn.Dropout(0.1),
    )


class RelativeAttention(nn.Module):
    """Self-attention whose scores add what the distance of query and key says."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.position = nn.Linear(width, width, bias=False)
        self.content_bias = nn.Parameter(0.3 * torch.randn(heads, 1, self.size))
        self.position_bias = nn.Parameter(0.3 * torch.randn(heads, 1, self.size))
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        mixed = self.query_key_value(self.norm(x)).view(batch, length, 3, self.heads, self.size)
        query, key, value = mixed.permute(2, 0, 3, 1, 4).unbind(0)
        position = self.position(relative_positions(length, width)).view(-1, self.heads, self.size).transpose(0, 1)
        content = (query + self.content_bias) @ key.transpose(-2, -1)
        by_distance = self.shift((query + self.position_bias) @ position.transpose(-2, -1))
        weights = ((content + by_distance) / math.sqrt(self.size)).softmax(dim=-1)
        return self.output((weights @ value).transpose(1, 2).reshape(batch, length, width))

    @staticmethod
    def shift(scores: Tensor) -> Tensor:
        """From a column per distance to a column per key: (..., length, 2 length - 1) to (..., length, length)."""
        batch, heads, length, distances = scores.shape
        padded = nn.functional.pad(scores, (1, 0)).view(batch, heads, distances + 1, length)
        return padded[:, :, 1:].reshape(batch, heads, length, distances)[..., :length]


class ConvolutionModule(nn.Module):
    """A gated pointwise, a depthwise and a pointwise convolution over time."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.layers = nn.Sequential(
            nn.Conv1d(width, 2 * width, 1),
            nn.GLU(dim=1),
            nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width),
            nn.BatchNorm1d(width),
            nn.SiLU(),
            nn.Conv1d(width, width, 1),
            nn.Dropout(0.1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(self.norm(x).transpose(1, 2)).transpose(1, 2)


class ConformerBlock(nn.Module):
    """(batch, time, width) to the same."""

    def __init__(self, width: int = 144, heads: int = 4, kernel: int = 31) -> None:
        super().__init__()
        self.first = feed_forward(width)
        self.attention = RelativeAttention(width, heads)
        self.convolution = ConvolutionModule(width, kernel)
        self.second = feed_forward(width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + 0.5 * self.first(x)
        x = x + self.attention(x)
        x = x + self.convolution(x)
        return self.norm(x + 0.5 * self.second(x))
