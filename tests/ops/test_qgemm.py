"""Gemm and MatMul between codes, with and without a bias that is added after them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnx import helper
from onnx_models import Array, Codes, QdqModel, model_of
from product_codes import fitted, int32_bias
from runner import Case, check, check_pooled, check_refused, isas, qdq_case
from sanderling import _core
from sanderling.errors import ModelError


def quantized(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    columns: int,
    *,
    op: str = "Gemm",
    bias: str = "none",
    turned: bool = False,
    dtype: Any = np.uint8,
    **settings: Any,
) -> QdqModel:
    """X [..., K] by weights [K, columns], or [columns, K] if turned. `bias` is int32, float32 or none."""
    x = Codes.random(rng, shape, dtype)
    w = Codes.weights(rng, (columns, shape[-1]) if turned else (shape[-1], columns), 0 if turned else 1)
    tensors = {"x": x, "w": w}
    plain: dict[str, Array] = {}
    b: Any = 0.0
    if bias == "int32":
        tensors["b"] = int32_bias(rng, x, w, shape[-1])
        b = tensors["b"].real()
    elif bias == "float32":
        plain["b"] = (rng.normal(0, 1, columns) * x.scale * w.scale * 7000 * np.sqrt(shape[-1])).astype(np.float32)
        b = plain["b"].astype(np.float64)
    real = x.real() @ (w.real().T if turned else w.real()) + b
    attributes = {"transB": 1} if turned else {}
    return fitted(op, tensors, real, y_dtype=dtype, plain=plain, **attributes, **settings)


def cases() -> Iterator[Case]:
    columns = (1, 3, 5, 17, 31, 33, 65, 257, 300)
    for seed in range(36):
        rng = np.random.default_rng(seed)
        settings = {
            "dtype": (np.uint8, np.int8)[seed % 2],
            "clamp": (None, (0.0, np.inf), (0.3, 0.9))[seed // 2 % 3],
            "from_codes": seed % 4 == 2,
        }
        depth = (1, 3, 64, 129, 200, 257)[seed % 6]
        batch = (1, 3, 8)[seed % 3]
        if seed % 2:
            shape = [(batch, depth), (400 + batch, depth)][seed // 2 % 2]
            bias = ("int32", "float32", "none")[seed // 2 % 3]
            qdq = quantized(rng, shape, columns[seed % 9], bias=bias, turned=seed % 5 < 2, **settings)
        else:
            qdq = quantized(rng, (batch, 150, depth), columns[seed % 9], op="MatMul", **settings)
        yield qdq_case(f"random{seed}", qdq, operators={"QGemm"})
    for seed in range(4):
        rng = np.random.default_rng(seed)
        qdq = quantized(rng, (500, 70), 300, bias=("int32", "float32")[seed % 2], turned=True)
        yield qdq_case(f"large{seed}", qdq, operators={"QGemm"})


def test_codes() -> None:
    check_pooled(cases())


@pytest.mark.parametrize("bias", [None, np.int32, np.float32])
def test_without_a_quantized_output_it_gives_numbers(bias: Any) -> None:
    rng = np.random.default_rng(5)
    x, w = Codes.random(rng, (8, 65)), Codes.weights(rng, (33, 65))
    b = int32_bias(rng, x, w, 65)
    constants = {"xs": x.scale, "xz": x.zero_point, "w": w.codes, "ws": w.scale, "wz": w.zero_point, "bs": b.scale}
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["xr"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wr"], axis=0),
    ]
    real_bias = b.real()
    if bias is np.int32:
        constants["b"] = b.codes
        nodes.append(helper.make_node("DequantizeLinear", ["b", "bs"], ["br"], axis=0))
    elif bias is np.float32:
        constants["br"] = real_bias.astype(np.float32) * np.float32(1.01)
        real_bias = constants["br"]
    inputs = ["xr", "wr"] if bias is None else ["xr", "wr", "br"]
    nodes.append(helper.make_node("Gemm", inputs, ["y"], name="node", transB=1))
    model = model_of(nodes, {"x": (np.uint8, x.codes.shape)}, {"y": np.float32}, constants)
    y = x.real() @ w.real().T + (0.0 if bias is None else real_bias)
    magnitude = float((abs(x.real()) @ abs(w.real().T) + abs(real_bias)).max())
    check(Case("numbers", model, {"x": x.codes}, {"y": y}, length=66, magnitude=magnitude, operators={"QGemm"}))


@pytest.mark.parametrize("swapped", [False, True])
def test_a_bias_added_after_a_product_is_part_of_it(swapped: bool) -> None:
    rng = np.random.default_rng(6)
    x, w = Codes.random(rng, (3, 7, 65)), Codes.weights(rng, (65, 31), 1)
    bias = rng.normal(0, 1, 31).astype(np.float32) * 50 * x.scale
    constants = {"xs": x.scale, "xz": x.zero_point, "w": w.codes, "ws": w.scale, "wz": w.zero_point, "b": bias}
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["xr"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wr"], axis=1),
        helper.make_node("MatMul", ["xr", "wr"], ["p"], name="node"),
        helper.make_node("Add", ["b", "p"] if swapped else ["p", "b"], ["y"]),
    ]
    model = model_of(nodes, {"x": (np.uint8, x.codes.shape)}, {"y": np.float32}, constants)
    y = x.real() @ w.real() + bias
    magnitude = float((abs(x.real()) @ abs(w.real()) + abs(bias)).max())
    check(Case("bias-after", model, {"x": x.codes}, {"y": y}, length=66, magnitude=magnitude, operators={"QGemm"}))
    assert "Add" not in _core.Session(_core.Model(model.SerializeToString())).info()["operators"]


def test_a_bias_at_the_ends_of_int32() -> None:
    rng = np.random.default_rng(0)
    x, w = Codes.random(rng, (8, 65)), Codes.weights(rng, (4, 65))
    w.scale[:2] = 1e-10
    w.codes[0] = 127
    b = int32_bias(rng, x, w, 65)
    b.codes[:2] = [2**31 - 1, -(2**31)]
    real = x.real() @ w.real().T + b.real()
    qdq = fitted("Gemm", {"x": x, "w": w, "b": b}, real, transB=1)
    check(qdq_case("saturated", qdq, operators={"QGemm"}))


@pytest.mark.parametrize("op", ["Gemm", "MatMul"])
def test_the_same_bits_in_a_batch(op: str) -> None:
    rng = np.random.default_rng(7)
    qdq = quantized(rng, (8, 129), 300, op=op, symbolic_batch=True)
    x = qdq.inputs["x"]
    for isa in isas():
        session = _core.Session(_core.Model(qdq.model.SerializeToString()), isa=isa, threads=2)
        rows = [session.run({"x": x[i : i + 1]})["y"] for i in range(8)]
        np.testing.assert_array_equal(session.run({"x": x})["y"], np.concatenate(rows), err_msg=isa)


def test_the_largest_sums_that_int32_holds() -> None:
    """The deepest product that runs on codes, of the largest codes and weights."""
    x = Codes(np.full((3, 65536), 255, np.uint8), np.float32(1), np.uint8(0))  # type: ignore[arg-type]
    signs = np.asarray([-128, 127], np.int8).reshape(2, 1)
    w = Codes(np.broadcast_to(signs, (2, 65536)).copy(), np.ones(2, np.float32), np.zeros(2, np.int8))
    qdq = fitted("Gemm", {"x": x, "w": w}, x.real() @ w.real().T, transB=1)
    # 65,536 products of 255 and -128 pass what a float32 sum holds exactly.
    check(qdq_case("largest", qdq, operators={"QGemm"}, onnxruntime=False))


def test_extents_that_do_not_match() -> None:
    qdq = quantized(np.random.default_rng(0), (3, 5), 4, turned=True)
    qdq.model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 6
    inputs = {"x": np.zeros((3, 6), np.float32)}
    check_refused(qdq.model, inputs, ModelError, r"\[3, 6\], the weight \[4, 5\]", "QGemm")
