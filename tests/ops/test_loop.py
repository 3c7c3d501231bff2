import numpy as np
import pytest

from onnx import TensorProto, helper
from onnx_models import model_of
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError


def body(nodes: list, inputs: list[str], outputs: list[str]) -> object:
    def info(name: str) -> object:
        return helper.make_tensor_value_info(
            name, TensorProto.BOOL if name.startswith("go") else TensorProto.FLOAT, None
        )

    first = helper.make_tensor_value_info("i", TensorProto.INT64, ())
    condition = helper.make_tensor_value_info("go", TensorProto.BOOL, ())
    return helper.make_graph(nodes, "body", [first, condition, *map(info, inputs)], list(map(info, outputs)))


def loop(graph: object, names: list[str], outputs: list[str]) -> object:
    return helper.make_node("Loop", names, outputs, name="node", body=graph)


SUM = body(
    [
        helper.make_node("Identity", ["go"], ["go_on"]),
        helper.make_node("Add", ["s", "x"], ["t"]),
        helper.make_node("Mul", ["t", "x"], ["scanned"]),
    ],
    ["s"],
    ["go_on", "t", "scanned"],
)


@pytest.mark.parametrize("count", [0, 1, 2, 7])
@pytest.mark.parametrize("as_input", [False, True])
def test_count(count: int, as_input: bool) -> None:
    x, start = values(np.random.default_rng(0), (3, 5)), values(np.random.default_rng(1), (3, 5))
    inputs = {"x": x, "start": start}
    trips = np.array(count, np.int64)
    if as_input:
        inputs["trips"] = trips
    model = model_of(
        [loop(SUM, ["trips", "", "start"], ["y", "all"])],
        {name: (a.dtype, a.shape) for name, a in inputs.items()},
        {"y": np.float32, "all": np.float32},
        {} if as_input else {"trips": trips},
    )
    sums = [start]
    for _ in range(count):
        sums.append(sums[-1] + x)
    scanned = np.array([s * x for s in sums[1:]], np.float32).reshape(count, 3, 5)
    # Without an iteration ONNX Runtime does not say what is stacked.
    check(Case("count", model, inputs, {"y": sums[-1], "all": scanned}, exact=True, onnxruntime=count > 0))


def test_while() -> None:
    graph = body(
        [
            helper.make_node("Add", ["s", "x"], ["t"]),
            helper.make_node("NonZero", ["t"], ["n"]),
            helper.make_node("Cast", ["i"], ["odd"], to=TensorProto.BOOL),
            helper.make_node("If", ["odd"], ["go_on"], then_branch=constant(False), else_branch=constant(True)),
        ],
        ["s"],
        ["go_on", "t"],
    )
    x = values(np.random.default_rng(0), (4,))
    model = model_of(
        [loop(graph, ["", "go0", "x"], ["y"])],
        {"x": (np.float32, (4,)), "go0": (np.bool_, ())},
        {"y": np.float32},
    )
    check(Case("while", model, {"x": x, "go0": np.array(True)}, {"y": x + x + x}, exact=True))
    check(Case("not at all", model, {"x": x, "go0": np.array(False)}, {"y": x}, exact=True))


def constant(value: bool) -> object:
    node = helper.make_node("Constant", [], ["k"], value=helper.make_tensor("k", TensorProto.BOOL, (), [value]))
    return helper.make_graph([node], "b", [], [helper.make_tensor_value_info("k", TensorProto.BOOL, ())])


def test_what_is_carried_may_grow() -> None:
    graph = body(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Concat", ["s", "x"], ["t"], axis=0),
        ],
        ["s"],
        ["go_on", "t"],
    )
    x = values(np.random.default_rng(0), (2, 3))
    nodes = [loop(graph, ["n", "", "x"], ["y"]), helper.make_node("Relu", ["y"], ["z"])]
    model = model_of(nodes, {"x": (np.float32, (2, 3)), "n": (np.int64, ())}, {"z": np.float32})
    for count in (0, 1, 4):
        expected = np.maximum(np.concatenate([x] * (count + 1)), 0)
        check(Case(f"grow{count}", model, {"x": x, "n": np.array(count, np.int64)}, {"z": expected}, exact=True))


def test_what_is_carried_may_change_places() -> None:
    graph = body(
        [helper.make_node("Identity", ["go"], ["go_on"])],
        ["a", "b"],
        ["go_on", "b", "a"],
    )
    a, b = values(np.random.default_rng(0), (4,)), values(np.random.default_rng(1), (4,))
    model = model_of(
        [loop(graph, ["n", "", "a0", "b0"], ["y", "z"])],
        {"a0": (np.float32, (4,)), "b0": (np.float32, (4,))},
        {"y": np.float32, "z": np.float32},
        {"n": np.array(5, np.int64)},
    )
    check(Case("swap", model, {"a0": a, "b0": b}, {"y": b, "z": a}, exact=True))


def test_weights_that_are_only_carried() -> None:
    rng = np.random.default_rng(0)
    x, w, b = values(rng, (3, 4)), values(rng, (4, 4)), values(rng, (4,))
    graph = body(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("MatMul", ["s", "w"], ["product"]),
            helper.make_node("Add", ["product", "b"], ["next"]),
        ],
        ["s", "w", "b"],
        ["go_on", "next", "w", "b"],
    )
    nodes = [loop(graph, ["n", "", "x", "w0", "b0"], ["y", "w1", "b1"])]
    for constants in ({"w0": w, "b0": b}, {"b0": b}, {}):
        given = {n: a for n, a in {"x": x, "w0": w, "b0": b}.items() if n not in constants}
        inputs = {n: (np.float32, a.shape) for n, a in given.items()}
        outputs = dict.fromkeys(("y", "w1", "b1"), np.float32)
        for count in (0, 3):
            expected = x.astype(np.float64)
            for _ in range(count):
                expected = expected @ w + b
            model = model_of(nodes, inputs, outputs, constants | {"n": np.array(count, np.int64)})
            check(Case(f"carried{count}-{len(constants)}", model, given, {"y": expected, "w1": w, "b1": b}))


def test_a_body_that_gives_too_little() -> None:
    graph = body([helper.make_node("Identity", ["go"], ["go_on"])], ["s"], ["go_on"])
    x = {"x": np.zeros(3, np.float32)}
    model = model_of(
        [loop(graph, ["n", "", "x"], ["y"])], {"x": (np.float32, (3,))}, {"y": np.float32}, {"n": np.array(2, np.int64)}
    )
    check_refused(model, x, ModelError, "has 1 outputs, its body gives 1 with the condition", "Loop")
