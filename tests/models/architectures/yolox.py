"""YOLOX-nano (Ge et al., arXiv 2107.08430): CSPDarknet, PAFPN and decoupled heads of depthwise convolutions."""

from __future__ import annotations

import torch
from tests.models.architectures.layers import conv_norm
from torch import Tensor, nn

WIDTHS = (16, 32, 64, 128, 256)  # a quarter of CSPDarknet's
STRIDES = (8, 16, 32)


def conv(channels_in: int, channels_out: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    """A dense convolution with SiLU."""
    return conv_norm(channels_in, channels_out, kernel, stride, activation=nn.SiLU)


def depthwise(channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """A depthwise, then a pointwise convolution."""
    return nn.Sequential(
        conv_norm(channels_in, channels_in, kernel, stride, channels_in, nn.SiLU), conv(channels_in, channels_out)
    )


class Bottleneck(nn.Module):
    """A pointwise, then a 3x3 convolution, around which the input may go."""

    def __init__(self, channels: int, residual: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(conv(channels, channels), depthwise(channels, channels))
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


class CspLayer(nn.Module):
    """Half of the channels go through bottlenecks, half around them."""

    def __init__(self, channels_in: int, channels_out: int, depth: int = 1, residual: bool = True) -> None:
        super().__init__()
        half = channels_out // 2
        self.through = nn.Sequential(conv(channels_in, half), *(Bottleneck(half, residual) for _ in range(depth)))
        self.around = conv(channels_in, half)
        self.last = conv(2 * half, channels_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.cat([self.through(x), self.around(x)], dim=1))


class Focus(nn.Module):
    """Moves each 2x2 square of pixels into the channels."""

    def __init__(self, channels_out: int) -> None:
        super().__init__()
        self.conv = conv(12, channels_out, 3)

    def forward(self, x: Tensor) -> Tensor:
        corners = [x[..., i::2, j::2] for i, j in ((0, 0), (1, 0), (0, 1), (1, 1))]
        return self.conv(torch.cat(corners, dim=1))


class SpatialPyramid(nn.Module):
    """Joins maxima over several neighbourhoods."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv(channels, channels // 2)
        self.pools = nn.ModuleList(nn.MaxPool2d(kernel, 1, kernel // 2) for kernel in (5, 9, 13))
        self.last = conv(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.last(torch.cat([x, *(pool(x) for pool in self.pools)], dim=1))


class Backbone(nn.Module):
    """CSPDarknet: an image to features at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        w = WIDTHS
        self.to4 = nn.Sequential(Focus(w[0]), depthwise(w[0], w[1], 3, 2), CspLayer(w[1], w[1]))
        self.to8 = nn.Sequential(depthwise(w[1], w[2], 3, 2), CspLayer(w[2], w[2], 3))
        self.to16 = nn.Sequential(depthwise(w[2], w[3], 3, 2), CspLayer(w[3], w[3], 3))
        self.to32 = nn.Sequential(
            depthwise(w[3], w[4], 3, 2), SpatialPyramid(w[4]), CspLayer(w[4], w[4], residual=False)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        at8 = self.to8(self.to4(x))
        at16 = self.to16(at8)
        return at8, at16, self.to32(at16)


class Neck(nn.Module):
    """PAFPN: carries features up to finer strides and down again."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c = WIDTHS[2:]
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.lateral32, self.lateral16 = conv(c, b), conv(b, a)
        self.mix16, self.mix8 = CspLayer(2 * b, b, residual=False), CspLayer(2 * a, a, residual=False)
        self.down8, self.down16 = depthwise(a, a, 3, 2), depthwise(b, b, 3, 2)
        self.out16, self.out32 = CspLayer(2 * a, b, residual=False), CspLayer(2 * b, c, residual=False)

    def forward(self, at8: Tensor, at16: Tensor, at32: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        top = self.lateral32(at32)
        middle = self.lateral16(self.mix16(torch.cat([self.up(top), at16], dim=1)))
        fine = self.mix8(torch.cat([self.up(middle), at8], dim=1))
        medium = self.out16(torch.cat([self.down8(fine), middle], dim=1))
        return fine, medium, self.out32(torch.cat([self.down16(medium), top], dim=1))


class Head(nn.Module):
    """Decoupled predictions at one stride: box (4), objectness (1) and classes per cell."""

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        self.stem = conv(channels, width)
        self.class_layers = nn.Sequential(depthwise(width, width), depthwise(width, width))
        self.box_layers = nn.Sequential(depthwise(width, width), depthwise(width, width))
        self.classes = nn.Conv2d(width, classes, 1)
        self.box, self.objectness = nn.Conv2d(width, 4, 1), nn.Conv2d(width, 1, 1)
        self.box.gain = 0.3  # log-extents of trained detectors are of the order of 1

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        boxes = self.box_layers(x)
        scores = [self.objectness(boxes).sigmoid(), self.classes(self.class_layers(x)).sigmoid()]
        return torch.cat([self.box(boxes), *scores], dim=1)


class YoloxNano(nn.Module):
    """(batch, 3, 32 h, 32 w) to (batch, cells, 5 + classes): centre and extent in pixels, objectness, classes."""

    def __init__(self, classes: int = 80) -> None:
        super().__init__()
        self.backbone, self.neck = Backbone(), Neck()
        self.heads = nn.ModuleList(Head(width, 64, classes) for width in WIDTHS[2:])

    def forward(self, x: Tensor) -> Tensor:
        features = self.neck(*self.backbone(x))
        maps = [head(feature) for head, feature in zip(self.heads, features, strict=True)]
        return torch.cat([self.decode(m, stride) for m, stride in zip(maps, STRIDES, strict=True)], dim=1)

    @staticmethod
    def decode(predicted: Tensor, stride: int) -> Tensor:
        """Offsets from a cell's corner and log-extents, both in strides, to pixels."""
        height, width = predicted.shape[-2:]
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        corners = torch.stack([x, y], dim=2).view(1, -1, 2).to(predicted.dtype)
        cells = predicted.flatten(2).permute(0, 2, 1)
        centre = (cells[..., :2] + corners) * stride
        return torch.cat([centre, cells[..., 2:4].exp() * stride, cells[..., 4:]], dim=-1)


class YoloxCandidates(nn.Module):
    """What NonMaxSuppression takes: corners (batch, cells, 4) and scores (batch, classes, cells)."""

    def __init__(self, detector: YoloxNano) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found = self.detector(x)
        centre, half = found[..., :2], found[..., 2:4] / 2
        scores = found[..., 4:5] * found[..., 5:]
        return torch.cat([centre - half, centre + half], dim=-1), scores.transpose(1, 2)
