from typing import Any

import numpy as np
import pytest

from ml_cases import BATCHES, TRANSFORMS, features, ml_model, transformed
from onnx import numpy_helper
from runner import Case, check, check_refused
from sanderling.errors import ModelError, UnsupportedError
from tree_cases import MODES, Tree, aggregated, random_trees, votes_of

OP = "ai.onnx.ml.TreeEnsemble"
MEMBER = 6


def lists(trees: list[Tree], dtype: Any) -> dict[str, Any]:
    """The attributes of trees with one vote per leaf; a mode ("MEMBER", values) stands for set membership."""
    names = ("modes", "featureids", "splits", "truenodeids", "trueleafs", "falsenodeids", "falseleafs")
    nodes: dict[str, list[Any]] = {f"nodes_{name}": [] for name in (*names, "missing_value_tracks_true")}
    leaves: list[tuple[int, float]] = []
    roots, members = [], []
    for tree in trees:
        first, first_leaf = len(nodes["nodes_modes"]), len(leaves)
        place = {node: first + i for i, node in enumerate(tree.branches)}
        leaf = {node: first_leaf + i for i, node in enumerate(tree.leaves)}
        leaves += [votes[0] for votes in tree.leaves.values()]
        roots.append(first)
        for mode, feature, threshold, true, false, missing in tree.branches.values():
            if isinstance(mode, tuple):
                members += [*mode[1], np.nan]
            ways = [w for child in (true, false) for w in ((place | leaf)[child], int(child in leaf))]
            number = MEMBER if isinstance(mode, tuple) else MODES.index(mode)
            for values, value in zip(nodes.values(), (number, feature, threshold, *ways, missing), strict=True):
                values.append(value)
    given: dict[str, Any] = dict(nodes)
    given["nodes_modes"] = numpy_helper.from_array(np.array(nodes["nodes_modes"], np.uint8))
    given["nodes_splits"] = numpy_helper.from_array(np.array(nodes["nodes_splits"], dtype))
    if members:
        given["membership_values"] = numpy_helper.from_array(np.array(members, dtype))
    weights = numpy_helper.from_array(np.array([w for _, w in leaves], dtype))
    return given | {"tree_roots": roots, "leaf_targetids": [t for t, _ in leaves], "leaf_weights": weights}


