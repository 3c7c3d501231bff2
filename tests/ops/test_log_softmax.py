from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from onnx import helper
from onnx_models import Array, model_of, one_node
from runner import Case, check, check_refused
from samples import name_of, values
from sanderling.errors import ModelError, UnsupportedError


def log_softmax(x: Array, axis: int) -> npt.NDArray[np.float64]:
    wide = x.astype(np.float64)
    shifted = wide - wide.max(axis, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis, keepdims=True)))


def flat(x: Array, axis: int) -> npt.NDArray[np.float64]:
    """Before opset 13: the rows of a matrix whose columns begin at `axis`."""
    rows = int(np.prod(x.shape[: axis % x.ndim]))
    return log_softmax(x.reshape(rows, -1), 1).reshape(x.shape)


def cases() -> list[Case]:
    made = []
    for dtype in (np.float32, np.float64):
        for shape in ((7,), (3, 1), (8, 13), (3, 5, 7, 11), (5, 2011), (70, 33), (2, 19, 600)):
            x = values(np.random.default_rng(len(shape)), shape, dtype)
            for axis in range(-len(shape), len(shape)):
                for opset, reference in ((13, log_softmax), (11, flat)):
                    row = x.shape[axis] if opset == 13 else x[(0,) * (axis % x.ndim)].size
                    model = one_node("LogSoftmax", {"x": x}, output_dtype=dtype, opset=opset, axis=axis)
                    name = f"{name_of(dtype, shape)}-axis{axis}-{opset}"
                    known = dtype is np.float32 and row < 1000  # ONNX Runtime sums in float32
                    made.append(Case(name, model, {"x": x}, {"y": reference(x, axis)}, onnxruntime=known))
    x = values(np.random.default_rng(0), (3, 5, 7))
    made.append(Case("default", one_node("LogSoftmax", {"x": x}), {"x": x}, {"y": log_softmax(x, -1)}))
    made.append(Case("default-7", one_node("LogSoftmax", {"x": x}, opset=7), {"x": x}, {"y": flat(x, 1)}))
    scalar = np.array(3, np.float32)
    made.append(
        Case("scalar", one_node("LogSoftmax", {"x": scalar}), {"x": scalar}, {"y": np.array(0.0)}, onnxruntime=False)
    )
    for batch in (1, 3, 8):
        x = values(np.random.default_rng(batch), (batch, 13))
        model = one_node("LogSoftmax", {"x": x}, symbolic_batch=True)
        made.append(Case(f"batch{batch}", model, {"x": x}, {"y": log_softmax(x, -1)}))
    return made


@pytest.mark.parametrize("case", cases(), ids=str)
def test_log_softmax(case: Case) -> None:
    check(case)


def test_large_numbers_do_not_overflow() -> None:
    x = np.array([[1e4, 1e4 - 1, -1e4], [-1e38, 0, 1e38], [88, 89, 90]], np.float32)
    expected = {"y": log_softmax(x, -1)}
    check(Case("large", one_node("LogSoftmax", {"x": x}), {"x": x}, expected))


def test_infinities_and_nan() -> None:
    """As Softmax: -inf has probability 0; +inf, NaN or nothing but -inf make the row NaN."""
    inf = np.inf
    x = np.array([[-inf, 0, 0], [inf, 0, 1], [-inf, -inf, -inf], [1, 2, 3]], np.float32)
    nodes = [
        helper.make_node("LogSoftmax", ["x"], ["y"]),
        helper.make_node("Transpose", ["x"], ["t"]),
        helper.make_node("LogSoftmax", ["t"], ["z"], axis=0),
        helper.make_node("Sub", ["x", "x"], ["d"]),
        helper.make_node("LogSoftmax", ["d"], ["w"]),
    ]
    model = model_of(nodes, {"x": (np.float32, x.shape)}, dict.fromkeys("yzw", np.float32))
    nan, third, half = [np.nan] * 3, [-np.log(3)] * 3, -np.log(2)
    y = np.array([[-inf, half, half], nan, nan, log_softmax(x[3:], -1)[0]])
    check(Case("infinities", model, {"x": x}, {"y": y, "z": y.T, "w": np.array([nan, nan, nan, third])}))


def test_empty() -> None:
    x = np.zeros((2, 0), np.float32)
    for axis in (0, 1):
        check(Case("empty", one_node("LogSoftmax", {"x": x}, axis=axis), {"x": x}, {"y": x}, onnxruntime=False))


@pytest.mark.parametrize("axis", [-3, 2])
def test_axis_out_of_range(axis: int) -> None:
    x = {"x": np.zeros((2, 3), np.float32)}
    check_refused(one_node("LogSoftmax", x, axis=axis), x, ModelError, f"axis {axis} is outside", "LogSoftmax")


def test_integers() -> None:
    x: dict[str, Any] = {"x": np.zeros((2, 3), np.int32)}
    check_refused(one_node("LogSoftmax", x), x, UnsupportedError, "int32", "LogSoftmax")
