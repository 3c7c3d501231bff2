"""Cases of the windows that are sums of cosines."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import onnx
from onnx import helper
from onnx_models import Array, model_of, one_node
from runner import Case, check_refused
from sanderling.errors import ModelError, UnsupportedError


def cosine_window(size: int, periodic: bool, a: float, b: float, c: float) -> Array:
    if size == 1 and not periodic:
        return np.asarray([a + b + c])
    angle = 2 * np.pi * np.arange(size) / (size if periodic else size - 1)
    return np.asarray(a - b * np.cos(angle) + c * np.cos(2 * angle))


def window_cases(op: str, a: float, b: float, c: float) -> Iterator[Case]:
    for size in (0, 1, 2, 3, 8, 400):
        for periodic in (0, 1):
            inputs = {"x": np.zeros(2, np.float32)}
            constants = {"size": np.asarray(size, np.int64 if size % 2 else np.int32)}
            node = helper.make_node(op, ["size"], ["y"], name="node", **({} if periodic else {"periodic": 0}))
            nodes = [node, helper.make_node("Identity", ["x"], ["z"])]
            outputs = {"y": np.float32, "z": np.float32}
            model = model_of(nodes, {"x": (np.float32, (2,))}, outputs, constants)
            expected = {"y": cosine_window(size, bool(periodic), a, b, c), "z": inputs["x"]}
            # ONNX Runtime computes the angle in float32; 0 / 0 of one symmetric element is NaN there.
            yield Case(f"{size}-{periodic}", model, inputs, expected, length=None, onnxruntime=size > 1)
    for dtype in (np.float64, np.int32, np.uint8):
        inputs = {"size": np.asarray(9, np.int64)}
        number = int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
        model = one_node(op, inputs, output_dtype=dtype, output_datatype=number)
        y = cosine_window(9, True, a, b, c)
        if dtype is not np.float64:
            y = y.astype(dtype)
        yield Case(f"computed-{np.dtype(dtype).name}", model, inputs, {"y": y}, length=None, onnxruntime=False)


def check_window_refusals(op: str) -> None:
    for size, message in ((np.asarray(-1, np.int64), "size is -1"), (np.asarray([3, 4], np.int64), "a single value")):
        inputs = {"size": size}
        check_refused(one_node(op, inputs), inputs, ModelError, message, op)
    inputs = {"size": np.asarray(3.0, np.float32)}
    check_refused(one_node(op, inputs), inputs, UnsupportedError, "input 0 is float32", op)
    for number in (onnx.TensorProto.BOOL, onnx.TensorProto.STRING, onnx.TensorProto.INT4, 99):
        inputs = {"size": np.asarray(3, np.int64)}
        model = one_node(op, inputs, output_datatype=number)
        check_refused(model, inputs, ModelError, f"output_datatype is {number}", op)
