"""EfficientNet-B0 (Tan and Le, arXiv 1905.11946, table 1)."""

from __future__ import annotations

from tests.models.architectures.layers import SqueezeExcite, conv_norm
from torch import Tensor, nn

# expansion, kernel, channels out, blocks, stride of the first
STAGES = (
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)


class MBConv(nn.Module):
    """A mobile inverted bottleneck with squeeze-and-excitation of a quarter of its input's channels."""

    def __init__(self, channels_in: int, expansion: int, kernel: int, channels_out: int, stride: int) -> None:
        super().__init__()
        expanded = channels_in * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(conv_norm(channels_in, expanded, activation=nn.SiLU))
        layers.append(conv_norm(expanded, expanded, kernel, stride, expanded, nn.SiLU))
        layers.append(SqueezeExcite(expanded, max(1, channels_in // 4), nn.SiLU, nn.Sigmoid))
        layers.append(conv_norm(expanded, channels_out, activation=None))
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


class EfficientNetB0(nn.Module):
    """(batch, 3, 224, 224) to (batch, classes)."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv_norm(3, 32, 3, 2, activation=nn.SiLU)]
        channels = 32
        for expansion, kernel, channels_out, blocks, stride in STAGES:
            for block in range(blocks):
                layers.append(MBConv(channels, expansion, kernel, channels_out, stride if block == 0 else 1))
                channels = channels_out
        layers.append(conv_norm(channels, 1280, activation=nn.SiLU))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(1280, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))
