"""Cases of ArgMax and ArgMin."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnx import helper
from onnx_models import Array, model_of, one_node
from runner import Case, check, check_refused
from samples import name_of, values
from sanderling.errors import ModelError, UnsupportedError

DTYPES = (
    np.float32, np.float64, np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64,
)  # fmt: skip
ONNXRUNTIME = (np.float32, np.float64, np.uint8, np.int8, np.int32, np.int64)
"""What ONNX Runtime takes."""


def arg(op: str, x: Array, axis: int, keep: bool, last: bool = False) -> Array:
    """NumPy's argmax or argmin, or the last index of several."""
    find = np.argmax if op == "ArgMax" else np.argmin
    if last:
        return np.asarray(x.shape[axis] - 1 - find(np.flip(x, axis), axis, keepdims=keep), np.int64)
    return np.asarray(find(x, axis, keepdims=keep), np.int64)


def arg_cases(op: str) -> list[Case]:
    """Dtypes, axes, opsets; with many ties."""
    made = []
    shapes = ((1,), (7,), (3, 1, 5), (3, 5, 7, 11), (2, 2100), (2100, 3), (2, 40, 70))
    for dtype in DTYPES:
        for shape in shapes if dtype is np.float32 else ((3, 5, 7),):
            x = np.asarray(np.round(np.clip(values(np.random.default_rng(1), shape, np.float32), 0, 9)), dtype)
            for axis in range(-len(shape), len(shape)):
                keep, last, opset = axis % 2 == 0, axis % 3 == 0, (13, 12)[axis % 2]
                model = one_node(
                    op, {"x": x}, output_dtype=np.int64, opset=opset, axis=axis, keepdims=int(keep),
                    select_last_index=int(last),
                )  # fmt: skip
                expected = {"y": arg(op, x, axis, keep, last)}
                name = f"{name_of(dtype, shape)}-axis{axis}"
                made.append(Case(name, model, {"x": x}, expected, onnxruntime=dtype in ONNXRUNTIME))
    for opset in (7, 11, 21):
        x = values(np.random.default_rng(0), (5, 7))
        model = one_node(op, {"x": x}, output_dtype=np.int64, opset=opset)
        made.append(Case(f"default-{opset}", model, {"x": x}, {"y": arg(op, x, 0, True)}))
    for batch in (1, 3, 8):
        x = values(np.random.default_rng(batch), (batch, 13, 5))
        model = one_node(op, {"x": x}, output_dtype=np.int64, symbolic_batch=True, axis=-1)
        made.append(Case(f"batch{batch}", model, {"x": x}, {"y": arg(op, x, -1, True)}))
    scalar = np.array(3, np.float32)
    model = one_node(op, {"x": scalar}, output_dtype=np.int64)
    made.append(Case("scalar", model, {"x": scalar}, {"y": np.array(0)}, onnxruntime=False))
    empty = np.zeros((0, 3), np.float32)
    model = one_node(op, {"x": empty}, output_dtype=np.int64, axis=1)
    made.append(Case("empty", model, {"x": empty}, {"y": np.zeros((0, 1), np.int64)}, onnxruntime=False))
    return made


def check_nan_wins(op: str) -> None:
    """The first or last NaN, in rows and in columns, as NumPy has it."""
    start = values(np.random.default_rng(0), (40, 2000))
    start[:, 7] = start[3, 1500] = start[5, 1800:1900] = np.inf
    nodes = [
        helper.make_node("Sub", ["x", "x"], ["d"]),
        helper.make_node("Add", ["d", "noise"], ["z"]),
        *(
            helper.make_node(op, ["z"], [f"y{axis}{last}"], axis=axis, keepdims=0, select_last_index=last)
            for axis in (0, 1)
            for last in (0, 1)
        ),
    ]
    outputs = {f"y{axis}{last}": np.int64 for axis in (0, 1) for last in (0, 1)}
    noise = values(np.random.default_rng(1), start.shape)
    model = model_of(nodes, {"x": (np.float32, start.shape)}, outputs, {"noise": noise})
    z = np.where(start == np.inf, np.nan, noise)
    expected = {f"y{axis}{last}": arg(op, z, axis, False, bool(last)) for axis in (0, 1) for last in (0, 1)}
    check(Case("nan", model, {"x": start}, expected, onnxruntime=False))  # which passes over NaN


def check_refused_arg(op: str) -> None:
    """Axes out of range, an axis without elements, bool."""
    x: dict[str, Any] = {"x": np.zeros((2, 3), np.float32)}
    check_refused(one_node(op, x, axis=2), x, ModelError, "axis 2 is outside", op)
    check_refused(one_node(op, x, axis=0.5), x, ModelError, "axis", op)
    x = {"x": np.zeros((2, 0), np.float32)}
    check_refused(one_node(op, x, axis=1), x, ModelError, "no elements along the axis", op)
    x = {"x": np.zeros((2, 3), np.bool_)}
    check_refused(one_node(op, x), x, UnsupportedError, "bool", op)
