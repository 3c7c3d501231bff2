"""Models that run until they are stopped."""

from __future__ import annotations

import itertools

import numpy as np

from onnx import TensorProto, helper, numpy_helper

FOR_EVER = 1 << 62


def endless(trips: int = FOR_EVER) -> bytes:
    """float32 x [N, 4] -> y [N, 4]: a Loop that adds 1 `trips` times."""
    scalar = lambda name, kind: helper.make_tensor_value_info(name, kind, [])  # noqa: E731
    row = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4])  # noqa: E731
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Add", ["v", "one"], ["next"])],
        "body",
        [scalar("i", TensorProto.INT64), scalar("go", TensorProto.BOOL), row("v")],
        [scalar("go_on", TensorProto.BOOL), row("next")],
        [numpy_helper.from_array(np.float32(1), "one")],
    )
    return _bytes([helper.make_node("Loop", ["trips", "", "x"], ["y"], "loop", body=body)], trips)


def idle() -> bytes:
    """The same with a body that computes nothing."""
    scalar = lambda name, kind: helper.make_tensor_value_info(name, kind, [])  # noqa: E731
    row = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4])  # noqa: E731
    body = helper.make_graph(
        [],
        "body",
        [scalar("i", TensorProto.INT64), scalar("go", TensorProto.BOOL), row("v")],
        [scalar("go", TensorProto.BOOL), row("v")],
    )
    return _bytes([helper.make_node("Loop", ["trips", "", "x"], ["y"], "loop", body=body)], FOR_EVER)


def chain(links: int = 200) -> bytes:
    """float32 x [N, 4] -> y [N, 4]: Sigmoid after Sigmoid, no step of which is long."""
    names = ["x", *(f"h{i}" for i in range(links - 1)), "y"]
    nodes = [helper.make_node("Sigmoid", [before], [after]) for before, after in itertools.pairwise(names)]
    return _bytes(nodes, 0)


def _bytes(nodes: list[object], trips: int) -> bytes:
    rows = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in "xy"]
    constants = [numpy_helper.from_array(np.int64(trips), "trips")]
    graph = helper.make_graph(nodes, "long", rows[:1], rows[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
