from typing import Any

import numpy as np
import pytest

from binary_cases import INTEGER_PAIRS, batched, check_integers_are_planned, float_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError


@pytest.mark.parametrize(
    "case",
    [
        *float_cases("Div", np.divide, opset=7),
        *batched("Div", np.divide),
    ],
    ids=str,
)
def test_div(case: Case) -> None:
    check(case)


def test_integers_are_planned() -> None:
    check_integers_are_planned("Div")


def truncated(a: Array, b: Array) -> Array:
    """Integer division toward zero in exact Python integers; by zero it is 0, and the result wraps into the dtype."""
    bits = 8 * a.dtype.itemsize
    quotients = []
    for x, y in zip(a.reshape(-1).tolist(), b.reshape(-1).tolist(), strict=True):
        quotient = 0 if y == 0 else abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
        quotients.append(quotient % (1 << bits))
    return np.array(quotients, f"uint{bits}").view(a.dtype).reshape(a.shape)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.int64])
def test_integers_truncate(dtype: Any) -> None:
    rng = np.random.default_rng(7)
    info = np.iinfo(np.dtype(dtype))
    edges = np.array([info.min, info.max, 0, 1, 7], dtype)
    a = np.concatenate([values(rng, (200,), dtype), np.repeat(edges, 5)])
    b = np.concatenate([rng.integers(max(info.min, -20), 20, 200, dtype, endpoint=True), np.tile(edges, 5)])
    if info.min < 0:
        a, b = np.append(a, [dtype(info.min), dtype(-7), dtype(7)]), np.append(b, [dtype(-1), dtype(2), dtype(-2)])
    inputs = {"a": a.astype(dtype), "b": b.astype(dtype)}
    # ONNX leaves division by zero open, and ONNX Runtime traps on it.
    model, expected = one_node("Div", inputs, output_dtype=dtype, opset=14), {"y": truncated(*inputs.values())}
    check(Case(f"integers-{np.dtype(dtype).name}", model, inputs, expected, onnxruntime=False))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
@pytest.mark.parametrize(("a_shape", "b_shape"), INTEGER_PAIRS)
def test_integers_are_broadcast(dtype: Any, a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    divisors = np.array([-3, -1, 0, 1, 2, 9]).astype(dtype)
    inputs = {"a": values(rng, a_shape, dtype), "b": np.asarray(rng.choice(divisors, b_shape), dtype)}
    model = one_node("Div", inputs, output_dtype=dtype, opset=14)
    expected = {"y": truncated(*np.broadcast_arrays(*inputs.values()))}
    check(Case("integers", model, inputs, expected, onnxruntime=False))


def test_float_division_by_zero() -> None:
    inputs = {"a": np.array([1, -1, 0, 3], np.float32), "b": np.array([0, 0, 0, -0.0], np.float32)}
    expected = {"y": np.array([np.inf, -np.inf, np.nan, -np.inf])}
    check(Case("by-zero", one_node("Div", inputs), inputs, expected))


def test_shapes_that_do_not_broadcast() -> None:
    inputs = {"a": np.zeros((2, 3), np.float32), "b": np.zeros((2, 4), np.float32)}
    check_refused(one_node("Div", inputs), inputs, ModelError, r"\[2, 3\] and \[2, 4\].*3 against 4", "Div")


def test_dtypes_that_differ() -> None:
    inputs = {"a": np.zeros(3, np.float32), "b": np.zeros(3, np.int32)}
    check_refused(one_node("Div", inputs), inputs, ModelError, "int32.*float32", "Div")


def test_bool() -> None:
    inputs = {"a": np.zeros(3, np.bool_), "b": np.zeros(3, np.bool_)}
    check_refused(one_node("Div", inputs), inputs, ModelError, "bool", "Div")
