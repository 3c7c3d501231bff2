"""Convolution and sum in one step, and tables of tables: fewer steps, the same bits."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from plans import check_as_onnxruntime, lowered, node

from onnx_models import model_of
from sanderling import _core

FLOAT = np.float32


def weights(rng: np.random.Generator, *shape: int) -> Any:
    return (rng.normal(0, 1, shape) / np.sqrt(np.prod(shape[1:]))).astype(FLOAT)


def float_model(kind: str, *, swapped: bool = False, other: str = "x") -> Any:
    """X -> Conv -> + x -> kind."""
    rng = np.random.default_rng(1)
    shapes = {"pointwise": (9, 9, 1, 1), "depthwise": (9, 1, 3, 3), "grouped": (9, 3, 3, 3), "window": (9, 9, 3, 3)}
    shape = shapes[kind]
    last = {"Relu": node("Relu", ["s"], ["y"]), "Clip": node("Clip", ["s", "low", "high"], ["y"])}
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], group=9 // shape[1], pads=[shape[2] // 2] * 4),
        node("ReduceMean", ["x"], ["mean"], axes=[2, 3]),
        node("Add", [other, "c"] if swapped else ["c", other], ["s"]),
        last["Relu" if kind in ("pointwise", "grouped") else "Clip"],
    ]
    constants = {"w": weights(rng, *shape), "b": rng.normal(0, 1, 9).astype(FLOAT)}
    constants |= {"low": FLOAT(-0.5), "high": FLOAT(1)}
    return model_of(nodes, {"x": (FLOAT, ("N", 9, "H", "W"))}, {"y": FLOAT}, constants, opset=17)


X = {"x": np.random.default_rng(2).normal(0, 1, (2, 9, 13, 11)).astype(FLOAT)}


@pytest.mark.parametrize("kind", ["pointwise", "depthwise", "grouped", "window"])
@pytest.mark.parametrize("swapped", [False, True])
def test_float(kind, swapped):
    model = float_model(kind, swapped=swapped)
    assert not {"Add", "Relu", "Clip"} & set(lowered(model))
    check_as_onnxruntime(model, X)


def test_a_sum_that_is_broadcast_stays():
    """One number per channel, as a time step is added in diffusion models."""
    model = float_model("window", other="mean")
    assert {"Conv", "Add"} <= set(lowered(model))
    check_as_onnxruntime(model, X)


@pytest.mark.parametrize("shape", [(1, 9, 1, 1), (1, 9, 13, 11), (2, 9, 13, 1)])
def test_dynamic_extents_that_turn_out_as_one(shape):
    """What looked like equal shapes is a broadcast in this run: slower, as right."""
    rng = np.random.default_rng(3)
    nodes = [node("Conv", ["x", "w"], ["c"]), node("Add", ["c", "z"], ["y"])]
    inputs = {name: (FLOAT, (f"{name}0", 9, f"{name}2", f"{name}3")) for name in "xz"}
    model = model_of(nodes, inputs, {"y": FLOAT}, {"w": weights(rng, 9, 9, 1, 1)}, opset=17)
    assert lowered(model).get("Add") is None
    z = rng.normal(0, 1, shape).astype(FLOAT)
    check_as_onnxruntime(model, {**X, "z": z})
    check_as_onnxruntime(model, {"x": z, "z": X["x"]})


def test_what_must_not_be_fused():
    """A product that is read twice or goes out, and one that is clamped before the sum."""
    rng = np.random.default_rng(1)
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("Add", ["c", "x"], ["s"]),
        node("Mul", ["s", "c"], ["m"]),
        node("Conv", ["m", "v"], ["d"]),
        node("Relu", ["d"], ["r"]),
        node("Add", ["r", "x"], ["t"]),
        node("Conv", ["t", "w"], ["z"]),
        node("Add", ["z", "x"], ["y"]),
    ]
    constants = {"w": weights(rng, 9, 9, 1, 1), "v": weights(rng, 9, 9, 1, 1)}
    model = model_of(nodes, {"x": (FLOAT, ("N", 9, "H", "W"))}, {"y": FLOAT, "z": FLOAT}, constants, opset=17)
    assert lowered(model)["Add"] == 3
    check_as_onnxruntime(model, X)


def test_a_file_may_not_give_four_inputs():
    rng = np.random.default_rng(1)
    made = model_of(
        [node("Conv", ["x", "w", "", "x"], ["y"])],
        {"x": (FLOAT, (1, 9, 4, 4))},
        {"y": FLOAT},
        {"w": weights(rng, 9, 9, 1, 1)},
        opset=17,
    )
    with pytest.raises(Exception, match="4 inputs"):
        _core.Session(_core.Model(made.SerializeToString())).run({"x": X["x"][:1, :, :4, :4]})


def codes_model(last: str, *, product_is_output: bool) -> Any:
    """X -> Q -> QConv -> QAdd of both: with the product as an output it stays unfused."""
    rng = np.random.default_rng(4)
    quantize, dequantize = "QuantizeLinear", "DequantizeLinear"

    def codes(real: str, name: str) -> list[Any]:
        parameters = [f"{name}_s", f"{name}_z"]
        return [node(quantize, [real, *parameters], [f"{name}q"]), node(dequantize, [f"{name}q", *parameters], [name])]

    nodes = [
        *codes("x", "a"),
        node(dequantize, ["w", "w_s", "w_z"], ["wr"]),
        node("Conv", ["a", "wr"], ["p"], pads=[1, 1, 1, 1]),
        *codes("p", "b"),
        node("Add", ["b", "a"], ["t"]),
        *([node("Relu", ["t"], ["u"])] if last == "Relu" else []),
        *codes("u" if last == "Relu" else "t", "y"),
    ]
    constants: dict[str, Any] = {"w": rng.integers(-127, 128, (9, 9, 3, 3), np.int8)}
    constants |= {"w_s": FLOAT(0.0021), "w_z": np.int8(0)}
    for name, scale, zero in (("a", 0.031, 120), ("b", 0.047, 99), ("y", 0.0533, 77)):
        constants |= {f"{name}_s": FLOAT(scale), f"{name}_z": np.uint8(zero)}
    outputs = {"y": FLOAT, **({"b": FLOAT} if product_is_output else {})}
    return model_of(nodes, {"x": (FLOAT, ("N", 9, "H", "W"))}, outputs, constants, opset=17)


@pytest.mark.parametrize("last", ["", "Relu"])
def test_codes_keep_the_bits_of_two_steps(last):
    fused, apart = (codes_model(last, product_is_output=output) for output in (False, True))
    assert "QAdd" not in lowered(fused)
    assert lowered(apart)["QAdd"] == 1
    results = [
        _core.Session(_core.Model(model.SerializeToString()), isa=isa, threads=threads).run(X)["y"]
        for model in (fused, apart)
        for isa in ["reference", *_core.runnable_isas()]
        for threads in (1, 3)
    ]
    assert all(np.array_equal(result, results[0]) for result in results)


def test_chains_of_tables_are_one():
    """Each operator between quantizers of its own, as a decomposed activation is exported."""
    nodes, names = [], ["x", "Tanh", "Neg", "Sigmoid", "Relu"]
    for i, op in enumerate(names):
        if i > 0:
            nodes.append(node(op, [f"r{i - 1}"], [f"v{i}"]))
        parameters = [f"s{i}", f"z{i}"]
        nodes.append(node("QuantizeLinear", ["x" if i == 0 else f"v{i}", *parameters], [f"q{i}"]))
        nodes.append(node("DequantizeLinear", [f"q{i}", *parameters], ["y" if i == 4 else f"r{i}"]))
    constants = {f"s{i}": FLOAT(0.01 + 0.003 * i) for i in range(5)} | {f"z{i}": np.uint8(128 - i) for i in range(5)}
    model = model_of(nodes, {"x": (FLOAT, ("N", 40))}, {"y": FLOAT}, constants, opset=17)
    assert lowered(model) == {"Quantize": 1, "QLookup": 1, "Dequantize": 1}
    x = np.linspace(-2, 2, 4000, dtype=FLOAT).reshape(100, 40)
    check_as_onnxruntime(model, {"x": x})
