"""Values that share memory: steps in place, Concat by placement, parts as views; and nothing else changes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from plans import arena_bytes, check_as_onnxruntime, node, steps

from onnx import helper
from onnx_models import model_of
from sanderling import _core

FLOAT = np.float32
SCRATCH = 64  # of one thread, for steps that need none
SLACK = 64  # behind each buffer; buffers start at multiples of it (csrc/core/tensor.h)


def buffer(*shape: int) -> int:
    """Bytes that a float tensor takes in the arena."""
    return (4 * int(np.prod(shape)) + 2 * SLACK - 1) // SLACK * SLACK


def model(nodes: list[Any], shape: tuple[Any, ...], outputs: str = "y", **constants: Any) -> Any:
    return model_of(nodes, {"x": (FLOAT, shape)}, dict.fromkeys(outputs, FLOAT), constants, opset=17)


def sample(*shape: int) -> dict[str, Any]:
    return {"x": np.random.default_rng(sum(shape)).normal(0, 1, shape).astype(FLOAT)}


def unary(*chain: str) -> list[Any]:
    """X -> chain[0] -> ... -> y."""
    names = ["x", *(f"v{i}" for i in range(1, len(chain))), "y"]
    return [node(op, [names[i]], [names[i + 1]]) for i, op in enumerate(chain)]


def test_a_chain_takes_one_buffer():
    made, x = model(unary("Tanh", "Sigmoid", "Exp", "Neg", "Cos"), ("N", 40)), sample(6, 40)
    assert arena_bytes(made, x) == buffer(6, 40) + SCRATCH
    check_as_onnxruntime(made, x)


def test_inputs_and_outputs_of_the_user_are_not_written_over():
    """The first step reads the user's array, the last one writes to one; "a" is read after it went out."""
    nodes = [node("Exp", ["x"], ["a"]), node("Neg", ["a"], ["b"]), node("Tanh", ["b"], ["y"])]
    made, x = model(nodes, ("N", 40), "ay"), sample(6, 40)
    before = x["x"].copy()
    check_as_onnxruntime(made, x)
    np.testing.assert_array_equal(x["x"], before)


IN_PLACE = {
    "a value that is read again": "Exp:x:a Neg:a:b Add:a,b:y",
    "a product with itself": "Tanh:x:a Mul:a,a:b Cos:b:y",
    "the third of a sum": "Tanh:x:a Exp:x:b Sum:a,b,a:c Cos:c:y",
    "the first and third of a maximum": "Cos:x:a Sin:x:b Max:b,a,b:c Neg:c:y",
    "a row beside what it is of": "Tanh:x:a Slice:a,start,end:r Add:a,r:b Cos:b:y",
    "another shape beside it": "Tanh:x:a Reshape:a,f:r Add:a,half:b Reshape:b,f:c Add:c,r:y",
    "a broadcast that grows": "ReduceMax:x:m Exp:m:e Tanh:x:t Sub:e,t:b Cos:b:y",
    "another type": "Tanh:x:a Greater:a,half:g Not:g:n Where:n,a,x:b Cos:b:y",
    "a view of the user's": "Reshape:x,f:r Exp:r:a Neg:r:b Add:a,b:y",
}


def graph_of(text: str) -> list[Any]:
    """Nodes written as operator:inputs:output."""
    nodes = []
    for part in text.split():
        op, inputs, output = part.split(":")
        nodes.append(node(op, inputs.split(","), [output], **({"axis": 0} if op == "Concat" else {})))
    return nodes


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place(name):
    constants = {"start": np.array([0]), "end": np.array([1]), "f": np.array([-1]), "half": np.array([0.5], FLOAT)}
    check_as_onnxruntime(model(graph_of(IN_PLACE[name]), ("N", 40), **constants), sample(6, 40))


def test_values_that_branches_and_bodies_read():
    """A branch reads "a" after steps that could have written over it."""
    branch = helper.make_graph(
        [node("Mul", ["a", "b"], ["r"])], "branch", [], [helper.make_empty_tensor_value_info("r")]
    )
    nodes = [
        node("Tanh", ["x"], ["a"]),
        node("Exp", ["a"], ["b"]),
        node("ReduceSum", ["x"], ["sum"], keepdims=0),
        node("Greater", ["sum", "zero"], ["positive"]),
        node("If", ["positive"], ["c"], then_branch=branch, else_branch=branch),
        node("Neg", ["c"], ["d"]),
        node("Add", ["d", "a"], ["y"]),
    ]
    check_as_onnxruntime(model(nodes, ("N", 4), zero=FLOAT(0)), sample(3, 4))


