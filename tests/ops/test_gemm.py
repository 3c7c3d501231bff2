from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnx import helper
from onnx_models import Array, model_of, one_node
from runner import Case, check, check_refused, isas
from samples import values
from sanderling import _core
from sanderling.errors import ModelError


def product(a: Array, b: Array, c: Array | None, alpha: float, beta: float, a_turned: int, b_turned: int) -> Array:
    """Gemm in float64."""
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    y = np.float64(np.float32(alpha)) * ((a64.T if a_turned else a64) @ (b64.T if b_turned else b64))
    return np.asarray(y if c is None else y + np.float64(np.float32(beta)) * c.astype(np.float64), np.float64)


def gemm(
    name: str,
    rows: int,
    columns: int,
    depth: int,
    c_shape: tuple[int, ...] | None = None,
    *,
    computed: tuple[str, ...] = ("a",),
    alpha: float = 1.0,
    beta: float = 1.0,
    a_turned: int = 0,
    b_turned: int = 0,
    dtype: type[np.floating[Any]] = np.float32,
    **settings: Any,
) -> Case:
    rng = np.random.default_rng(rows * 1000 + columns)
    arrays = {
        "a": values(rng, (depth, rows) if a_turned else (rows, depth), dtype),
        "b": values(rng, (columns, depth) if b_turned else (depth, columns), dtype),
    }
    if c_shape is not None:
        arrays["c"] = values(rng, c_shape, dtype)
    attributes = {"alpha": alpha, "beta": beta, "transA": a_turned, "transB": b_turned}
    given = {name: array for name, array in arrays.items() if name in computed}
    constants = {name: array for name, array in arrays.items() if name not in computed}
    model = one_node("Gemm", given, constants=constants, order=[*arrays], output_dtype=dtype, **attributes, **settings)
    c = arrays.get("c")
    sizes = (abs(arrays["a"]), abs(arrays["b"]), None if c is None else abs(c), abs(alpha), abs(beta))
    return Case(
        name,
        model,
        given,
        {"y": product(arrays["a"], arrays["b"], c, alpha, beta, a_turned, b_turned)},
        length=depth + 2,  # alpha and beta round too
        magnitude=float(product(*sizes, a_turned, b_turned).max()),
    )


def cases() -> Iterator[Case]:
    for columns in (1, 3, 5, 17, 31, 33, 65, 255, 257, 600):
        yield gemm(f"columns{columns}", 3, columns, 33, (columns,), b_turned=1)
    for rows in (1, 3, 8, 95, 97, 200):
        yield gemm(f"rows{rows}", rows, 35, 17, (35,), symbolic_batch=True)
    for depth in (1, 2, 3, 65, 1000):
        yield gemm(f"depth{depth}", 5, 9, depth, (9,))
    for b_turned in (0, 1):
        for a_turned in (0, 1):
            for computed in (("a",), ("a", "b"), ("b", "c"), ("a", "b", "c")):
                name = f"turned{a_turned}{b_turned}-{'-'.join(computed)}"
                yield gemm(name, 101, 67, 19, (67,), a_turned=a_turned, b_turned=b_turned, computed=computed)
    for c_shape in ((), (1,), (13,), (1, 13), (7, 1), (7, 13), (1, 1)):
        for computed in (("a",), ("a", "c")):
            name = f"c{'x'.join(map(str, c_shape)) or 'scalar'}-{'-'.join(computed)}"
            yield gemm(name, 7, 13, 5, c_shape, computed=computed)
            yield gemm(f"{name}-scaled", 7, 13, 5, c_shape, computed=computed, alpha=0.3, beta=-1.7)
    yield gemm("alpha", 7, 13, 5, alpha=-0.7)
    yield gemm("alpha-computed", 7, 13, 5, alpha=-0.7, computed=("a", "b"))
    yield gemm("no-c-opset11", 7, 13, 5, opset=11)
    yield gemm("opset7", 7, 13, 5, (13,), opset=7)
    yield gemm("square", 5, 5, 5, (5, 5), a_turned=1)
    yield gemm("float64", 7, 13, 5, (7, 1), dtype=np.float64, alpha=0.5, beta=2.0)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_gemm(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32, np.uint64])
