"""How soon a session starts and answers, with a warm cache of plans and without.

    python benchmarks/session_start.py

The model has the layers of an int8 MobileNetV2 with random weights (QDQ, 3.6 MB). Cold and warm take turns in one
process, so that a busy machine slows both; times are medians, in milliseconds, with the CPU time of the process beside.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import onnx
import sanderling
from onnx import helper, numpy_helper

# Expansion, channels, repeats and stride of each stage (Sandler et al., "MobileNetV2", 2018, table 2).
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class Network:
    """Nodes of a QDQ model, one layer after the other."""

    def __init__(self) -> None:
        """Has none yet."""
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._rng = np.random.default_rng(0)

    def constant(self, name: str, value: Any, dtype: type) -> str:
        """Adds an initializer."""
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Adds a node of one output."""
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def rounded(self, x: str) -> str:
        """X as codes, and back."""
        by = [self.constant(f"{x}_s", 0.05, np.float32), self.constant(f"{x}_z", 128, np.uint8)]
        return self.node("DequantizeLinear", [self.node("QuantizeLinear", [x, *by], f"{x}_q"), *by], f"{x}_d")

    def weights(self, shape: tuple[int, ...]) -> str:
        """Int8 weights with a scale per output channel."""
        name = f"w{len(self.constants)}"
        values = [
            self.constant(name, self._rng.integers(-127, 128, shape), np.int8),
            self.constant(f"{name}_s", self._rng.uniform(0.0005, 0.002, shape[0]), np.float32),
            self.constant(f"{name}_z", np.zeros(shape[0]), np.int8),
        ]
        return self.node("DequantizeLinear", values, f"{name}_d", axis=0)

    def convolution(
        self, x: str, channels: tuple[int, int], kernel: int, stride: int = 1, *, group: int = 1, clip: bool = True
    ) -> str:
        """A convolution with bias, perhaps with ReLU6."""
        inputs, outputs = channels
        bias = self.constant(f"b{len(self.constants)}", self._rng.standard_normal(outputs), np.float32)
        y = self.node(
            "Conv",
            [x, self.weights((outputs, inputs // group, kernel, kernel)), bias],
            f"c{len(self.nodes)}",
            strides=[stride] * 2,
            pads=[kernel // 2] * 4,
            group=group,
        )
        if clip:
            bounds = [self.constant(f"{y}_{value}", value, np.float32) for value in (0, 6)]
            y = self.node("Clip", [y, *bounds], f"{y}_r")
        return self.rounded(y)


def mobilenet() -> bytes:
    """The ONNX file."""
    net = Network()
    x, channels = net.convolution(net.rounded("x"), (3, 32), 3, 2), 32
    for expansion, outputs, repeats, first_stride in STAGES:
        for i in range(repeats):
            wide, stride, y = channels * expansion, 1 if i else first_stride, x
            if expansion > 1:
                y = net.convolution(y, (channels, wide), 1)
            y = net.convolution(y, (wide, wide), 3, stride, group=wide)
            y = net.convolution(y, (wide, outputs), 1, clip=False)
            if stride == 1 and channels == outputs:
                y = net.rounded(net.node("Add", [x, y], f"a{len(net.nodes)}"))
            x, channels = y, outputs
    x = net.rounded(net.node("GlobalAveragePool", [net.convolution(x, (channels, 1280), 1)], "pooled"))
    y = net.node("Gemm", [net.node("Flatten", [x], "flat"), net.weights((1000, 1280))], "logits", transB=1)
    net.node("Identity", [net.rounded(y)], "y")
    value = helper.make_tensor_value_info
    inputs, outputs_ = [value("x", 1, ["N", 3, 224, 224])], [value("y", 1, ["N", 1000])]
    graph = helper.make_graph(net.nodes, "mobilenet", inputs, outputs_, net.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """What it returns, and milliseconds of wall time and of CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return result, (time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    x = np.zeros((1, 3, 224, 224), np.float32)
    times: dict[str, list[tuple[float, ...]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(mobilenet())
        for i in range(2 * repeats + 2):  # the first of each is not counted
            os.environ["SANDERLING_CACHE"] = "off" if i % 2 else str(Path(folder) / "cache")
            session, *create = timed(lambda: sanderling.Session(path))
            _, *first = timed(lambda session=session: session.run(x))
            _, *second = timed(lambda session=session: session.run(x))
            if i > 1:
                times.setdefault(session.info()["plan"], []).append((*create, *first, *second))
    print(f"{'plan':10}{'create':>8} (CPU)  {'1st run':>8} (CPU)  {'2nd run':>8} (CPU)")
    for plan, rows in times.items():
        medians = [statistics.median(column) for column in zip(*rows, strict=True)]
        print(f"{plan:10}" + "  ".join(f"{w:8.1f} {c:5.1f}" for w, c in zip(medians[::2], medians[1::2], strict=True)))


if __name__ == "__main__":
    main()
