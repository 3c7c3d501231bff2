from typing import Any

import numpy as np
import pytest

from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError, UnsupportedError


def hardmax(x: Array, axis: int) -> Array:
    y = np.zeros_like(x)
    np.put_along_axis(y, np.expand_dims(x.argmax(axis), axis), 1, axis)
    return y


def flat(x: Array, axis: int) -> Array:
    """Before opset 13: the rows of a matrix whose columns begin at `axis`."""
    rows = int(np.prod(x.shape[: axis % x.ndim]))
    return hardmax(x.reshape(rows, -1), 1).reshape(x.shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(7,), (3, 1), (8, 13), (3, 5, 7, 11)], ids=str)
def test_hardmax(shape: tuple[int, ...], dtype: type) -> None:
    x = np.round(values(np.random.default_rng(0), shape, dtype))  # ties go to the first
    for axis in range(-len(shape), len(shape)):
        for opset, reference in ((13, hardmax), (11, flat)):
            model = one_node("Hardmax", {"x": x}, output_dtype=dtype, opset=opset, axis=axis)
            expected = {"y": reference(x, axis)}
            check(Case(f"{axis}-{opset}", model, {"x": x}, expected, exact=True, onnxruntime=dtype is np.float32))
    model = one_node("Hardmax", {"x": x}, output_dtype=dtype)
    known = dtype is np.float32  # what ONNX Runtime has it for
    check(Case("default", model, {"x": x}, {"y": hardmax(x, -1)}, onnxruntime=known))


def test_extremes() -> None:
    scalar = np.array(3, np.float32)
    model = one_node("Hardmax", {"x": scalar})
    check(Case("scalar", model, {"x": scalar}, {"y": np.array(1.0)}, onnxruntime=False))
    empty = np.zeros((2, 0), np.float32)
    check(Case("empty", one_node("Hardmax", {"x": empty}), {"x": empty}, {"y": empty}, onnxruntime=False))
    x = np.array([[-np.inf, -np.inf], [1, np.inf]], np.float32)
    check(Case("infinite", one_node("Hardmax", {"x": x}), {"x": x}, {"y": np.array([[1.0, 0], [0, 1]])}))


def test_refused() -> None:
    x: dict[str, Any] = {"x": np.zeros((2, 3), np.float32)}
    check_refused(one_node("Hardmax", x, axis=2), x, ModelError, "axis 2 is outside", "Hardmax")
    x = {"x": np.zeros((2, 3), np.int32)}
    check_refused(one_node("Hardmax", x), x, UnsupportedError, "int32", "Hardmax")
