import numpy as np
import pytest

from onnx import TensorProto, helper, numpy_helper
from onnx_models import model_of
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError


def graph(nodes: list, outputs: list[str], constants: dict[str, np.ndarray] | None = None) -> object:
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    stored = [numpy_helper.from_array(a, n) for n, a in (constants or {}).items()]
    return helper.make_graph(nodes, "branch", [], infos, stored)


def model(then_nodes: list, else_nodes: list, then_constants: dict[str, np.ndarray] | None = None) -> object:
    node = helper.make_node(
        "If",
        ["c"],
        ["y"],
        name="node",
        then_branch=graph(then_nodes, ["t"], then_constants),
        else_branch=graph(else_nodes, ["e"]),
    )
    before = helper.make_node("Relu", ["x"], ["r"])
    after = helper.make_node("Add", ["y", "b"], ["z"])
    constants = {"b": np.float32(1), "w": values(np.random.default_rng(9), (5, 5))}
    return model_of(
        [before, node, after], {"c": (np.bool_, ()), "x": (np.float32, ("N", 5))}, {"z": np.float32}, constants
    )


PRODUCT = [helper.make_node("MatMul", ["r", "w"], ["m"]), helper.make_node("Relu", ["m"], ["t"])]
SUM = [helper.make_node("Add", ["r", "x"], ["e"])]
NONE = [helper.make_node("NonZero", ["r"], ["n"]), helper.make_node("Cast", ["n"], ["e"], to=1)]


@pytest.mark.parametrize("condition", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_branches_of_one_type(condition: bool, batch: int) -> None:
    x = values(np.random.default_rng(batch), (batch, 5))
    r, w = np.maximum(x, 0), values(np.random.default_rng(9), (5, 5))
    y = np.maximum(r.astype(np.float64) @ w, 0) if condition else r + x
    inputs = {"c": np.array(condition), "x": x}
    check(Case("if", model(PRODUCT, SUM), inputs, {"z": y + 1.0}, length=5))


@pytest.mark.parametrize("condition", [False, True])
def test_branches_of_different_types(condition: bool) -> None:
    x = values(np.random.default_rng(0), (3, 5))
    r, w = np.maximum(x, 0), values(np.random.default_rng(9), (5, 5))
    y = np.maximum(r.astype(np.float64) @ w, 0) if condition else np.array(np.nonzero(r), np.float64)
    check(Case("if", model(PRODUCT, NONE), {"c": np.array(condition), "x": x}, {"z": y + 1.0}, length=5))


@pytest.mark.parametrize("condition", [False, True])
def test_branches_in_branches(condition: bool) -> None:
    inner = helper.make_node("If", ["c"], ["t"], then_branch=graph(PRODUCT, ["t"]), else_branch=graph(SUM, ["e"]))
    x = values(np.random.default_rng(0), (3, 5))
    r, w = np.maximum(x, 0), values(np.random.default_rng(9), (5, 5))
    y = np.maximum(r.astype(np.float64) @ w, 0) if condition else r + x
    check(Case("if", model([inner], SUM), {"c": np.array(condition), "x": x}, {"z": y + 1.0}, length=5))


@pytest.mark.parametrize("condition", [False, True])
def test_a_branch_of_constants(condition: bool) -> None:
    constant = {"t": values(np.random.default_rng(3), (3, 5))}
    x = values(np.random.default_rng(0), (3, 5))
    y = constant["t"] if condition else np.maximum(x, 0) + x
    check(Case("if", model([], SUM, constant), {"c": np.array(condition), "x": x}, {"z": y + np.float32(1)}))


@pytest.mark.parametrize("condition", [False, True])
def test_a_branch_that_these_inputs_do_not_fit(condition: bool) -> None:
    """Only the branch that runs must be possible: models choose between branches for different lengths."""
    columns = 5 if condition else 7
    weights = {n: values(np.random.default_rng(n), (n, n)) for n in (5, 7)}
    node = helper.make_node(
        "If",
        ["c"],
        ["y"],
        name="node",
        then_branch=graph([helper.make_node("MatMul", ["x", "w"], ["t"])], ["t"], {"w": weights[5]}),
        else_branch=graph([helper.make_node("MatMul", ["x", "w"], ["e"], name="product")], ["e"], {"w": weights[7]}),
    )
    chosen = model_of([node], {"c": (np.bool_, ()), "x": (np.float32, ("N", "M"))}, {"y": np.float32})
    x = values(np.random.default_rng(0), (3, columns))
    inputs = {"c": np.array(condition), "x": x}
    check(Case("if", chosen, inputs, {"y": x.astype(np.float64) @ weights[columns]}, length=columns))
    if condition:
        other = {"c": np.array(False), "x": x}
        check_refused(chosen, other, ModelError, "5 columns do not meet 7 rows", "MatMul", "product")


def test_what_is_no_condition() -> None:
    inputs = {"c": np.array([True, False]), "x": np.zeros((3, 5), np.float32)}
    bad = model(PRODUCT, SUM)
    bad.graph.input[0].type.tensor_type.shape.dim.add().dim_value = 2
    check_refused(bad, inputs, ModelError, "expected a single value", "If")


def test_without_a_branch() -> None:
    node = helper.make_node("If", ["c"], ["y"], name="node", then_branch=graph(SUM, ["e"]))
    inputs = {"c": np.array(False), "x": np.zeros((3, 5), np.float32), "r": np.zeros((3, 5), np.float32)}
    specs = {name: (a.dtype, a.shape) for name, a in inputs.items()}
    check_refused(model_of([node], specs, {"y": np.float32}), inputs, ModelError, "no subgraph 'else_branch'", "If")
