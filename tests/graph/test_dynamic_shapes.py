"""Shapes that are chosen at run time, computed from others, or depend on data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "ops"))

from plans import check_as_onnxruntime, steps

import sanderling
from onnx import TensorProto, helper
from onnx_models import model_of
from runner import Case, check
from samples import values
from sanderling import _core
from sanderling.errors import InputError, ModelError

FLOAT, INT64 = np.float32, np.int64


def number(value: int) -> Any:
    return np.array(value, INT64)


def flatten_by_arithmetic() -> Any:
    """Reshape to [N, rest], as torch exports x.view(x.size(0), -1)."""
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Shape", ["a"], ["shape"], start=0, end=1),
        helper.make_node("Concat", ["shape", "minus"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["a", "wanted"], ["b"]),
        helper.make_node("MatMul", ["b", "w"], ["y"]),
    ]
    constants = {"minus": np.array([-1], INT64), "w": values(np.random.default_rng(1), (12, 5))}
    return model_of(nodes, {"x": (FLOAT, ("N", 3, 4))}, {"y": FLOAT}, constants)


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_shape_arithmetic(batch: int) -> None:
    x, w = values(np.random.default_rng(0), (batch, 3, 4)), values(np.random.default_rng(1), (12, 5))
    expected = np.maximum(x, 0).reshape(batch, 12).astype(np.float64) @ w
    check(Case("flatten", flatten_by_arithmetic(), {"x": x}, {"y": expected}, length=12))


def test_shape_arithmetic_is_done_before_the_run() -> None:
    session = _core.Session(_core.Model(flatten_by_arithmetic().SerializeToString()))
    steps = session.profile([np.zeros((2, 3, 4), FLOAT)])
    assert [step[0] for step in steps] == ["Relu", "MatMul"]


def shuffled_windows() -> Any:
    """Padding to even extents, a channel shuffle and windows of 2 x 2, as exporters write ShuffleNet's and Swin's."""
    nodes: list[Any] = []

    def add(op: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(op, list(inputs), [f"{op}{len(nodes)}"], **attributes))
        return str(nodes[-1].output[0])

    def extent(of: str, axis: int) -> str:
        return add("Gather", add("Shape", of), str(axis))

    def shape(*extents: str) -> str:
        return add("Concat", *(add("Unsqueeze", extent, "axis0") for extent in extents), axis=0)

    def half(extent: str) -> str:
        return add("Cast", add("Cast", add("Div", extent, "2"), to=TensorProto.INT32), to=TensorProto.INT64)

    missing = [add("Mod", add("Sub", "2", add("Mod", extent("x", axis), "2")), "2") for axis in (2, 3)]
    even = add("Pad", "x", shape("0", "0", "0", "0", "0", "0", *missing))
    n, c, h, w = (extent(even, axis) for axis in range(4))
    groups = add("Reshape", even, shape(n, "2", half(c), h, w))
    shuffled = add("Reshape", add("Transpose", groups, perm=[0, 2, 1, 3, 4]), shape(n, "-1", h, w))
    left = add("Slice", shuffled, shape("0"), shape(half(c)), shape("1"))
    windows = add("Reshape", left, shape(n, half(c), half(h), "2", half(w), "2"))
    rows = add("Reshape", add("Transpose", windows, perm=[0, 2, 4, 3, 5, 1]), shape("-1", "4", half(c)))
    nodes.append(helper.make_node("Relu", [rows], ["y"]))
    constants = {str(i): number(i) for i in range(-1, 5)} | {"axis0": np.array([0], INT64)}
    return model_of(nodes, {"x": (FLOAT, ("N", 6, "H", "W"))}, {"y": FLOAT}, constants)


@pytest.mark.parametrize("shape", [(1, 6, 4, 6), (2, 6, 5, 8), (3, 6, 7, 3)], ids=str)
def test_no_step_is_left_of_long_shape_arithmetic(shape: tuple[int, ...]) -> None:
    model, x = shuffled_windows(), {"x": values(np.random.default_rng(0), shape)}
    check_as_onnxruntime(model, x)
    cut = ["Slice"] if shape[0] > 1 else []  # of one row it lies in one run
    assert steps(model, x) == ["Pad", "Transpose", *cut, "Transpose", "Relu"]


def test_plans_are_kept_by_shape_and_forgotten() -> None:
    session = _core.Session(_core.Model(flatten_by_arithmetic().SerializeToString()))
    rng, w = np.random.default_rng(0), values(np.random.default_rng(1), (12, 5))
    for batch in [*range(1, 40), *range(1, 40), 40, 1, 40, 1]:
        x = values(rng, (batch, 3, 4))
        (y,) = session.run([x])
        np.testing.assert_allclose(y, np.maximum(x, 0).reshape(batch, 12) @ w, rtol=1e-4, atol=1e-4)


def rows_that_sum_above_zero() -> Any:
    """Boolean selection: what torch exports for x[x.sum(1) > 0], and something on what is left."""
    nodes = [
        helper.make_node("MatMul", ["x", "ones"], ["sums"]),
        helper.make_node("Relu", ["sums"], ["positive"]),
        helper.make_node("NonZero", ["positive"], ["index"]),
        helper.make_node("Cast", ["index"], ["as_float"], to=TensorProto.FLOAT),
        helper.make_node("Shape", ["index"], ["shape"]),
        helper.make_node("Transpose", ["as_float"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["t", "w"], ["y"]),
        helper.make_node("Add", ["sums", "sums"], ["twice"]),
    ]
    constants = {"ones": np.ones(5, FLOAT), "w": np.ones((1, 3), FLOAT)}
    return model_of(
        nodes, {"x": (FLOAT, ("N", 5))}, {"y": FLOAT, "shape": INT64, "twice": FLOAT, "x": FLOAT}, constants
    )


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("isa", ["reference", None])
def test_shapes_that_depend_on_data(isa: str | None, threads: int) -> None:
    session = _core.Session(_core.Model(rows_that_sum_above_zero().SerializeToString()), isa=isa, threads=threads)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x = values(rng, (int(rng.integers(1, 9)), 5))
        if seed % 7 == 0:
            x = -np.abs(x)  # none is left
        y, shape, twice, same = session.run([x])
        (index,) = np.nonzero(np.maximum(x.sum(1, dtype=np.float32), 0))
        if np.abs(x.sum(1)).min() < 1e-5:
            continue
        np.testing.assert_array_equal(shape, [1, len(index)])
        np.testing.assert_array_equal(y, np.repeat(index[:, None].astype(FLOAT), 3, axis=1))
        np.testing.assert_allclose(twice, 2 * x.sum(1), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(same, x)


def test_outputs_whose_shape_is_not_known_before() -> None:
    nodes = [helper.make_node("NonZero", ["x"], ["y"])]
    session = sanderling.Session(model_of(nodes, {"x": (FLOAT, (4,))}, {"y": INT64}).SerializeToString())
    x, y = np.array([0, 1, 0, 2], FLOAT), np.zeros((1, 2), INT64)
    np.testing.assert_array_equal(session.run(x), [[1, 3]])
    session.run_into(x, y)
    np.testing.assert_array_equal(y, [[1, 3]])
    call = session.bind(x, y)
    x[:] = [3, 0, 0, 1]
    call()
    np.testing.assert_array_equal(y, [[0, 3]])
    x[:] = 1
    for late in (call, lambda: session.run_into(x, y)):
        with pytest.raises(InputError, match=r"output 'y' is int64\[1, 2\], the model writes int64\[1, 4\]"):
            late()
    np.testing.assert_array_equal(session.run(x), [[0, 1, 2, 3]])
    with pytest.raises(InputError, match="shares memory"):
        session.run_into(x, x.view(INT64)[None])


def test_what_a_failed_run_leaves_behind() -> None:
    """An error in the middle of a run changes nothing for the next one."""
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Reshape", ["a", "shape"], ["b"]),
        helper.make_node("Add", ["b", "b"], ["y"]),
    ]
    model = model_of(nodes, {"x": (FLOAT, (6,)), "shape": (INT64, ("R",))}, {"y": FLOAT})
    session = _core.Session(_core.Model(model.SerializeToString()))
    x = values(np.random.default_rng(0), (6,))
    for shape in ([2, 3], [4, 2], [3, 2], [-1, -1], [6], [1, -1, 3]):
        wanted = np.array(shape, INT64)
        if shape in ([4, 2], [-1, -1]):
            with pytest.raises(ModelError, match=r"\[Reshape\] node 'Reshape_1'"):
                session.run([x, wanted])
        else:
            (y,) = session.run([x, wanted])
            np.testing.assert_array_equal(y, 2 * np.maximum(x, 0).reshape(shape))


def test_empty_tensors_on_their_way() -> None:
    nodes = [
        helper.make_node("Concat", ["past", "x"], ["all"], axis=1),
        helper.make_node("MatMul", ["all", "w"], ["y"]),
        helper.make_node("MatMul", ["past", "w"], ["none"]),
    ]
    w = values(np.random.default_rng(1), (3, 4))
    model = model_of(
        nodes,
        {"past": (FLOAT, (2, "P", 3)), "x": (FLOAT, (2, 1, 3))},
        {"y": FLOAT, "none": FLOAT, "all": FLOAT},
        {"w": w},
    )
    x = values(np.random.default_rng(0), (2, 1, 3))
    for length in (0, 1, 0, 5):
        past = values(np.random.default_rng(length), (2, length, 3))
        joined = np.concatenate([past, x], axis=1)
        expected = {"y": joined.astype(np.float64) @ w, "none": past.astype(np.float64) @ w, "all": joined}
        check(Case(f"past{length}", model, {"past": past, "x": x}, expected, length=3))


def test_layers_of_a_model_whose_shapes_depend_on_data() -> None:
    layers = sanderling.load(rows_that_sum_above_zero().SerializeToString()).layers({"x": [2, 5]})
    shapes = {name: shape for layer in layers for name, _, shape in layer.outputs}
    assert shapes["sums"] == (2,)
    assert shapes["index"] is None
    assert shapes["y"] is None
    assert shapes["twice"] == (2,)