@pytest.mark.parametrize("opset", [9, 11, 13])
def test_integers(dtype: type[np.integer[Any]], opset: int) -> None:
    rng = np.random.default_rng(0)
    a, b, c = values(rng, (5, 3), dtype), values(rng, (7, 5), dtype), values(rng, (7,), dtype)
    order = {"a": a, "b": b, "c": c}
    model = one_node("Gemm", order, output_dtype=dtype, opset=opset, transA=1, transB=1)
    check(Case("integers", model, order, {"y": a.T @ b.T + c}, onnxruntime=False))


def test_factors_of_integers_round_towards_zero() -> None:
    a, b, c = np.array([[3, -3]], np.int32), np.array([[1], [2]], np.int32), np.array([[5]], np.int32)
    model = one_node("Gemm", {"a": a, "b": b, "c": c}, output_dtype=np.int32, alpha=0.5, beta=-0.5)
    y = np.array([[-1 - 2]], np.int32)
    check(Case("factors", model, {"a": a, "b": b, "c": c}, {"y": y}, onnxruntime=False))


@pytest.mark.parametrize("c_shape", [(9,), (6, 1)], ids=str)
def test_a_clamp_after_it_is_part_of_it(c_shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    a, b, c = values(rng, (6, 5)), values(rng, (5, 9)), values(rng, c_shape)
    nodes = [helper.make_node("Gemm", ["a", "b", "c"], ["g"], name="node"), helper.make_node("Relu", ["g"], ["y"])]
    model = model_of(nodes, {"a": (np.float32, a.shape)}, {"y": np.float32}, {"b": b, "c": c})
    y = np.maximum(product(a, b, c, 1.0, 1.0, 0, 0), 0.0)
    magnitude = float(product(abs(a), abs(b), abs(c), 1.0, 1.0, 0, 0).max())
    check(Case(f"relu{len(c_shape)}", model, {"a": a}, {"y": y}, length=5, magnitude=magnitude, operators={"Gemm"}))
    assert "Relu" not in _core.Session(_core.Model(model.SerializeToString())).info()["operators"]


def test_a_batch_equals_its_rows_bit_for_bit() -> None:
    rng = np.random.default_rng(0)
    a = values(rng, (8, 129))
    constants = {"b": values(rng, (129, 77)), "c": values(rng, (77,))}
    model = one_node("Gemm", {"a": a}, constants=constants, symbolic_batch=True)
    for isa in isas():
        session = _core.Session(_core.Model(model.SerializeToString()), isa=isa, threads=2)
        rows = [session.run({"a": a[i : i + 1]})["y"] for i in range(8)]
        np.testing.assert_array_equal(session.run({"a": a})["y"], np.concatenate(rows), err_msg=isa)


@pytest.mark.parametrize(
    ("a_shape", "b_shape", "c_shape", "message"),
    [
        ((3, 4), (5, 6), None, r"\[3, 4\] and b \[5, 6\].*4 columns do not meet 5 rows"),
        ((3, 4, 1), (4, 6), None, r"\[3, 4, 1\] and b \[4, 6\], expected matrices"),
        ((3, 4), (4, 6), (5,), r"\[5\].*product's \[3, 6\]"),
        ((3, 4), (4, 6), (2, 6), r"\[2, 6\].*product's \[3, 6\]"),
        ((3, 4), (4, 6), (1, 1, 6), r"\[1, 1, 6\].*product's \[3, 6\]"),
    ],
)
def test_shapes_that_do_not_fit(
    a_shape: tuple[int, ...], b_shape: tuple[int, ...], c_shape: tuple[int, ...] | None, message: str
) -> None:
    inputs = {"a": np.zeros(a_shape, np.float32)}
    constants = {"b": np.zeros(b_shape, np.float32)}
    if c_shape is not None:
        constants["c"] = np.zeros(c_shape, np.float32)
    check_refused(one_node("Gemm", inputs, constants=constants), inputs, ModelError, message, "Gemm")
