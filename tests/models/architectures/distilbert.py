"""DistilBERT (Sanh et al., arXiv 1910.01108): BERT's encoder with six layers and no segments."""

from __future__ import annotations

import math

import torch
from tests.models.architectures.layers import SelfAttention
from torch import Tensor, nn


class SpelledOutAttention(SelfAttention):
    """Attention by single operators, as it was written before torch had one for it."""

    def mix(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        scores = (query / math.sqrt(query.shape[-1])) @ key.transpose(-2, -1)
        if mask is not None:
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        return scores.softmax(dim=-1) @ value


class Layer(nn.Module):
    """A post-norm encoder layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = SpelledOutAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.norm1(x + self.attention(x, mask))
        return self.norm2(x + self.perceptron(x))


class DistilBert(nn.Module):
    """Token ids and mask, both int64 (batch, length), to class scores (batch, classes) and states of all tokens."""

    def __init__(
        self, vocabulary: int = 30522, width: int = 768, heads: int = 12, layers: int = 6, classes: int = 2
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width, padding_idx=0)
        self.positions = nn.Embedding(512, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.classifier = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, classes))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        position = torch.arange(input_ids.shape[1], device=input_ids.device)
        states = self.norm(self.words(input_ids) + self.positions(position))
        mask = (attention_mask != 0)[:, None, None, :]
        for layer in self.layers:
            states = layer(states, mask)
        return self.classifier(states[:, 0]), states
