"""The twelve networks that the engine is measured on, small to large, with seeded random weights.

    python -m tests.models.standard_models FOLDER [NAME ...]

writes them as FOLDER/NAME.onnx with opset 17 and a batch chosen at run time. BatchNormalization is not folded, and its
statistics are those of random inputs, so that activations keep a sane size. From their papers: MLPerf Tiny's four
(arXiv:2106.07597: ae, dscnn, resnet8, vww), MobileNetV2 (1801.04381), EfficientNet-Lite0 (1905.11946, without squeeze
and excitation), ResNet-50 (1512.03385, v1.5's strides), BERT (1810.04805) in MiniLM's size.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.models.beside import Array
from tests.models.exporting import export

torch = pytest.importorskip("torch", reason="torch is not installed: `make models` does it")
nn = torch.nn
functional = torch.nn.functional

VOCABULARY, TOKENS, WIDTH, HEADS = 30522, 128, 384, 12


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, act: Any = nn.ReLU6) -> Any:
    """Convolution, BatchNormalization and an activation unless it is None."""
    layers = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, momentum=None),
    ]
    return nn.Sequential(*layers, *([act()] if act else []))


class InvertedResidual(nn.Module):  # type: ignore[misc]
    """Widens, convolves each channel, narrows; added to its input where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, widen: int, kernel: int = 3):
        super().__init__()
        hidden = inputs * widen
        self.adds = stride == 1 and inputs == outputs
        wider = [conv(inputs, hidden, 1)] if widen != 1 else []
        self.body = nn.Sequential(
            *wider, conv(hidden, hidden, kernel, stride, hidden), conv(hidden, outputs, 1, act=None)
        )

    def forward(self, x: Any) -> Any:
        return x + self.body(x) if self.adds else self.body(x)


def mobile(blocks: list[tuple[int, int, int, int, int]]) -> Any:
    """`blocks` are of widening, kernel, channels, repetitions, stride."""
    layers, channels = [conv(3, 32, 3, 2)], 32
    for widen, kernel, outputs, repeat, stride in blocks:
        for i in range(repeat):
            layers.append(InvertedResidual(channels, outputs, stride if i == 0 else 1, widen, kernel))
            channels = outputs
    return nn.Sequential(*layers, conv(channels, 1280, 1), *head(1280, 1000))


def head(channels: int, classes: int) -> list[Any]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]


def mbv2() -> Any:
    shapes = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    return mobile([(widen, 3, *rest) for widen, *rest in shapes])  # type: ignore[misc]


def efflite0() -> Any:
    first = [(1, 3, 16, 1, 1), (6, 3, 24, 2, 2), (6, 5, 40, 2, 2), (6, 3, 80, 3, 2)]
    return mobile([*first, (6, 5, 112, 3, 1), (6, 5, 192, 4, 2), (6, 3, 320, 1, 1)])


class Residual(nn.Module):  # type: ignore[misc]
    """Adds a branch to its input, which `shortcut` brings to its shape."""

    def __init__(self, body: Any, shortcut: Any):
        super().__init__()
        self.body, self.shortcut, self.act = body, shortcut, nn.ReLU()

    def forward(self, x: Any) -> Any:
        return self.act(self.body(x) + self.shortcut(x))


def bottleneck(inputs: int, middle: int, outputs: int, stride: int) -> Any:
    narrow, wide = conv(inputs, middle, 1, act=nn.ReLU), conv(middle, middle, 3, stride, act=nn.ReLU)
    same = stride == 1 and inputs == outputs
    shortcut = nn.Identity() if same else conv(inputs, outputs, 1, stride, act=None)
    return Residual(nn.Sequential(narrow, wide, conv(middle, outputs, 1, act=None)), shortcut)


def resnet50() -> Any:
    layers, channels = [conv(3, 64, 7, 2, act=nn.ReLU), nn.MaxPool2d(3, 2, 1)], 64
    for middle, repeat, stride in [(64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)]:
        for i in range(repeat):
            layers.append(bottleneck(channels, middle, 4 * middle, stride if i == 0 else 1))
            channels = 4 * middle
    return nn.Sequential(*layers, *head(2048, 1000))


def resnet8() -> Any:
    layers, channels = [conv(3, 16, 3, act=nn.ReLU)], 16
    for outputs, stride in [(16, 1), (32, 2), (64, 2)]:
        body = nn.Sequential(conv(channels, outputs, 3, stride, act=nn.ReLU), conv(outputs, outputs, 3, act=None))
        layers.append(Residual(body, nn.Conv2d(channels, outputs, 1, stride) if stride != 1 else nn.Identity()))
        channels = outputs
    return nn.Sequential(*layers, nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 10), nn.Softmax(1))


def dscnn() -> Any:
    first = [nn.ZeroPad2d((1, 1, 4, 5)), nn.Conv2d(1, 64, (10, 4), 2, bias=False), nn.BatchNorm2d(64, momentum=None)]
    layers = [*first, nn.ReLU()]
    for _ in range(4):
        layers += [conv(64, 64, 3, 1, 64, act=nn.ReLU), conv(64, 64, 1, act=nn.ReLU)]
    return nn.Sequential(*layers, nn.AvgPool2d((25, 5)), nn.Flatten(), nn.Linear(64, 12), nn.Softmax(1))


def vww() -> Any:
    layers, channels = [conv(3, 8, 3, 2, act=nn.ReLU)], 8
    steps = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]
    for outputs, stride in steps:
        layers += [conv(channels, channels, 3, stride, channels, act=nn.ReLU), conv(channels, outputs, 1, act=nn.ReLU)]
        channels = outputs
    return nn.Sequential(*layers, nn.AvgPool2d(3), nn.Flatten(), nn.Linear(256, 2), nn.Softmax(1))


