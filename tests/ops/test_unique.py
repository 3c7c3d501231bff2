from typing import Any

import ml_dtypes
import numpy as np
import pytest

import onnx
from arg_cases import DTYPES
from onnx import helper
from onnx_models import Array, model_of, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError, UnsupportedError

NAMES = ("y", "indices", "inverse", "counts")


def unique(x: Array, axis: int | None, in_order: bool) -> dict[str, Array]:
    y, indices, inverse, counts = np.unique(x, True, True, True, axis=axis)
    inverse = inverse.reshape(-1)
    if not in_order:
        order = np.argsort(indices)
        place = np.argsort(order)
        y, indices, inverse, counts = np.take(y, order, axis or 0), indices[order], place[inverse], counts[order]
    return {"y": y, **{n: a.astype(np.int64) for n, a in zip(NAMES[1:], (indices, inverse, counts), strict=True)}}


def model(x: Array, names: tuple[str, ...] = NAMES, opset: int = 11, **attributes: Any) -> onnx.ModelProto:
    node = helper.make_node("Unique", ["x"], list(names), name="node", **attributes)
    outputs = {name: x.dtype if name == "y" else np.int64 for name in names if name}
    return model_of([node], {"x": (x.dtype, x.shape)}, outputs, opset=opset)


@pytest.mark.parametrize("dtype", [*DTYPES, np.bool_])
def test_dtypes(dtype: type) -> None:
    """ONNX Runtime has it for these only."""
    x = np.asarray(np.random.default_rng(0).integers(0, 4, (5, 3)), dtype)
    known = dtype in (np.float32, np.float64, np.int64, np.int8)
    for in_order in (0, 1):
        expected = unique(x, None, bool(in_order))
        check(Case(f"{in_order}", model(x, sorted=in_order), {"x": x}, expected, exact=True, onnxruntime=known))


@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1, -3])
def test_axes(axis: int | None) -> None:
    x = np.random.default_rng(1).integers(0, 2, (4, 3, 4)).astype(np.float32)
    x[:, :, 3] = x[:, :, 1]
    given = {} if axis is None else {"axis": axis}
    for in_order in (0, 1):
        expected = unique(x, axis, bool(in_order))
        check(Case(f"{in_order}", model(x, sorted=in_order, **given), {"x": x}, expected, exact=True))


def test_outputs_that_are_left_out() -> None:
    x = np.round(values(np.random.default_rng(1), (50,)))
    expected = unique(x, None, True)
    for names in (("y",), ("y", "", "inverse"), ("y", "", "", "counts"), ("", "indices")):
        wanted = {name: expected[name] for name in names if name}
        known = bool(names[0])
        check(Case("-".join(names), model(x, names, 21), {"x": x}, wanted, exact=True, onnxruntime=known))


def test_extremes() -> None:
    none = np.zeros(0, np.int64)
    nothing = {"y": np.zeros(0, np.float32), "indices": none, "inverse": none, "counts": none}
    x = np.zeros(0, np.float32)
    check(Case("empty", model(x), {"x": x}, nothing, onnxruntime=False))
    x = np.array(3, np.float32)
    expected = {"y": np.array([3.0]), **{n: np.array([v]) for n, v in zip(NAMES[1:], (0, 0, 1), strict=True)}}
    check(Case("scalar", model(x), {"x": x}, expected, onnxruntime=False))
    x = np.zeros((3, 0), np.float32)
    expected = {"y": x[:1], "indices": np.array([0]), "inverse": np.array([0, 0, 0]), "counts": np.array([3])}
    check(Case("hollow", model(x, axis=0), {"x": x}, expected, onnxruntime=False))


def test_nan_is_one_value() -> None:
    x = np.array([np.inf, 1, np.inf, -1, 0], np.float32)
    nodes = [helper.make_node("Sub", ["x", "x"], ["d"]), helper.make_node("Add", ["d", "n"], ["z"])]
    nodes.append(helper.make_node("Unique", ["z"], list(NAMES)))
    outputs = {name: np.float32 if name == "y" else np.int64 for name in NAMES}
    noise = np.array([5, 4, 3, 4, -2], np.float32)
    z = np.where(x == np.inf, np.nan, noise)
    made = model_of(nodes, {"x": (np.float32, x.shape)}, outputs, {"n": noise})
    check(Case("nan", made, {"x": x}, unique(z, None, True), exact=True, onnxruntime=False))  # each by itself there


def test_refused() -> None:
    x: dict[str, Any] = {"x": np.zeros((2, 3), np.float32)}
    check_refused(one_node("Unique", x, axis=2), x, ModelError, "axis 2 is outside", "Unique")
    check_refused(one_node("Unique", x, axis="up"), x, ModelError, "axis", "Unique")
    x = {"x": np.zeros((1 << 30, 0), np.float32)}  # takes no memory
    check_refused(one_node("Unique", x, axis=0), x, ModelError, "more than the limit", "Unique")
    x = {"x": np.zeros((2, 3), ml_dtypes.float8_e5m2)}
    dtype = ml_dtypes.float8_e5m2
    check_refused(one_node("Unique", x, output_dtype=dtype), x, UnsupportedError, "float8_e5m2", "Unique")
