"""Equal constants become one, and so do nodes that compute the same."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from plans import check_as_onnxruntime, lowered, node

from onnx import helper
from onnx_models import model_of
from sanderling import _core

FLOAT = np.float32
X = np.random.default_rng(0).normal(0, 2, (3, 4)).astype(FLOAT)


def float_model(nodes: list[Any], outputs: str = "y", **constants: Any) -> Any:
    arrays = {name: np.asarray(value, FLOAT) for name, value in constants.items()}
    return model_of(nodes, {"x": (FLOAT, ("N", 4))}, dict.fromkeys(outputs, FLOAT), arrays, opset=17)


def test_equal_chains_are_computed_once():
    """Through constants of equal content, and several nodes deep."""
    nodes = [
        *(node("Exp", ["x"], [f"a{i}"]) for i in "01"),
        *(node("Mul", [f"a{i}", f"c{i}"], [f"b{i}"]) for i in "01"),
        node("Add", ["b0", "b1"], ["y"]),
    ]
    model = float_model(nodes, c0=[2, 3, 4, 5], c1=[2, 3, 4, 5])
    assert lowered(model) == {"Exp": 1, "Mul": 1, "Add": 1}
    assert _core.Session(_core.Model(model.SerializeToString())).info()["weight_bytes"] == 16
    check_as_onnxruntime(model, {"x": X})


def test_two_outputs_of_one_value():
    model = float_model([node("Exp", ["x"], ["y"]), node("Exp", ["x"], ["z"])], "yz")
    assert lowered(model) == {"Exp": 1}
    check_as_onnxruntime(model, {"x": X})


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"alpha": 0.1}, {"alpha": 0.2}),
        ({"alpha": 0.0}, {"alpha": -0.0}),  # -1 * -0.0 is 0.0: 1 / y tells them apart
    ],
)
def test_other_attributes_stay_apart(first, second):
    nodes = [
        node("LeakyRelu", ["x"], ["a"], **first),
        node("LeakyRelu", ["x"], ["b"], **second),
        node("Reciprocal", ["a"], ["y"]),
        node("Reciprocal", ["b"], ["z"]),
    ]
    model = float_model(nodes, "yz")
    assert lowered(model)["LeakyRelu"] == 2
    session = _core.Session(_core.Model(model.SerializeToString()))
    results = session.run({"x": X})
    assert not np.array_equal(results["y"], results["z"])


def test_constants_that_differ_in_type_shape_or_sign_stay_apart():
    """0 and -0, and one row of four beside four numbers."""
    nodes = [
        node("Add", ["x", "zero"], ["a"]),
        node("Add", ["x", "minus"], ["b"]),
        node("MatMul", ["x", "vector"], ["y"]),
        node("MatMul", ["x", "column"], ["z"]),
        node("Reciprocal", ["a"], ["v"]),
        node("Reciprocal", ["b"], ["w"]),
    ]
    ones = np.ones(4)
    model = float_model(nodes, "yzvw", zero=[0], minus=[-0.0], vector=ones, column=ones[:, None])
    check_as_onnxruntime(model, {"x": np.where(X > 0, X, FLOAT(-0.0))})


def test_other_inputs_opsets_and_outputs_stay_apart():
    """Sub(a, b) is not Sub(b, a); a Split into two parts is none into three."""
    nodes = [
        node("Sub", ["x", "c"], ["a"]),
        node("Sub", ["c", "x"], ["b"]),
        node("Split", ["x", "two"], ["s0", "s1"], axis=1),
        node("Split", ["x", "three"], ["t0", "t1", "t2"], axis=1),
        node("Concat", ["a", "b", "s0", "s1", "t0", "t1", "t2"], ["y"], axis=1),
    ]
    constants = {"c": np.ones(4, FLOAT), "two": np.array([1, 3]), "three": np.array([1, 1, 2])}
    model = model_of(nodes, {"x": (FLOAT, ("N", 4))}, {"y": FLOAT}, constants, opset=17)
    assert lowered(model) == {"Sub": 2, "Split": 2, "Concat": 1}
    check_as_onnxruntime(model, {"x": X})


def test_inside_branches():
    """A subgraph merges its own nodes; the nodes that hold subgraphs stay."""
    branch = helper.make_graph(
        [node("Exp", ["x"], ["a"]), node("Exp", ["x"], ["b"]), node("Add", ["a", "b"], ["r"])],
        "branch",
        [],
        [helper.make_empty_tensor_value_info("r")],
    )
    nodes = [
        node("ReduceSum", ["x"], ["sum"], keepdims=0),
        node("Greater", ["sum", "zero"], ["positive"]),
        *(node("If", ["positive"], [f"r{i}"], then_branch=branch, else_branch=branch) for i in "01"),
        node("Sub", ["r0", "r1"], ["y"]),
    ]
    model = float_model(nodes, zero=0.0)
    assert lowered(model)["If"] == 2
    check_as_onnxruntime(model, {"x": X})


def test_a_quantizer_per_reader_becomes_integer():
    """Where each reader has its own QuantizeLinear, the convolution's result is still read once, so it yields codes."""
    rng = np.random.default_rng(1)
    scale = {"s": FLOAT(0.04), "z": np.uint8(120), "ws": FLOAT(0.01), "wz": np.int8(0)}
    quantize, dequantize = "QuantizeLinear", "DequantizeLinear"
    nodes = [
        node(quantize, ["x", "s", "z"], ["xq"]),
        node(dequantize, ["xq", "s", "z"], ["xr"]),
        node(dequantize, ["w", "ws", "wz"], ["wr"]),
        node("Conv", ["xr", "wr"], ["c"]),
        *(node(quantize, ["c", f"s{i}", f"z{i}"], [f"q{i}"]) for i in "01"),
        *(node(dequantize, [f"q{i}", f"s{i}", f"z{i}"], [f"r{i}"]) for i in "01"),
        node("Add", ["r0", "r1"], ["a"]),
        node(quantize, ["a", "s", "z"], ["aq"]),
        node(dequantize, ["aq", "s", "z"], ["y"]),
    ]
    constants = {**scale, "w": rng.integers(-127, 128, (8, 5, 1, 1), np.int8)}
    constants |= {f"s{i}": FLOAT(0.05) for i in "01"} | {f"z{i}": np.uint8(110) for i in "01"}
    model = model_of(nodes, {"x": (FLOAT, ("N", 5, 6, 6))}, {"y": FLOAT}, constants, opset=17)
    operators = lowered(model)
    assert operators["QConv"] == 1
    assert operators["Quantize"] == 1, operators
    assert "Conv" not in operators
    x = rng.normal(0, 1, (2, 5, 6, 6)).astype(FLOAT)
    ours = [
        _core.Session(_core.Model(model.SerializeToString()), isa=isa).run({"x": x})["y"]
        for isa in ["reference", *_core.runnable_isas()]
    ]
    assert all(np.array_equal(y, ours[0]) for y in ours)
