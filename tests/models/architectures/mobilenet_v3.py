"""MobileNetV3-small (Howard et al., arXiv 1905.02244, table 2)."""

from __future__ import annotations

from tests.models.architectures.layers import SqueezeExcite, conv_norm
from torch import Tensor, nn

# kernel, expanded channels, channels out, squeeze-and-excite, hard swish, stride
ROWS = (
    (3, 16, 16, True, False, 2),
    (3, 72, 24, False, False, 2),
    (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2),
    (5, 240, 40, True, True, 1),
    (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1),
    (5, 576, 96, True, True, 1),
)


def divisible(channels: float) -> int:
    """The nearest multiple of 8, never less than 90 % of what is asked."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


class Bottleneck(nn.Module):
    """An inverted residual with a hard-sigmoid gate."""

    def __init__(
        self, channels_in: int, kernel: int, expanded: int, channels_out: int, excite: bool, swish: bool, stride: int
    ) -> None:
        super().__init__()
        activation = nn.Hardswish if swish else nn.ReLU
        layers: list[nn.Module] = []
        if expanded != channels_in:
            layers.append(conv_norm(channels_in, expanded, activation=activation))
        layers.append(conv_norm(expanded, expanded, kernel, stride, expanded, activation))
        if excite:
            layers.append(SqueezeExcite(expanded, divisible(expanded / 4), nn.ReLU, nn.Hardsigmoid))
        layers.append(conv_norm(expanded, channels_out, activation=None))
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


class MobileNetV3Small(nn.Module):
    """(batch, 3, 224, 224) to (batch, classes)."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv_norm(3, 16, 3, 2, activation=nn.Hardswish)]
        channels = 16
        for kernel, expanded, channels_out, excite, swish, stride in ROWS:
            layers.append(Bottleneck(channels, kernel, expanded, channels_out, excite, swish, stride))
            channels = channels_out
        layers.append(conv_norm(channels, 576, activation=nn.Hardswish))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(576, 1024),
            nn.Hardswish(),
            nn.Dropout(0.2),
            nn.Linear(1024, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))
