"""MatMul of two tensors of codes: stacks of matrices, as attention multiplies them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnx import helper
from onnx_models import Codes, QdqModel, model_of
from product_codes import fitted
from runner import Case, check, check_pooled, check_refused, qdq_case
from sanderling.errors import ModelError

Shapes = tuple[tuple[int, ...], tuple[int, ...]]


def quantized(rng: np.random.Generator, shapes: Shapes, dtype: Any = np.uint8, **settings: Any) -> QdqModel:
    a, b = (Codes.random(rng, shape, dtype) for shape in shapes)
    return fitted("MatMul", {"a": a, "b": b}, a.real() @ b.real(), y_dtype=dtype, **({"inputs": 2} | settings))


def cases() -> Iterator[Case]:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        depth = (1, 3, 64, 129, 200, 257)[seed % 6]
        rows, columns = (97, 63, 130)[seed % 3], (65, 130, 31)[seed // 3 % 3]
        settings = {
            "dtype": (np.uint8, np.int8)[seed % 2],
            "clamp": (None, (0.0, np.inf), (0.3, 0.9))[seed // 2 % 3],
            "from_codes": seed % 4 == 2,
        }
        shapes = ((3, 2, rows, depth), (3, 2, depth, columns))
        yield qdq_case(f"random{seed}", quantized(rng, shapes, **settings), operators={"QMatMul"})


def test_codes() -> None:
    check_pooled(cases())


@pytest.mark.parametrize(
    "shapes",
    [
        ((5, 7), (7, 3)),
        ((1, 1), (1, 1)),
        ((2, 1, 5, 7), (4, 7, 3)),  # broadcast on both sides
        ((5, 7), (3, 7, 2)),
        ((4, 9, 7), (7, 5)),
        ((7,), (7, 5)),
        ((5, 7), (7,)),
        ((0, 7), (7, 5)),
        ((3, 97, 65), (3, 65, 64)),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_shapes(shapes: Shapes, dtype: Any) -> None:
    rng = np.random.default_rng(3)
    if 0 in shapes[0]:
        a, b = Codes.random(rng, shapes[0], dtype), Codes.random(rng, shapes[1], dtype)
        check(numbers(a, b))
    else:
        check(qdq_case("shapes", quantized(rng, shapes, dtype), operators={"QMatMul"}))


def numbers(a: Codes, b: Codes, **settings: Any) -> Case:
    constants = {"as": a.scale, "az": a.zero_point, "bs": b.scale, "bz": b.zero_point}
    nodes = [helper.make_node("DequantizeLinear", [n, f"{n}s", f"{n}z"], [f"{n}r"]) for n in "ab"]
    nodes.append(helper.make_node("MatMul", ["ar", "br"], ["y"], name="node"))
    inputs = {"a": a.codes, "b": b.codes}
    model = model_of(nodes, {n: (v.dtype, v.shape) for n, v in inputs.items()}, {"y": np.float32}, constants)
    magnitude = float((abs(a.real()) @ abs(b.real())).max(initial=0))
    wanted = {"y": a.real() @ b.real()}
    length = a.codes.shape[-1] + 1
    settings = {"length": length, "magnitude": magnitude, "operators": {"QMatMul"}} | settings
    return Case("numbers", model, inputs, wanted, **settings)


@pytest.mark.parametrize("zero", [0, 128, 255])
def test_without_a_quantized_output_it_gives_numbers(zero: int) -> None:
    rng = np.random.default_rng(5)
    check(numbers(Codes.random(rng, (3, 8, 65)), Codes.random(rng, (3, 65, 33), zero_point=zero)))


@pytest.mark.parametrize("depth", [32768, 70000])
@pytest.mark.parametrize("zeros", [(0, 0), (255, 255), (0, 255)])
def test_the_largest_sums_are_exact(depth: int, zeros: tuple[int, int]) -> None:
    """Past 32768 products the sum may leave int32, and does in ONNX Runtime: our reference counts in 64 bits."""
    ends = [np.full(shape, 255 - zero, np.uint8) for shape, zero in zip([(2, depth), (depth, 3)], zeros, strict=True)]
    a, b = (Codes(e, np.float32(0.01), np.uint8(z)) for e, z in zip(ends, zeros, strict=True))  # type: ignore[arg-type]
    check(numbers(a, b, onnxruntime=depth <= 32768))


def test_shapes_that_do_not_meet() -> None:
    rng = np.random.default_rng(0)
    a, b = Codes.random(rng, (3, 4)), Codes.random(rng, (5, 3))
    constants = {"as": a.scale, "az": a.zero_point, "bs": b.scale, "bz": b.zero_point}
    nodes = [helper.make_node("DequantizeLinear", [n, f"{n}s", f"{n}z"], [f"{n}r"]) for n in "ab"]
    nodes.append(helper.make_node("MatMul", ["ar", "br"], ["y"], name="node"))
    model = model_of(nodes, {"a": (np.uint8, (3, 4)), "b": (np.uint8, (5, 3))}, {"y": np.float32}, constants)
    check_refused(model, {"a": a.codes, "b": b.codes}, ModelError, "4 columns do not meet 5 rows", "QMatMul")