def ae() -> Any:
    layers, width = [], 640
    for outputs in [128] * 4 + [8] + [128] * 4:
        layers += [nn.Linear(width, outputs), nn.BatchNorm1d(outputs, momentum=None), nn.ReLU()]
        width = outputs
    return nn.Sequential(*layers, nn.Linear(width, 640))


def mlp() -> Any:
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


def cnn1d() -> Any:
    def block(inputs: int, outputs: int, kernel: int) -> list[Any]:
        layer = nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        return [layer, nn.BatchNorm1d(outputs, momentum=None), nn.ReLU()]

    layers = [*block(6, 64, 5), *block(64, 64, 5), nn.MaxPool1d(2), *block(64, 128, 3), nn.MaxPool1d(2)]
    return nn.Sequential(*layers, *block(128, 128, 3), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(128, 6))


class Recurrent(nn.Module):  # type: ignore[misc]
    """A classifier of what a recurrent layer gives last."""

    def __init__(self, cell: Any, classes: int):
        super().__init__()
        self.cell, self.read = cell, nn.Linear(cell.hidden_size, classes)

    def forward(self, x: Any) -> Any:
        return self.read(self.cell(x)[0][:, -1])


def gru() -> Any:
    return Recurrent(nn.GRU(40, 128, 1, batch_first=True), 12)


def lstm() -> Any:
    return Recurrent(nn.LSTM(6, 64, 2, batch_first=True), 6)


class EncoderLayer(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.wide, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.first, self.second = nn.LayerNorm(WIDTH, eps=1e-12), nn.LayerNorm(WIDTH, eps=1e-12)

    def forward(self, x: Any, mask: Any) -> Any:
        batch, tokens, _ = x.shape

        def heads(t: Any) -> Any:
            return t.reshape(batch, tokens, HEADS, WIDTH // HEADS).permute(0, 2, 1, 3)

        scores = heads(self.query(x)) @ heads(self.key(x)).transpose(-1, -2) / math.sqrt(WIDTH // HEADS) + mask
        mixed = torch.softmax(scores, -1) @ heads(self.value(x))
        x = self.first(self.out(mixed.permute(0, 2, 1, 3).reshape(batch, tokens, WIDTH)) + x)
        return self.second(self.narrow(functional.gelu(self.wide(x))) + x)


class Encoder(nn.Module):  # type: ignore[misc]
    """ids and mask, int64 [batch, tokens]; float32 [batch, tokens, WIDTH]."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(512, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.layers = nn.ModuleList(EncoderLayer() for _ in range(6))

    def forward(self, ids: Any, mask: Any) -> Any:
        x = self.norm(self.words(ids) + self.places.weight[: ids.shape[1]])
        hidden = (1.0 - mask[:, None, None, :].float()) * -100.0
        for layer in self.layers:
            x = layer(x, hidden)
        return x


@dataclass(frozen=True)
class Standard:
    """How to build a network, and the shape of one row that it reads (float32; MiniLM's are tokens)."""

    build: Callable[[], Any]
    row: tuple[int, ...]


STANDARD = {
    "mlp": Standard(mlp, (64,)),
    "ae": Standard(ae, (640,)),
    "cnn1d": Standard(cnn1d, (6, 128)),
    "lstm": Standard(lstm, (128, 6)),
    "gru": Standard(gru, (98, 40)),
    "dscnn": Standard(dscnn, (1, 49, 10)),
    "resnet8": Standard(resnet8, (3, 32, 32)),
    "vww": Standard(vww, (3, 96, 96)),
    "mbv2": Standard(mbv2, (3, 224, 224)),
    "efflite0": Standard(efflite0, (3, 224, 224)),
    "resnet50": Standard(resnet50, (3, 224, 224)),
    "minilm": Standard(Encoder, (TOKENS,)),
}


def module(name: str) -> Any:
    """The network in evaluation mode, the same at every call."""
    torch.manual_seed(sum(map(ord, name)))
    network = STANDARD[name].build()
    if name == "minilm":
        return network.eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.7, 1.3)
            nn.init.uniform_(layer.bias, -0.2, 0.2)
    with torch.no_grad():
        network.train()(torch.randn(16, *STANDARD[name].row))
    return network.eval()


def rows(name: str, count: int, seed: int = 0) -> dict[str, Array]:
    """Inputs of this many rows: normally distributed; of MiniLM tokens, the end of odd rows padded."""
    rng = np.random.default_rng(seed)
    if name != "minilm":
        return {"input": rng.standard_normal((count, *STANDARD[name].row), dtype=np.float32)}
    mask = np.ones((count, TOKENS), np.int64)
    mask[1::2, TOKENS * 2 // 3 :] = 0
    return {"input_ids": rng.integers(1000, 30000, (count, TOKENS)), "attention_mask": mask}


def float_model(name: str) -> bytes:
    """The network as ONNX, of any batch."""
    example = rows(name, 2)
    arguments = tuple(torch.from_numpy(array) for array in example.values())
    return export(module(name), arguments, {n: ["batch"] for n in example}, ["output"], dynamo=False)


def main(folder: str, *names: str) -> None:
    for name in names or STANDARD:
        (Path(folder) / f"{name}.onnx").write_bytes(float_model(name))


if __name__ == "__main__":
    main(*sys.argv[1:])
