from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnx import helper
from onnx_models import model_of, one_node
from runner import Case, check, check_refused, isas
from samples import values
from sanderling import _core
from sanderling.errors import ModelError

# NumPy's matmul: vectors on either side, stacks of matrices, stacks that repeat.
PAIRS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((5,), (5,)),
    ((5,), (5, 7)),
    ((3, 5), (5,)),
    ((3, 5), (5, 7)),
    ((1, 1), (1, 1)),
    ((8, 3, 5), (5, 7)),
    ((8, 3, 5), (5,)),
    ((3, 5), (8, 5, 7)),
    ((5,), (8, 5, 7)),
    ((8, 3, 5), (8, 5, 7)),
    ((8, 3, 5), (8, 5, 7)),
    ((2, 1, 3, 5), (3, 5, 7)),
    ((3, 1, 4, 5), (1, 2, 5, 6)),
    ((2, 1, 2, 1, 2, 3, 4), (2, 1, 2, 1, 4, 3)),
    ((101, 33), (33, 600)),
    ((1, 300), (300, 700)),
    ((3, 130, 65), (65, 31)),
    ((3, 130, 17), (3, 17, 130)),
)


def matmul(name: str, a_shape: tuple[int, ...], b_shape: tuple[int, ...], known: str, **settings: Any) -> Case:
    """`known` are the operands that are initializers."""
    rng = np.random.default_rng(len(name))
    dtype = settings.pop("dtype", np.float32)
    arrays = {"a": values(rng, a_shape, dtype), "b": values(rng, b_shape, dtype)}
    given = {name: array for name, array in arrays.items() if name not in known}
    constants = {name: array for name, array in arrays.items() if name in known}
    model = one_node("MatMul", given, constants=constants, order=["a", "b"], output_dtype=dtype, **settings)
    a, b = arrays["a"].astype(np.float64), arrays["b"].astype(np.float64)
    magnitude = float(np.max(abs(a) @ abs(b)))
    return Case(name, model, given, {"y": np.asarray(a @ b)}, length=a_shape[-1], magnitude=magnitude)


def cases() -> Iterator[Case]:
    for a_shape, b_shape in PAIRS:
        for known in ("b", "a", ""):
            name = f"{'x'.join(map(str, a_shape))}-by-{'x'.join(map(str, b_shape))}-knows{known}"
            yield matmul(name, a_shape, b_shape, known)
    for batch in (1, 3, 8):
        yield matmul(f"batch{batch}", (batch, 5, 17), (17, 33), "b", symbolic_batch=True)
        yield matmul(f"batch{batch}-both", (batch, 5, 17), (batch, 17, 33), "", symbolic_batch=True)
    for columns in (1, 3, 5, 17, 31, 33, 65, 257):
        yield matmul(f"columns{columns}", (3, 33), (33, columns), "b")
        yield matmul(f"columns{columns}-computed", (3, 33), (33, columns), "")
    yield matmul("float64", (8, 3, 5), (5, 7), "b", dtype=np.float64)
    yield matmul("opset7", (3, 5), (5, 7), "b", opset=7)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_mat_mul(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32, np.uint64])
@pytest.mark.parametrize("shapes", [((3, 5), (5, 7)), ((2, 3, 5), (5,)), ((2, 0), (0, 3))], ids=str)
def test_integers_wrap_around(shapes: tuple[tuple[int, ...], tuple[int, ...]], dtype: type[np.integer[Any]]) -> None:
    rng = np.random.default_rng(0)
    a, b = (values(rng, shape, dtype) for shape in shapes)
    model = one_node("MatMul", {"a": a, "b": b}, output_dtype=dtype)
    # ONNX Runtime's sums of int32 overflow, which C++ leaves undefined.
    check(Case("integers", model, {"a": a, "b": b}, {"y": np.matmul(a, b)}, onnxruntime=False))


def test_a_clamp_after_it_is_part_of_it() -> None:
    rng = np.random.default_rng(0)
    a, b = values(rng, (3, 6, 5)), values(rng, (5, 9))
    bounds = {"low": np.float32(-0.5), "high": np.float32(1.5)}
    nodes = [
        helper.make_node("MatMul", ["a", "b"], ["m"], name="node"),
        helper.make_node("Clip", ["m", "low", "high"], ["y"]),
    ]
    model = model_of(nodes, {"a": (np.float32, a.shape)}, {"y": np.float32}, {"b": b} | bounds)
    y = np.clip(a.astype(np.float64) @ b, -0.5, 1.5)
    magnitude = float(np.max(abs(a) @ abs(b)))
    check(Case("clip", model, {"a": a}, {"y": y}, length=5, magnitude=magnitude, operators={"MatMul"}))
    assert "Clip" not in _core.Session(_core.Model(model.SerializeToString())).info()["operators"]


@pytest.mark.parametrize("known", [True, False])
def test_a_batch_equals_its_rows_bit_for_bit(known: bool) -> None:
    rng = np.random.default_rng(0)
    a, b = values(rng, (8, 7, 129)), values(rng, (129, 77))
    inputs = {"a": a} | ({} if known else {"b": b})
    model = one_node("MatMul", {"a": a}, constants={"b": b}, symbolic_batch=True)
    if not known:
        nodes = [helper.make_node("MatMul", ["a", "b"], ["y"])]
        specs = {"a": (np.float32, ("N", 7, 129)), "b": (np.float32, b.shape)}
        model = model_of(nodes, specs, {"y": np.float32})
    for isa in isas():
        session = _core.Session(_core.Model(model.SerializeToString()), isa=isa, threads=2)
        rows = [session.run(inputs | {"a": a[i : i + 1]})["y"] for i in range(8)]
        np.testing.assert_array_equal(session.run(inputs)["y"], np.concatenate(rows), err_msg=isa)


@pytest.mark.parametrize(
    ("a_shape", "b_shape", "message"),
    [
        ((3, 4), (5, 6), r"\[3, 4\] and b \[5, 6\]: 4 columns do not meet 5 rows"),
        ((4,), (5,), "4 columns do not meet 5 rows"),
        ((2, 3, 4), (3, 4, 5), r"\[2\] and \[3\]"),
        ((), (4, 5), r"\[\] and b \[4, 5\], expected vectors or matrices"),
    ],
)
def test_shapes_that_do_not_fit(a_shape: tuple[int, ...], b_shape: tuple[int, ...], message: str) -> None:
    inputs = {"a": np.zeros(a_shape, np.float32)}
    model = one_node("MatMul", inputs, constants={"b": np.zeros(b_shape, np.float32)})
    check_refused(model, inputs, ModelError, message, "MatMul")
