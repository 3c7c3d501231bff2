"""Models of a few nodes, as ONNX bytes, with what they compute in NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
Dims = Sequence[int | str | None]
Node = tuple[str, Sequence[str], str, dict[str, Any]]  # operator, inputs, output, attributes

FLOAT, UINT8, INT64 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT64
FEATURES = 6
CLASSES = 3

_rng = np.random.default_rng(7)
WEIGHT = _rng.standard_normal((FEATURES, CLASSES)).astype(np.float32)
BIAS = _rng.standard_normal(CLASSES).astype(np.float32)


def onnx_bytes(
    nodes: Sequence[Node],
    inputs: Mapping[str, tuple[int, Dims]],
    outputs: Mapping[str, tuple[int, Dims | None]],
    constants: Mapping[str, Array] | None = None,
) -> bytes:
    """A model of these nodes; inputs and outputs are (element type, shape) by name, None is any."""
    graph = helper.make_graph(
        [
            helper.make_node(op, list(ins), [out], name=f"{op}_{out}", **attributes)
            for op, ins, out, attributes in nodes
        ],
        "small",
        [helper.make_tensor_value_info(name, kind, list(dims)) for name, (kind, dims) in inputs.items()],
        [helper.make_tensor_value_info(name, kind, dims) for name, (kind, dims) in outputs.items()],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def affine(batch: int | str | None = "N") -> bytes:
    """float32 x [N, 6] -> y [N, 3] = x @ WEIGHT + BIAS."""
    return onnx_bytes(
        [("Gemm", ["x", "w", "b"], "y", {})],
        {"x": (FLOAT, (batch, FEATURES))},
        {"y": (FLOAT, (batch, CLASSES))},
        {"w": WEIGHT, "b": BIAS},
    )


def affine_numpy(x: Array) -> Array:
    """What `affine` computes, in float64."""
    return np.asarray(x.astype(np.float64) @ WEIGHT.astype(np.float64) + BIAS)


def relu(dims: Dims = ("N", "L"), kind: int = FLOAT) -> bytes:
    """One operator of any shape: y = max(x, 0)."""
    return onnx_bytes([("Relu", ["x"], "y", {})], {"x": (kind, dims)}, {"y": (kind, dims)})


def two_by_two() -> bytes:
    """float32 a [N, 4], b [N, 2] -> sum [N, 4] = a + a, joined [N, 6] = concat(a, b)."""
    return onnx_bytes(
        [("Add", ["a", "a"], "sum", {}), ("Concat", ["a", "b"], "joined", {"axis": 1})],
        {"a": (FLOAT, ("N", 4)), "b": (FLOAT, ("N", 2))},
        {"sum": (FLOAT, ("N", 4)), "joined": (FLOAT, ("N", 6))},
    )


def sine() -> bytes:
    """float32 x [N, 4] -> sin(x) by way of a sequence, which the native engine does not have."""
    nodes = [
        ("Sin", ["x"], "sine", {}),
        ("SequenceConstruct", ["sine"], "sequence", {}),
        ("ConcatFromSequence", ["sequence"], "y", {"axis": 0}),
    ]
    return onnx_bytes(nodes, {"x": (FLOAT, ("N", 4))}, {"y": (FLOAT, ("N", 4))})


def quantized_mlp(seed: int = 0, features: int = 37, hidden: int = 29, classes: int = 5) -> bytes:
    """A QDQ model, float32 x [N, features] -> y [N, classes]; all between Quantize and Dequantize is integer."""
    rng = np.random.default_rng(seed)
    nodes: list[Node] = []
    constants: dict[str, Array] = {}

    def rounded(name: str, source: str, scale: float, zero: int) -> str:
        constants[f"{name}_s"], constants[f"{name}_z"] = np.asarray(scale, np.float32), np.asarray(zero, np.uint8)
        nodes.append(("QuantizeLinear", [source, f"{name}_s", f"{name}_z"], f"{name}_q", {}))
        nodes.append(("DequantizeLinear", [f"{name}_q", f"{name}_s", f"{name}_z"], f"{name}_d", {}))
        return f"{name}_d"

    def layer(name: str, source: str, depth: int, width: int) -> str:
        constants[f"{name}_w"] = rng.integers(-127, 128, (width, depth), np.int8)
        constants[f"{name}_ws"] = rng.uniform(0.002, 0.01, width).astype(np.float32)
        constants[f"{name}_wz"] = np.zeros(width, np.int8)
        weight = [f"{name}_w", f"{name}_ws", f"{name}_wz"]
        nodes.append(("DequantizeLinear", weight, f"{name}_wd", {"axis": 0}))
        nodes.append(("Gemm", [source, f"{name}_wd"], f"{name}_y", {"transB": 1}))
        return f"{name}_y"

    x = rounded("x", "x", 0.02, 121)
    nodes.append(("Relu", [layer("hidden", x, features, hidden)], "positive", {}))
    h = rounded("h", "positive", 0.03, 0)
    y = rounded("o", layer("output", h, hidden, classes), 0.1, 128)
    nodes.append(("Identity", [y], "y", {}))
    return onnx_bytes(nodes, {"x": (FLOAT, ("N", features))}, {"y": (FLOAT, ("N", classes))}, constants)


def integer_product(depth: int, columns: int = 5) -> bytes:
    """uint8 codes x [N, depth] -> uint8 codes y [N, columns]: one integer matrix product."""
    rng = np.random.default_rng(depth)
    constants = {
        "x_s": np.asarray(0.02, np.float32),
        "x_z": np.asarray(121, np.uint8),
        "w": rng.integers(-127, 128, (depth, columns), np.int8),
        "w_s": np.asarray(0.01, np.float32),
        "w_z": np.asarray(0, np.int8),
        "y_s": np.asarray(0.1, np.float32),
        "y_z": np.asarray(128, np.uint8),
    }
    nodes: list[Node] = [
        ("DequantizeLinear", ["x", "x_s", "x_z"], "x_d", {}),
        ("DequantizeLinear", ["w", "w_s", "w_z"], "w_d", {}),
        ("MatMul", ["x_d", "w_d"], "m", {}),
        ("QuantizeLinear", ["m", "y_s", "y_z"], "y", {}),
    ]
    return onnx_bytes(nodes, {"x": (UINT8, ("N", depth))}, {"y": (UINT8, ("N", columns))}, constants)
