from typing import Any

import numpy as np
import pytest

import onnx
from arg_cases import DTYPES
from onnx import helper
from onnx_models import Array, model_of, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError, UnsupportedError


def top(x: Array, k: int, axis: int, largest: bool = True) -> dict[str, Array]:
    """Of equal elements that with the lower index is first."""
    if largest:
        order = np.flip(x.shape[axis] - 1 - np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
    else:
        order = np.argsort(x, axis, kind="stable")
    indices = np.take(order, range(k), axis)
    return {"values": np.take_along_axis(x, indices, axis), "indices": indices.astype(np.int64)}


def top_model(x: Array, k: int, opset: int = 21, batch: bool = False, **attributes: Any) -> onnx.ModelProto:
    """With k as its opset has it."""
    node = helper.make_node("TopK", ["x", "k"], ["values", "indices"], name="node", **attributes)
    constants = {"k": np.array([k], np.int64)}
    if opset < 10:
        node, constants = helper.make_node("TopK", ["x"], ["values", "indices"], k=k, **attributes), {}
    shape = ("N", *x.shape[1:]) if batch else x.shape
    return model_of([node], {"x": (x.dtype, shape)}, {"values": x.dtype, "indices": np.int64}, constants, opset)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(dtype: type) -> None:
    x = np.asarray(np.round(np.clip(values(np.random.default_rng(1), (3, 5, 7), np.float32), 0, 9)), dtype)
    known = dtype in (np.float32, np.float64, np.int32, np.int64)
    for axis in range(-3, 3):
        for largest in (0, 1):
            model = top_model(x, 3, axis=axis, largest=largest, sorted=1)
            expected = top(x, 3, axis, bool(largest))
            check(Case(f"{axis}-{largest}", model, {"x": x}, expected, exact=True, onnxruntime=known))


@pytest.mark.parametrize("length", [1, 2, 40, 1000])
def test_shares(length: int) -> None:
    """All ways to select: a heap, a partition, a whole sort; ties; rows that are sorted already."""
    rng = np.random.default_rng(length)
    rising = np.arange(length, dtype=np.float32)
    rows = [values(rng, (length,)), np.round(values(rng, (length,))), rising, rising[::-1], 0 * rising]
    x = np.array(rows, np.float32)
    for k in sorted({0, 1, length // 100, length // 10, length // 2, length - 1, length}):
        for largest in (0, 1):
            case = Case(
                f"{k}-{largest}", top_model(x, k, largest=largest), {"x": x}, top(x, k, -1, bool(largest)), exact=True
            )
            check(case)


def test_opsets_and_batches() -> None:
    x = values(np.random.default_rng(0), (5, 7))
    for opset in (7, 10, 11, 24):
        check(Case(f"{opset}", top_model(x, 3, opset), {"x": x}, top(x, 3, -1), onnxruntime=opset != 24))
    check(Case("axis", top_model(x, 3, 9, axis=0), {"x": x}, top(x, 3, 0)))
    for batch in (1, 3, 8):
        x = values(np.random.default_rng(batch), (batch, 13))
        check(Case(f"batch{batch}", top_model(x, 3, batch=True), {"x": x}, top(x, 3, -1)))
    x = np.zeros((0, 4), np.float32)
    check(Case("empty", top_model(x, 2), {"x": x}, top(x, 2, -1), onnxruntime=False))


def test_nan_is_largest() -> None:
    x = np.array([[1, np.inf, 2, 0, np.inf]], np.float32)
    for largest, indices in ((1, [1, 4, 0, 2]), (0, [0, 2, 3, 1])):
        nodes = [
            helper.make_node("Sub", ["x", "x"], ["d"]),
            helper.make_node("TopK", ["d", "k"], ["", "indices"], largest=largest),
        ]
        model = model_of(nodes, {"x": (np.float32, x.shape)}, {"indices": np.int64}, {"k": np.array([4])})
        check(Case("nan", model, {"x": x}, {"indices": np.array([indices])}, onnxruntime=False))  # order of NaN open


def test_a_count_that_is_computed() -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["found"]),
        helper.make_node("Shape", ["found"], ["k"], start=1),
        helper.make_node("TopK", ["x", "k"], ["y"]),
    ]
    model = model_of(nodes, {"x": (np.float32, (6,))}, {"y": np.float32})  # ONNX Runtime wants both outputs
    for x in (np.array([0, 3, 0, -1, 4, 0], np.float32), np.zeros(6, np.float32)):
        check(
            Case(
                "computed",
                model,
                {"x": x},
                {"y": np.sort(x)[::-1][: np.count_nonzero(x)]},
                exact=True,
                onnxruntime=False,
            )
        )


def test_refused() -> None:
    x: dict[str, Array] = {"x": np.zeros((2, 3), np.float32)}

    def refused(k: Any, message: str, error: type[Exception] = ModelError, **attributes: Any) -> None:
        constants = {"k": np.asarray(k, np.int64)}
        check_refused(one_node("TopK", x, constants=constants, **attributes), x, error, message, "TopK")

    refused([4], "K is 4, axis 1 of input 0 has 3 elements")
    refused([-1], "K is -1")
    refused([1, 2], "K has shape")
    refused([1], "axis 2 is outside", axis=2)
    check_refused(one_node("TopK", x, opset=9), x, ModelError, "has no attribute 'k'", "TopK")
    check_refused(one_node("TopK", x, opset=11), x, ModelError, "input 1", "TopK")
    x = {"x": np.zeros((2, 3), np.bool_)}
    refused([1], "bool", UnsupportedError)
