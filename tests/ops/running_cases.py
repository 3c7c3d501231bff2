"""Cases of CumSum and CumProd."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import name_of, values
from sanderling.errors import ModelError, UnsupportedError

DTYPES = (np.float32, np.float64, np.int32, np.int64, np.uint32, np.uint64)
ONNXRUNTIME = (np.float32, np.float64, np.int32, np.int64)
"""What ONNX Runtime takes."""


def running(op: str, x: Array, axis: int, exclusive: int, reverse: int) -> Array:
    """The running sum or product in float64 or in the dtype of x."""
    accumulate = np.cumsum if op == "CumSum" else np.cumprod
    wide = x.astype(np.float64) if np.issubdtype(x.dtype, np.floating) else x
    wide = np.flip(wide, axis) if reverse else wide
    total = np.asarray(accumulate(wide, axis, dtype=wide.dtype))
    if exclusive:
        first = np.full_like(np.take(total, [0], axis), op == "CumProd")
        total = np.concatenate([first, np.take(total, range(x.shape[axis] - 1), axis)], axis)
    return np.flip(total, axis) if reverse else total


def sample(op: str, seed: int, shape: tuple[int, ...], dtype: type) -> Array:
    """Floats whose products stay within float32."""
    x = values(np.random.default_rng(seed), shape, dtype)
    return np.asarray(1 + x / 100, dtype) if op == "CumProd" and np.issubdtype(dtype, np.floating) else x


def running_cases(op: str, opsets: tuple[int, ...]) -> list[Case]:
    """Dtypes, axes, directions."""
    made = []
    known = op == "CumSum"  # ONNX Runtime has no CumProd
    shapes = ((1,), (7,), (3, 1, 5), (3, 5, 7, 2), (2, 2100), (2100, 3), (2, 40, 70))
    for dtype in DTYPES:
        for shape in shapes if dtype is np.float32 else ((3, 5, 7),):
            x = sample(op, 1, shape, dtype)
            for axis in range(-len(shape), len(shape)):
                exclusive, reverse = (axis // 2) % 2, axis % 2
                opset = opsets[axis % len(opsets)]
                constants = {"axis": np.array(axis, (np.int64, np.int32)[axis % 2])}
                model = one_node(
                    op, {"x": x}, constants=constants, output_dtype=dtype, opset=opset, exclusive=exclusive,
                    reverse=reverse,
                )  # fmt: skip
                expected = {"y": running(op, x, axis, exclusive, reverse)}
                name = f"{name_of(dtype, shape)}-axis{axis}"
                magnitude = float(np.abs(x.astype(np.float64)).sum(axis).max())
                made.append(
                    Case(
                        name,
                        model,
                        {"x": x},
                        expected,
                        length=x.shape[axis],
                        magnitude=magnitude if op == "CumSum" else None,
                        onnxruntime=known and dtype in ONNXRUNTIME,
                    )
                )
    for batch in (1, 3, 8):
        x = sample(op, batch, (batch, 13, 5), np.float32)
        model = one_node(op, {"x": x}, constants={"axis": np.array(1)}, opset=opsets[-1], symbolic_batch=True)
        expected = {"y": running(op, x, 1, 0, 0)}
        made.append(Case(f"batch{batch}", model, {"x": x}, expected, length=13, onnxruntime=known))
    scalar = np.array(3, np.float32)
    model = one_node(op, {"x": scalar}, constants={"axis": np.array(0)}, opset=opsets[-1])
    made.append(Case("scalar", model, {"x": scalar}, {"y": np.array(3.0)}, onnxruntime=False))
    empty = np.zeros((2, 0), np.float32)
    model = one_node(op, {"x": empty}, constants={"axis": np.array([1])}, opset=opsets[-1])
    made.append(Case("empty", model, {"x": empty}, {"y": empty}, onnxruntime=False))
    return made


def check_an_axis_that_is_an_input(op: str, opset: int) -> None:
    """The axis is known only when the model runs, and judged then."""
    x = sample(op, 1, (3, 5), np.float32)
    for axis in (0, -1):
        inputs = {"x": x, "axis": np.array(axis)}
        model = one_node(op, inputs, opset=opset)
        expected = {"y": running(op, x, axis, 0, 0)}
        check(Case(f"{axis}", model, inputs, expected, length=9, magnitude=50.0, onnxruntime=op == "CumSum"))
    inputs = {"x": x, "axis": np.array(2)}
    check_refused(one_node(op, inputs, opset=opset), inputs, ModelError, "axis 2 is outside", op)


def check_refused_running(op: str, opset: int) -> None:
    """Axes out of range, several axes, types that ONNX has not."""
    x: dict[str, Any] = {"x": np.zeros((2, 3), np.float32)}

    def refused(axis: Any, message: str, error: type[Exception] = ModelError) -> None:
        model = one_node(op, x, constants={"axis": np.asarray(axis)}, opset=opset)
        check_refused(model, x, error, message, op)

    refused(2, "axis 2 is outside")
    refused([0, 1], "axis has shape")
    refused(np.float32(0), "expected int64")
    x = {"x": np.zeros((2, 3), np.int8)}
    refused(0, "int8", UnsupportedError)
