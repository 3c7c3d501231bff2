"""Each class of failure to load names the operator, the node, the opset and what to do."""

import numpy as np
import pytest

import sanderling
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper


def node(op: str, *inputs: str, **attributes: object) -> NodeProto:
    return helper.make_node(op, list(inputs or ("x",)), ["y"], "here", **attributes)


def model(*nodes: NodeProto, opsets=(("", 17),), kind=TensorProto.FLOAT, ir_version=8, **constants) -> bytes:
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", kind, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid(*o) for o in opsets], ir_version=ir_version)
    return ModelProto.SerializeToString(made)


UNSUPPORTED = {
    "an operator": (model(node("NoSuchThing")), ["(opset 17)", "NoSuchThing (1 node, 'here')", "Use backend="]),
    "a sequence": (model(node("SequenceConstruct")), ["SequenceConstruct (1 node, 'here')", "Export with tensors"]),
    "a domain": (
        model(node("Foo", domain="com.acme"), opsets=(("", 17), ("com.acme", 1))),
        ["Foo of domain 'com.acme' (1 node, 'here')", "Use backend="],
    ),
    "too new": (model(node("Relu"), opsets=(("", 99),)), ["opset 99", "opsets 1 to", "convert_version"]),
    "too old": (
        model(node("Relu"), opsets=(("", 1),)),
        ["[Relu] node 'here'", "opset 1;", "convert_version(model, 13)"],
    ),
    "before it was there": (
        model(node("Mish"), opsets=(("", 7),)),
        ["[Mish] node 'here'", "opset 7;", "convert_version(model, 18)"],
    ),
    "IR version": (model(node("Relu"), ir_version=99), ["IR version 99", "Export it with ir_version="]),
    "text": (model(node("Identity"), kind=TensorProto.STRING), ["input 'x'", "string", "Convert the model"]),
    "complex": (model(node("Relu"), kind=TensorProto.COMPLEX64), ["input 'x'", "complex64", "Convert the model"]),
    "a dtype of an operator": (
        model(node("Sin"), kind=TensorProto.INT64),
        ["[Sin] node 'here' (opset 17)", "input 0 is int64", "Cast it"],
    ),
}
DAMAGED = {
    "nothing": (b"", ["no graph", "empty, truncated"]),
    "no ONNX": (b"\x08\x07garbage", ["at byte 2", "is not an ONNX model"]),
    "no opset": (model(node("Relu"), opsets=()), ["imports no opset"]),
    "too many inputs": (model(node("Relu", "x", "x")), ["[Relu] node 'here' has 2 inputs"]),
    "too few inputs": (model(node("Add", "x")), ["[Add] node 'here' has 1 inputs"]),
    "a value of nobody": (model(node("Relu", "z")), ["[Relu] node 'here' reads 'z'"]),
    "an attribute's type": (model(node("Softmax", axis="a")), ["[Softmax] node 'here'", "'axis' is not of type int"]),
    "an attribute's range": (model(node("Softmax", axis=9)), ["[Softmax] node 'here'", "axis 9 is outside [-2, 2)"]),
    "shapes": (model(node("Add", "x", "c"), c=np.ones(3, np.float32)), ["[Add] node 'here'", "[2, 4] and [3]"]),
    "a cycle": (
        model(
            helper.make_node("Add", ["x", "b"], ["a"], "one"),
            helper.make_node("Abs", ["a"], ["b"], "two"),
            node("Relu", "b"),
        ),
        ["] node '", "depends on its own output", "Export"],
    ),
    "a value twice": (model(node("Relu"), node("Relu")), ["'y' is defined twice", "node 'here'"]),
}


@pytest.mark.parametrize("what", UNSUPPORTED)
def test_what_the_engine_lacks(what: str) -> None:
    data, words = UNSUPPORTED[what]
    refused(data, sanderling.UnsupportedError, words, np.int64 if "dtype" in what else np.float32)


@pytest.mark.parametrize("what", DAMAGED)
def test_what_is_wrong_in_the_file(what: str) -> None:
    data, words = DAMAGED[what]
    refused(data, sanderling.ModelError, words, np.float32)


def refused(data: bytes, error: type[Exception], words: list[str], dtype: type) -> None:
    with pytest.raises(error) as raised:
        sanderling.Session(data).run(np.ones((2, 4), dtype))
    for word in words:
        assert word in str(raised.value), str(raised.value)
