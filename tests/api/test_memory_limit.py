"""`memory_limit_bytes` where the model decides in the run how large a tensor becomes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_models import FLOAT

import onnx
from onnx import TensorProto, helper
from sanderling import InputError, Session

LIMIT = 100_000
node = helper.make_node


def model(nodes: list[Any], inputs: dict[str, tuple[int, list[Any]]], outputs: list[str], opset: int = 17) -> bytes:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, dtype, shape) for name, (dtype, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in outputs],
    )
    for output in graph.output:
        output.ClearField("type")
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return bytes(made.SerializeToString())


def filled() -> bytes:
    """float32 of as many elements as the input says, by an operator with a reference: ConstantOfShape."""
    computed = [node("Add", ["n", "n"], ["twice"]), node("ConstantOfShape", ["twice"], ["y"])]
    return model(computed, {"n": (TensorProto.INT64, [1])}, ["y"])


def found() -> bytes:
    """The indices of what is not 0: NonZero knows how many when it has counted them."""
    return model([node("NonZero", ["x"], ["y"])], {"x": (FLOAT, ["N"])}, ["y"])


def looped(carried: bool) -> bytes:
    """A Loop that stacks 1,000 numbers in each iteration, or carries 1,000 more into the next."""
    kilo = onnx.numpy_helper.from_array(np.ones(1000, np.float32), "kilo")
    types = [("i", TensorProto.INT64, []), ("c", TensorProto.BOOL, []), ("v", FLOAT, None)]
    body = helper.make_graph(
        [
            node("Identity", ["c"], ["c2"]),
            node("Concat", ["v", "kilo"], ["v2"], axis=0) if carried else node("Identity", ["v"], ["v2"]),
            *([] if carried else [node("Identity", ["kilo"], ["s"])]),
        ],
        "body",
        [helper.make_tensor_value_info(*t) for t in types],
        [
            helper.make_tensor_value_info("c2", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v2", FLOAT, None),
            *([] if carried else [helper.make_tensor_value_info("s", FLOAT, [1000])]),
        ],
        [kilo],
    )
    outputs = ["last"] if carried else ["last", "y"]
    loop = node("Loop", ["n", "", "x"], outputs, body=body)
    return model([loop], {"n": (TensorProto.INT64, []), "x": (FLOAT, [1])}, outputs[-1:])


def number(count: int, *, scalar: bool = False) -> dict[str, np.ndarray]:
    return {"n": np.array(count if scalar else [count], np.int64)}


def loop_inputs(count: int) -> dict[str, np.ndarray]:
    return number(count, scalar=True) | {"x": np.zeros(1, np.float32)}


CASES = {
    "ConstantOfShape": (filled(), number(1000), number(1_000_000)),
    "NonZero": (found(), {"x": np.ones(1000, np.float32)}, {"x": np.ones(20_000, np.float32)}),
    "Loop that stacks": (looped(carried=False), loop_inputs(5), loop_inputs(1000)),
    "Loop that carries": (looped(carried=True), loop_inputs(3), loop_inputs(1000)),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_made_after_planning_keeps_to_the_limit(name: str):
    data, small, large = CASES[name]
    session = Session(data, memory_limit_bytes=LIMIT)
    (expected,) = session.run(small).values()
    for _ in range(3):  # a refusal leaves nothing behind that would refuse the next run
        with pytest.raises(InputError, match=rf"need \d+ bytes.*memory_limit_bytes is {LIMIT}"):
            session.run(large)
        assert session.info()["arena_bytes"] <= LIMIT
        (again,) = session.run(small).values()
        np.testing.assert_array_equal(again, expected)
    (unlimited,) = Session(data).run(large).values()
    assert unlimited.size > expected.size


def test_what_was_made_counts_until_the_next_run():
    session = Session(filled(), memory_limit_bytes=LIMIT)
    for count in (1000, 11_000, 1, 11_000, 12_000):  # of 8 bytes each, none beside another
        (made,) = session.run(number(count)).values()
        assert made.shape == (2 * count,)
        assert 8 * count <= session.info()["arena_bytes"] <= LIMIT
