from typing import Any

import ml_dtypes
import numpy as np
import pytest

from arg_cases import DTYPES
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError


def chosen(x: Array, condition: Array, axis: int | None) -> Array:
    length = x.size if axis is None else x.shape[axis]
    return np.compress(condition[:length], x, axis)


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("axis", [None, 0, 1, -1, -3])
def test_axes(axis: int | None, constant: bool) -> None:
    x = values(np.random.default_rng(0), (3, 5, 7))
    length = x.size if axis is None else x.shape[axis]
    rng = np.random.default_rng(1)
    conditions = [rng.random(length) < 0.5, np.zeros(length, bool), np.ones(length, bool), rng.random(2) < 0.9]
    for i, condition in enumerate([*conditions, np.ones(length + 3, bool), np.zeros(0, bool)]):
        given = {} if axis is None else {"axis": axis}
        inputs, constants = {"x": x}, {"c": condition}
        if not constant:
            inputs, constants = {"x": x, "c": condition}, {}
        model = one_node("Compress", inputs, constants=constants, opset=(9, 11)[i % 2], **given)
        expected = {"y": chosen(x, condition, axis)}
        known = condition.size > 0
        check(Case(f"{i}", model, inputs, expected, exact=True, onnxruntime=known))


@pytest.mark.parametrize("dtype", [*DTYPES, np.bool_, ml_dtypes.bfloat16, np.float16, ml_dtypes.float8_e5m2])
def test_dtypes(dtype: Any) -> None:
    x = np.asarray(np.arange(12).reshape(3, 4) % 7, dtype)
    condition = np.array([True, False, True])
    model = one_node("Compress", {"x": x, "c": condition}, output_dtype=dtype, axis=0)
    expected = {"y": x[condition]}
    narrow = np.dtype(dtype).name in ("bfloat16", "float8_e5m2")
    check(Case("dtype", model, {"x": x, "c": condition}, expected, exact=True, onnxruntime=not narrow))


def test_extremes() -> None:
    scalar, one = np.array(3, np.float32), np.array([True])
    model = one_node("Compress", {"x": scalar, "c": one})
    check(Case("scalar", model, {"x": scalar, "c": one}, {"y": np.array([3.0])}, onnxruntime=False))
    empty, both = np.zeros((2, 0), np.float32), np.ones(2, bool)
    model = one_node("Compress", {"x": empty, "c": both}, axis=0)
    check(Case("empty", model, {"x": empty, "c": both}, {"y": empty}, onnxruntime=False))


def test_a_symbolic_batch() -> None:
    x = values(np.random.default_rng(0), (8, 5))
    condition = np.array([True, False, True, True, False])
    model = one_node("Compress", {"x": x}, constants={"c": condition}, axis=1, symbolic_batch=True)
    for batch in (1, 3, 8):
        check(Case(f"{batch}", model, {"x": x[:batch]}, {"y": x[:batch, condition]}, exact=True))


def test_refused() -> None:
    x: dict[str, Any] = {"x": np.zeros((2, 3), np.float32)}

    def refused(condition: Array, message: str, **attributes: Any) -> None:
        model = one_node("Compress", x, constants={"c": condition}, **attributes)
        check_refused(model, x, ModelError, message, "Compress")

    refused(np.ones(2, bool), "axis 2 is outside", axis=2)
    refused(np.ones(2, np.int64), "expected a list of bool")
    refused(np.ones((2, 1), bool), "expected a list of bool")
