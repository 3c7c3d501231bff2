"""Functions that a model itself defines."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

import onnx
import sanderling
from onnx import AttributeProto, TensorProto, helper

OPSET = helper.make_opsetid("", 17)
LOCAL = helper.make_opsetid("local", 1)
X = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


def model_of(nodes: list[onnx.NodeProto], functions: list[onnx.FunctionProto]) -> onnx.ModelProto:
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:])
    return helper.make_model(graph, opset_imports=[OPSET, LOCAL], functions=functions, ir_version=10)


def check(model: onnx.ModelProto, expected: Any, *, with_onnxruntime: bool = True) -> None:
    data = model.SerializeToString()
    np.testing.assert_allclose(sanderling.Session(data).run(X), expected, rtol=1e-6, atol=1e-6)
    if with_onnxruntime:
        session = onnxruntime.InferenceSession(data)
        np.testing.assert_allclose(session.run(None, {"x": X})[0], expected, rtol=1e-6, atol=1e-6)


def call(name: str, inputs: list[str], outputs: list[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(name, inputs, outputs, domain="local", **attributes)


def referring(op: str, inputs: list[str], outputs: list[str], **references: str) -> onnx.NodeProto:
    """A node whose attributes stand for those of the call."""
    node = helper.make_node(op, inputs, outputs)
    for name, reference in references.items():
        node.attribute.append(
            AttributeProto(name=name, ref_attr_name=reference.split(":")[0], type=int(reference.split(":")[1]))
        )
    return node


def function(name: str, inputs: list[str], outputs: list[str], nodes: list[onnx.NodeProto], **rest: Any) -> Any:
    return helper.make_function("local", name, inputs, outputs, nodes, [OPSET, LOCAL], **rest)


SQUARE = function("Square", ["a"], ["b"], [helper.make_node("Mul", ["a", "a"], ["b"])])


def test_a_call() -> None:
    check(model_of([call("Square", ["x"], ["y"])], [SQUARE]), X * X)


def test_names_inside_are_of_each_call() -> None:
    """Both calls use the names a, b and t; so does the graph."""
    inner = [helper.make_node("Add", ["a", "a"], ["t"]), call("Square", ["t"], ["b"])]
    nodes = [call("F", ["x"], ["t"]), call("F", ["t"], ["a"]), helper.make_node("Add", ["a", "t"], ["y"])]
    once = (2 * X) ** 2
    check(model_of(nodes, [SQUARE, function("F", ["a"], ["b"], inner)]), (2 * once) ** 2 + once)


def test_attributes_of_the_call_and_their_defaults() -> None:
    leaky = function(
        "Leaky",
        ["a"],
        ["b"],
        [referring("Clip", ["a"], ["c"]), referring("Flatten", ["c"], ["b"], axis="from:2")],
        attributes=[],
        attribute_protos=[helper.make_attribute("from", 1)],
    )
    check(model_of([call("Leaky", ["x"], ["y"])], [leaky]), X)
    softmax = function("S", ["a"], ["b"], [referring("Softmax", ["a"], ["b"], axis="along:2")], attributes=["along"])
    outer = function("T", ["a"], ["b"], [call("S", ["a"], ["b"])], attributes=["along"])
    outer.node[0].attribute.append(AttributeProto(name="along", ref_attr_name="along", type=2))

    def expected(axis: int) -> Any:
        e = np.exp(X - X.max(axis, keepdims=True))
        return e / e.sum(axis, keepdims=True)

    for axis in (0, 1):
        check(model_of([call("S", ["x"], ["y"], along=axis)], [softmax]), expected(axis))
        check(model_of([call("T", ["x"], ["y"], along=axis)], [softmax, outer]), expected(axis))
    # What the call leaves out is left to the operator's own default.
    check(model_of([call("T", ["x"], ["y"])], [softmax, outer]), expected(-1))


def test_inputs_that_are_left_out_and_outputs_that_are_not_wanted() -> None:
    nodes = [helper.make_node("Clip", ["a", "low", "high"], ["b"]), helper.make_node("Neg", ["a"], ["c"])]
    nodes[1] = helper.make_node("Sub", ["a", "a"], ["c"])
    clip = function("C", ["a", "low", "high"], ["b", "c"], nodes)
    constant = helper.make_node("Constant", [], ["k"], value_float=0.5)
    # ONNX Runtime wants every output of a function to be taken.
    upper = model_of([constant, call("C", ["x", "", "k"], ["y"])], [clip])
    check(upper, np.minimum(X, 0.5), with_onnxruntime=False)
    lower = model_of([constant, call("C", ["x", "k"], ["y"])], [clip])
    check(lower, np.maximum(X, 0.5), with_onnxruntime=False)


def test_an_output_that_is_an_input() -> None:
    both = function("B", ["a", "b"], ["b", "c"], [helper.make_node("Add", ["a", "b"], ["c"])])
    nodes = [helper.make_node("Relu", ["x"], ["r"]), call("B", ["x", "r"], ["s", "t"])]
    nodes.append(helper.make_node("Mul", ["s", "t"], ["y"]))
    r = np.maximum(X, 0)
    check(model_of(nodes, [both]), r * (X + r), with_onnxruntime=False)


def test_subgraphs_inside_and_calls_inside_subgraphs() -> None:
    def branch(node: onnx.NodeProto) -> onnx.GraphProto:
        return helper.make_graph([node], "b", [], [helper.make_tensor_value_info("o", TensorProto.FLOAT, None)])

    inner = [
        helper.make_node("ReduceMean", ["a"], ["m"], axes=[0, 1], keepdims=0),
        helper.make_node("Cast", ["m"], ["c"], to=TensorProto.BOOL),
        helper.make_node(
            "If", ["c"], ["b"], then_branch=branch(call("Square", ["a"], ["o"])), else_branch=branch(relu("a", "o"))
        ),
    ]
    check(model_of([call("F", ["x"], ["y"])], [SQUARE, function("F", ["a"], ["b"], inner)]), X * X)


def relu(source: str, target: str) -> onnx.NodeProto:
    return helper.make_node("Relu", [source], [target])


def test_a_function_of_another_opset() -> None:
    # Clip's bounds were attributes before opset 11.
    old = helper.make_function(
        "local", "Old", ["a"], ["b"], [helper.make_node("Clip", ["a"], ["b"], min=-0.5, max=0.5)],
        [helper.make_opsetid("", 10)],
    )  # fmt: skip
    check(model_of([call("Old", ["x"], ["y"])], [old]), np.clip(X, -0.5, 0.5), with_onnxruntime=False)


def refused(model: onnx.ModelProto, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        sanderling.load(model.SerializeToString())


def test_functions_that_call_themselves() -> None:
    again = function("Again", ["a"], ["b"], [call("Again", ["a"], ["b"])])
    refused(model_of([call("Again", ["x"], ["y"])], [again]), sanderling.ModelError, "functions call themselves")


def test_functions_that_multiply() -> None:
    """Sixty of them, each calling the next twice: 2^60 nodes from a few kilobytes."""
    functions = []
    for i in range(60):
        nodes = [call(f"F{i + 1}", ["a"], ["t"]), call(f"F{i + 1}", ["t"], ["b"])]
        functions.append(function(f"F{i}", ["a"], ["b"], nodes))
    functions.append(function("F60", ["a"], ["b"], [relu("a", "b")]))
    refused(model_of([call("F0", ["x"], ["y"])], functions), sanderling.ModelError, "make more than 131072 nodes")


def test_what_does_not_fit() -> None:
    twice = model_of([call("Square", ["x", "x"], ["y"])], [SQUARE])
    refused(twice, sanderling.ModelError, "has 1 inputs and 1 outputs")
    nothing = function("N", ["a"], ["b"], [relu("a", "c")])
    refused(model_of([call("N", ["x"], ["y"])], [nothing]), sanderling.ModelError, "does not make its output 'b'")
    unknown = function("U", ["a"], ["b"], [helper.make_node("Nonsense", ["a"], ["b"], "inner")])
    refused(model_of([call("U", ["x"], ["y"])], [unknown]), sanderling.UnsupportedError, "Nonsense .1 node, 'inner'")
    stray = model_of([referring("Softmax", ["x"], ["y"], axis="along:2")], [])
    refused(stray, sanderling.ModelError, "stands outside of one")
    refused(model_of([call("Square", ["q"], ["y"])], [SQUARE]), sanderling.ModelError, "reads 'q'")
