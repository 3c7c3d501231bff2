"""Layers that several architectures share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def conv_norm(
    channels_in: int,
    channels_out: int,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    activation: Callable[[], nn.Module] | None = nn.ReLU,
) -> nn.Sequential:
    """A convolution that keeps the extent (but for its stride), batch normalization, and an activation if any."""
    layers: list[nn.Module] = [
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels_out),
    ]
    return nn.Sequential(*layers, *([] if activation is None else [activation()]))


class SqueezeExcite(nn.Module):
    """Squeeze-and-Excitation (Hu et al., arXiv 1709.01507): scales channels by what their means say."""

    def __init__(
        self, channels: int, squeezed: int, activation: Callable[[], nn.Module], gate: Callable[[], nn.Module]
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            activation(),
            nn.Conv2d(squeezed, channels, 1),
            gate(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.layers(x)


class SelfAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al., arXiv 1706.03762) over (batch, length, width)."""

    def __init__(self, width: int, heads: int, key_bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=key_bias)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attends; `mask` is bool, broadcast to (batch, heads, length, length), True where a key may be read."""
        batch, length, width = x.shape
        query, key, value = (
            layer(x).view(batch, length, self.heads, width // self.heads).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        return self.output(self.mix(query, key, value, mask).transpose(1, 2).reshape(batch, length, width))

    def mix(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """What each query reads: (batch, heads, length, width / heads), like all three."""
        return nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)


def channels_last_norm(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """Layer normalization over the channels of (batch, channels, height, width)."""
    return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def settle(module: nn.Module, inputs: tuple[Tensor, ...], seed: int = 0) -> nn.Module:
    """Gives random weights the scales of trained ones, in place; returns the module in eval mode.

    Weights are He's normal ones, times a layer's attribute `gain` if it has one; normalizations are not identities,
    and the statistics of batch normalization are those of a pass over `inputs`: so activations neither vanish nor
    explode with depth. A variance is at least the squared mean: channels that hardly vary would be stretched, and a
    deep network of such amplifies roundings until float32 says nothing.
    """
    torch.manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            if not hasattr(layer, "parametrizations"):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                with torch.no_grad():
                    layer.weight *= getattr(layer, "gain", 1.0)
            if layer.bias is not None:
                nn.init.normal_(layer.bias, std=0.05)
        elif isinstance(layer, nn.modules.batchnorm._BatchNorm | nn.LayerNorm):
            nn.init.uniform_(layer.weight, 0.7, 1.3)
            nn.init.normal_(layer.bias, std=0.2)
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.momentum = None  # the mean over all passes, of which there is one
    with torch.no_grad():
        module.train()(*inputs)
        for layer in module.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.running_var.add_(layer.running_mean.square())
    return module.eval()
