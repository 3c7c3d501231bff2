"""PointNet for classification, with both alignment networks (Qi et al., arXiv 1612.00593)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def shared_perceptron(*widths: int) -> nn.Sequential:
    """The same perceptron for every point."""
    layers: list[nn.Module] = []
    for i in range(len(widths) - 1):
        layers += [nn.Conv1d(widths[i], widths[i + 1], 1), nn.BatchNorm1d(widths[i + 1]), nn.ReLU()]
    return nn.Sequential(*layers)


def perceptron(*widths: int) -> nn.Sequential:
    """One for the whole cloud."""
    layers: list[nn.Module] = []
    for i in range(len(widths) - 1):
        layers += [nn.Linear(widths[i], widths[i + 1]), nn.BatchNorm1d(widths[i + 1]), nn.ReLU()]
    return nn.Sequential(*layers)


class Alignment(nn.Module):
    """Predicts a matrix near the identity that turns points or features."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.points = shared_perceptron(size, 64, 128, 1024)
        self.cloud = perceptron(1024, 512, 256)
        self.matrix = nn.Linear(256, size * size)

    def forward(self, x: Tensor) -> Tensor:
        cloud = self.cloud(self.points(x).amax(dim=2))
        identity = torch.eye(self.size, dtype=x.dtype, device=x.device).reshape(1, -1).repeat(x.shape[0], 1)
        turned = torch.bmm(x.transpose(1, 2), (self.matrix(cloud) + identity).view(-1, self.size, self.size))
        return turned.transpose(1, 2)


class PointNet(nn.Module):
    """(batch, 3, points) to log-probabilities (batch, classes)."""

    def __init__(self, classes: int = 40) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Alignment(3), shared_perceptron(3, 64, 64), Alignment(64), shared_perceptron(64, 64, 128, 1024)
        )
        self.classifier = nn.Sequential(
            perceptron(1024, 512, 256), nn.Dropout(0.3), nn.Linear(256, classes), nn.LogSoftmax(dim=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.layers(x).max(dim=2).values)