def test_after_data_dependent_shapes():
    """What lives over a cut of the plan keeps its place."""
    nodes = [
        node("Tanh", ["x"], ["a"]),
        node("Greater", ["a", "zero"], ["g"]),
        node("Compress", ["a", "flat"], ["c"]),
        node("Exp", ["c"], ["d"]),
        node("Reshape", ["g", "all"], ["flat"]),
        node("ReduceSum", ["d"], ["s"], keepdims=0),
        node("Mul", ["a", "s"], ["b"]),
        node("Cos", ["b"], ["y"]),
    ]
    nodes = [nodes[i] for i in (0, 1, 4, 2, 3, 5, 6, 7)]
    check_as_onnxruntime(model(nodes, ("N", 4), zero=FLOAT(0), all=np.array([-1])), sample(3, 4))


def test_pieces_are_computed_in_place():
    nodes = [
        node("Tanh", ["x"], ["a"]),
        node("Exp", ["x"], ["b0"]),
        node("Cos", ["b0"], ["b"]),
        node("Concat", ["a", "b"], ["c"], axis=0),
        node("MatMul", ["c", "w"], ["y"]),
    ]
    made = model(nodes, ("N", 40), w=np.ones((40, 3), FLOAT))
    x = sample(6, 40)
    assert "Concat" not in steps(made, x)
    assert arena_bytes(made, x) == buffer(12, 40) + SCRATCH
    check_as_onnxruntime(made, x)


def test_an_output_is_put_together_in_the_users_array():
    nodes = [
        node("Tanh", ["x"], ["a"]),
        node("MatMul", ["x", "w"], ["b"]),
        node("Concat", ["a", "b"], ["y"], axis=1),
    ]
    made, x = model(nodes, (1, 40), w=np.ones((40, 3), FLOAT)), sample(1, 40)
    assert steps(made, x) == ["Tanh", "MatMul"]
    assert arena_bytes(made, x) == SCRATCH
    check_as_onnxruntime(made, x)
    bound = model(nodes, ("N", 40), w=np.ones((40, 3), FLOAT))
    assert "Concat" in steps(bound, sample(2, 40))  # the same model with rows between each other
    check_as_onnxruntime(bound, sample(2, 40))


PIECES = {
    "twice the same": "Exp:x:a Concat:a,a:y",
    "an output": "Exp:x:a Neg:x:b Concat:a,b:z Cos:z:y",
    "an input": "Exp:x:a Neg:a:b Concat:a,b,x:y",
    "a small constant": "Exp:x:a Neg:x:b Concat:one,a,b:y",
    "a large constant": "Exp:x:a Concat:many,a:y",
    "an outer one": "Exp:x:a Neg:x:b Concat:a,b:c Tanh:x:d Concat:d,c:e Cos:e:y",
    "a piece that is read later": "Exp:x:a Neg:x:b Concat:a,b:c Cos:a:d Concat:d,c:y",
    "a piece that another one is made of": "Exp:x:a Neg:a:b Cos:b:d Concat:a,b,d:y",
    "a piece of two": "Exp:x:a Neg:a:b Concat:a,b:c Concat:b,a:d Sub:c,d:y",
    "a view of a piece": "Exp:x:a Unsqueeze:a,nought:u Squeeze:u,nought:v Neg:x:b Concat:v,b:y",
    "a part as a piece": "Exp:x:a Slice:a,nought,two:p Neg:x:b Concat:p,b:y",
    "steps in the place of all": "Exp:x:a Neg:x:b Concat:a,b:c Cos:c:d Sin:d:e Add:e,e:y",
    "an empty piece": "Exp:x:a Slice:a,nought,nought:p Neg:x:b Concat:p,a,b:y",
}


@pytest.mark.parametrize("name", PIECES)
def test_pieces(name):
    constants = {"one": np.ones((1, 40), FLOAT), "many": np.ones((60, 40), FLOAT)}
    constants |= {"nought": np.array([0]), "two": np.array([2])}
    made = model(graph_of(PIECES[name]), ("N", 40), "yab" if name == "an output" else "y", **constants)
    check_as_onnxruntime(made, sample(6, 40))