def case(
    name: str,
    x: np.ndarray,
    trees: list[Tree],
    targets: int,
    function: int = 1,
    transform: int = 0,
    onnxruntime: bool = True,
    votes: Any = None,
) -> Case:
    model = ml_model(
        "TreeEnsemble",
        {"x": x},
        {"y": x.dtype},
        opset=5,
        n_targets=targets,
        aggregate_function=function,
        post_transform=transform,
        symbolic_batch=x.ndim == 2 and len(x) > 0,
        **lists(trees, x.dtype),
    )
    found = votes if votes is not None else votes_of(trees, x, x.dtype == np.float64)
    scores = aggregated(found, targets, ("AVERAGE", "SUM", "MIN", "MAX")[function])
    if targets > 1 or TRANSFORMS[transform] == "PROBIT":
        scores = transformed(TRANSFORMS[transform], scores)
    return Case(name, model, {"x": x}, {"y": scores}, length=None, onnxruntime=onnxruntime and x.size > 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("targets", [1, 3])
def test_tree_ensemble(dtype: type, batch: int, targets: int) -> None:
    rng = np.random.default_rng(batch)
    x = features(rng, (batch, 5), dtype)
    check(case("plain", x, random_trees(rng, 7, 5, targets), targets))
    check(case("modes", x, random_trees(rng, 7, 5, targets, modes=MODES), targets))
    x[rng.random(x.shape) < 0.3] = np.nan
    check(case("missing", x, random_trees(rng, 7, 5, targets, modes=MODES[:5], missing=True), targets))


@pytest.mark.parametrize("function", range(4))
@pytest.mark.parametrize("transform", range(4))
def test_functions_and_transforms(function: int, transform: int) -> None:
    rng = np.random.default_rng(0)
    x = features(rng, (11, 5))
    for targets in (1, 3):
        # ONNX Runtime takes 1, SOFTMAX, for LOGISTIC, and 2 the other way round.
        known = targets == 1 or TRANSFORMS[transform] not in ("SOFTMAX", "LOGISTIC")
        check(case("function", x, random_trees(rng, 6, 5, targets), targets, function, transform, known))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("missing", [0, 1])
def test_members(dtype: type, missing: int) -> None:
    sets = [(1.5, 2.0, -0.0), (), (4.0,)]
    branches = {i: (("MEMBER", s), i % 2, 0.0, 10 + i, i + 1, missing) for i, s in enumerate(sets)}
    leaves = {node: [(0, float(node))] for node in (10, 11, 12, 3)}
    tree = Tree(branches, leaves)  # type: ignore[arg-type]
    x = np.array([[1.5, 0], [4, 4], [0, 1], [2, 2], [3, 3], [np.nan, 1], [np.inf, np.nan], [4, 1.5]], dtype)

    def leaf(row: np.ndarray) -> int:
        for i, s in enumerate(sets):
            if missing if np.isnan(row[i % 2]) else row[i % 2] in s:
                return 10 + i
        return 3

    votes = [[[(0, float(leaf(row)))]] for row in x]
    check(case("members", x, [tree], 1, votes=votes, onnxruntime=False))  # which has no empty set
    both = [[[(0, float(leaf(row)))], [(0, float(leaf(row)))]] for row in x]
    check(case("two trees", x, [tree, tree], 1, votes=both, onnxruntime=False))


def test_shapes() -> None:
    rng = np.random.default_rng(0)
    trees = random_trees(rng, 5, 3, 2)
    check(case("vector", features(rng, (3,)), trees, 2, onnxruntime=False))
    check(case("empty", features(rng, (0, 3)), trees, 2))
    check(case("many", features(rng, (1500, 3)), trees, 2))


def refused(message: str, change: dict[str, Any], dtype: Any = np.float32, error: type[Exception] = ModelError) -> None:
    tree = Tree(
        {0: ("BRANCH_LEQ", 1, 0.5, 1, 2, 0), 1: ("BRANCH_LEQ", 1, 0.25, 2, 3, 0)}, {2: [(0, 1.0)], 3: [(0, 2.0)]}
    )
    given = lists([tree], np.float32) | {"n_targets": 1} | change
    x = {"x": np.zeros((2, 3), dtype)}
    check_refused(ml_model("TreeEnsemble", x, {"y": dtype}, opset=5, **given), x, error, message, OP)


def test_refused() -> None:
    modes = [numpy_helper.from_array(np.array(m, np.uint8)) for m in ([0, 7], [0, 6], [0])]
    refused("node 1 has the mode 7", {"nodes_modes": modes[0]})
    refused("membership_values ends before the set of node 1", {"nodes_modes": modes[1]})
    refused("nodes_splits has 2 values, expected 1", {"nodes_modes": modes[2]})
    refused("nodes_featureids has 1 values, expected 2", {"nodes_featureids": [0]})
    refused("a branch leads to node 2, there are 2", {"nodes_truenodeids": [2, 0], "nodes_trueleafs": [0, 1]})
    refused("a branch leads to leaf 2, there are 2", {"nodes_truenodeids": [0, 2], "nodes_trueleafs": [1, 1]})
    refused("a branch leads to node 5", {"tree_roots": [5]})
    refused("a branch leads to node -1", {"tree_roots": [-1]})
    refused("cycle", {"nodes_truenodeids": [1, 0], "nodes_trueleafs": [0, 0]})
    refused("leaf_targetids has the value 1, there are 1", {"leaf_targetids": [0, 1]})
    refused("leaf_targetids has 1 values, expected 2", {"leaf_targetids": [0]})
    refused("looks at feature 9", {"nodes_featureids": [9, 0]})
    refused("n_targets is 0", {"n_targets": 0})
    refused("aggregate_function is 4, ONNX has 0 to 3", {"aggregate_function": 4})
    refused("post_transform is -1, ONNX has 0 to 4", {"post_transform": -1})
    refused("int64", {}, np.int64, UnsupportedError)