def test_large_pieces_from_outside_keep_the_concat():
    nodes = [node("Exp", ["x"], ["a"]), node("Concat", ["many", "a"], ["y"], axis=0)]
    made, x = model(nodes, ("N", 40), many=np.ones((60, 40), FLOAT)), sample(6, 40)
    assert steps(made, x) == ["Exp", "Concat"]


def test_pieces_of_codes():
    """int8 models too: codes whose readers look past their end are not put beside others that are still computed."""
    scales = {"s": FLOAT(0.03), "z": np.uint8(128)}
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["r"]),
        node("Relu", ["r"], ["a"]),
        node("QuantizeLinear", ["a", "s", "z"], ["aq"]),
        node("DequantizeLinear", ["aq", "s", "z"], ["ar"]),
        node("Tanh", ["r"], ["b"]),
        node("QuantizeLinear", ["b", "s", "z"], ["bq"]),
        node("DequantizeLinear", ["bq", "s", "z"], ["br"]),
        node("Concat", ["ar", "br"], ["c"], axis=0),
        node("MatMul", ["ar", "w"], ["m"]),
        node("MatMul", ["c", "w"], ["y"]),
    ]
    made = model(nodes, ("N", 40), "ym", w=np.ones((40, 3), FLOAT), **scales)
    check_as_onnxruntime(made, sample(6, 40))


def test_parts_are_views():
    nodes = [
        node("Tanh", ["x"], ["a"]),
        node("Split", ["a", "parts"], ["p", "q", "r"], axis=0),
        node("Exp", ["p"], ["pe"]),
        node("MatMul", ["q", "w"], ["qe"]),
        node("Neg", ["r"], ["re"]),
        node("Concat", ["re", "pe"], ["u"], axis=0),
        node("MatMul", ["u", "w"], ["v"]),
        node("Add", ["v", "qe"], ["y"]),
    ]
    made = model(nodes, (8, 40), w=np.ones((40, 3), FLOAT), parts=np.array([1, 4, 3]))
    x = sample(8, 40)
    assert sorted(steps(made, x)) == ["Add", "Exp", "MatMul", "MatMul", "Neg", "Tanh"]
    check_as_onnxruntime(made, x)


SLICES = {
    "rows": ([1], [4], [0], [1], True),
    "the last rows": ([-2], [1000], [0], [1], True),
    "columns": ([1], [4], [1], [1], False),
    "columns of one row": ([3, 1], [4, 30], [0, 1], [1, 1], True),
    "every other row": ([0], [6], [0], [2], False),
    "rows backwards": ([5], [0], [0], [-1], False),
    "one element": ([2, 7], [3, 8], [0, 1], [1, 1], True),
    "one row by a step": ([4], [-1000], [0], [-5], True),
}


@pytest.mark.parametrize("name", SLICES)
@pytest.mark.parametrize("of_input", [True, False])
def test_slices(name, of_input):
    starts, ends, axes, by, view = SLICES[name]
    nodes = [
        *([] if of_input else [node("Tanh", ["x"], ["a"])]),
        node("Slice", ["x" if of_input else "a", "starts", "ends", "axes", "by"], ["p"]),
        node("Exp", ["p"], ["y"]),
    ]
    constants = {k: np.array(v) for k, v in {"starts": starts, "ends": ends, "axes": axes, "by": by}.items()}
    made = model(nodes, ("N", 40), **constants)
    assert ("Slice" in steps(made, sample(6, 40))) is not view
    check_as_onnxruntime(made, sample(6, 40))


def test_parts_of_codes_that_the_user_gives():
    """The last rows of an array that ends where it ends: integer products read a little further."""
    nodes = [
        node("Slice", ["x", "start", "end"], ["p"]),
        node("MatMulInteger", ["p", "w", "zero"], ["y"]),
    ]
    rng = np.random.default_rng(0)
    constants = {"start": np.array([2]), "end": np.array([5]), "w": rng.integers(-9, 9, (7, 3), np.int8)}
    constants["zero"] = np.uint8(100)
    made = model_of(nodes, {"x": (np.uint8, (5, 7))}, {"y": np.int32}, constants, opset=17)
    check_as_onnxruntime(made, {"x": rng.integers(0, 255, (5, 7), np.uint8)})


class Drawing:
    """A random graph of steps that share memory, all of whose values have 12 columns."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.rows = {"x": 6}
        self.unread = ["x"]
        for _ in range(25):
            self.draw()

    def number(self, value: Any) -> str:
        self.constants[f"k{len(self.constants)}"] = np.asarray(value, np.int64)
        return f"k{len(self.constants) - 1}"

    def pick(self, rows: int | None = None) -> str:
        names = [name for name, count in self.rows.items() if rows in (None, count)]
        fresh = [name for name in self.unread if name in names]
        name = str(self.rng.choice(fresh if fresh and self.rng.random() < 0.6 else names))
        self.unread = [other for other in self.unread if other != name]
        return name

    def add(self, op: str, inputs: list[str], rows: list[int], **attributes: Any) -> None:
        names = [f"v{len(self.rows) + i}" for i in range(len(rows))]
        self.nodes.append(node(op, inputs, names, **attributes))
        self.rows.update(zip(names, rows, strict=True))
        self.unread += names

    def draw(self) -> None:
        x = self.pick()
        rows = self.rows[x]
        kind = self.rng.choice(["unary", "binary", "sum", "concat", "split", "slice", "view"])
        if kind == "unary":
            self.add(str(self.rng.choice(["Tanh", "Cos", "Neg", "Relu", "Abs"])), [x], [rows])
        elif kind == "binary":
            self.add(str(self.rng.choice(["Max", "Mean", "Min"])), [x, self.pick(rows)], [rows])
        elif kind == "sum":
            self.add("Mean", [x, self.pick(rows), self.pick(rows)], [rows])
        elif kind == "concat" and rows < 40:
            pieces = [x, *(self.pick() for _ in range(int(self.rng.integers(1, 4))))]
            self.add("Concat", pieces, [sum(self.rows[p] for p in pieces)], axis=0)
        elif kind == "split" and rows > 1:
            first = int(self.rng.integers(1, rows))
            self.add("Split", [x, self.number([first, rows - first])], [first, rows - first], axis=0)
        elif kind == "slice":
            start = int(self.rng.integers(0, rows))
            end = int(self.rng.integers(start + 1, rows + 1))
            self.add("Slice", [x, self.number([start]), self.number([end])], [end - start])
        else:
            self.add("Reshape", [x, self.number([rows, 12])], [rows])


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs(seed):
    drawing = Drawing(seed)
    outputs = [*dict.fromkeys(name for name in drawing.unread if name != "x")]
    outputs += [name for name in list(drawing.rows)[1:] if name not in outputs and drawing.rng.random() < 0.1]
    made = model_of(drawing.nodes, {"x": (FLOAT, (6, 12))}, dict.fromkeys(outputs, FLOAT), drawing.constants, opset=17)
    check_as_onnxruntime(made, sample(6, 12))


def test_codes_without_a_step_of_their_own_are_counted():
    """A watching session sees what was put together in place, and the parts of it, once each."""
    scales = {"s": FLOAT(0.03), "z": np.uint8(128), "parts": np.array([3, 9])}
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["r"]),
        node("Neg", ["r"], ["a"]),
        node("QuantizeLinear", ["a", "s", "z"], ["aq"]),
        node("DequantizeLinear", ["aq", "s", "z"], ["ar"]),
        node("Tanh", ["r"], ["b"]),
        node("QuantizeLinear", ["b", "s", "z"], ["bq"]),
        node("DequantizeLinear", ["bq", "s", "z"], ["br"]),
        node("Concat", ["ar", "br"], ["c"], axis=0),
        node("Split", ["c", "parts"], ["p0", "p1"], axis=0),
        *(node("Cos", [f"p{i}"], [f"d{i}"]) for i in "01"),
        *(node("QuantizeLinear", [f"d{i}", "s", "z"], [f"d{i}q"]) for i in "01"),
        *(node("DequantizeLinear", [f"d{i}q", "s", "z"], [f"m{i}"]) for i in "01"),
        node("Concat", ["m0", "m1"], ["y"], axis=0),
    ]
    made = model(nodes, ("N", 40), **scales)
    x = sample(6, 40)
    assert not {"Split", "Concat"} & set(steps(made, x))
    watch = _core.Watch(_core.WatchSpec([None], [None]))
    session = _core.Session(_core.Model(made.SerializeToString()), watch=watch)
    session.run(x)
    counted = {name: histogram.counts for name, histogram in watch.take().codes.items()}
    whole = counted["c/codes"]
    assert whole.sum() == 12 * 40
    np.testing.assert_array_equal(counted["aq"] + counted["bq"], whole)
    np.testing.assert_array_equal(counted["p0/codes"] + counted["p1/codes"], whole)
    assert counted["p0/codes"].sum() == 3 * 40
