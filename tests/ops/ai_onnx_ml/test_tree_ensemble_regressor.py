from typing import Any

import numpy as np
import pytest

from ml_cases import BATCHES, FEATURE_DTYPES, TRANSFORMS, features, ml_model, transformed
from runner import Case, check, check_refused
from sanderling.errors import ModelError
from tree_cases import MODES, Tree, aggregated, attributes, random_trees, votes_of

OP = "ai.onnx.ml.TreeEnsembleRegressor"


def case(
    name: str,
    x: np.ndarray,
    trees: list[Tree],
    targets: int,
    function: str = "SUM",
    base: list[float] | None = None,
    transform: str = "NONE",
    doubles: bool = False,
    onnxruntime: bool = True,
) -> Case:
    given = attributes(trees, "target", doubles) | ({} if base is None else {"base_values": base})
    model = ml_model(
        "TreeEnsembleRegressor",
        {"x": x},
        {"y": np.float32},
        n_targets=targets,
        aggregate_function=function,
        post_transform=transform,
        symbolic_batch=x.ndim == 2 and len(x) > 0,
        **given,
    )
    scores = aggregated(votes_of(trees, x, doubles or x.dtype == np.float64), targets, function)
    scores = scores + (0 if base is None else np.array(base))
    if targets > 1 or transform == "PROBIT":  # ONNX Runtime leaves a single score else
        scores = transformed(transform, scores)
    known = onnxruntime and x.size > 0 and x.dtype.kind == "f"
    return Case(name, model, {"x": x}, {"y": scores}, length=None, onnxruntime=known)


@pytest.mark.parametrize("dtype", FEATURE_DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("targets", [1, 3])
def test_tree_ensemble_regressor(dtype: type, batch: int, targets: int) -> None:
    rng = np.random.default_rng(batch)
    x = features(rng, (batch, 5), dtype)
    check(case("plain", x, random_trees(rng, 7, 5, targets), targets))
    check(case("modes", x, random_trees(rng, 7, 5, targets, modes=MODES), targets))
    if targets > 1:  # of several votes for one target ONNX Runtime counts one
        check(case("votes", x, random_trees(rng, 7, 5, targets, votes=2), targets))


@pytest.mark.parametrize("mode", MODES)
def test_modes(mode: str) -> None:
    """At the thresholds, at infinities, with NaN in both directions and one step beside."""
    for dtype in (np.float32, np.float64):
        rng = np.random.default_rng(0)
        x = (rng.integers(-6, 7, (60, 3)) / 2).astype(dtype)
        x[::7] = np.nextafter(x[::7], dtype(9))
        x[::5] = np.nextafter(x[::5], dtype(-9))
        x[3], x[4], x[5], x[6] = np.inf, -np.inf, 0.0, -0.0
        trees = random_trees(rng, 5, 3, 1, modes=(mode,))
        check(case("numbers", x, trees, 1))
        x[rng.random(x.shape) < 0.3] = np.nan
        # ONNX says that NaN goes where the file says; ONNX Runtime has it unequal to all.
        known = mode != "BRANCH_NEQ"
        check(case("NaN", x, trees, 1, onnxruntime=known))
        check(case("missing", x, random_trees(rng, 5, 3, 1, modes=(mode,), missing=True), 1, onnxruntime=known))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("threshold", [np.inf, -np.inf, np.nan, 3.4e38, 1e-45, -0.0])
def test_thresholds(mode: str, threshold: float) -> None:
    tree = Tree({0: (mode, 0, threshold, 1, 2, 0)}, {1: [(0, 1.0)], 2: [(0, 2.0)]})
    x = np.array([[np.inf], [-np.inf], [3.4e38], [0.0], [1e-45], [-1e-45], [1.0]], np.float32)
    check(case("threshold", x, [tree], 1))


@pytest.mark.parametrize("function", ["SUM", "AVERAGE", "MIN", "MAX"])
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("targets", [1, 3])
def test_functions_and_transforms(function: str, transform: str, targets: int) -> None:
    rng = np.random.default_rng(0)
    x = features(rng, (11, 5))
    # To a target without a vote ONNX Runtime does not add the base value.
    all_vote = Tree({}, {0: [(target, 0.125) for target in range(targets)]})
    trees = [*random_trees(rng, 6, 5, targets, positive=True), all_vote]
    base = [0.25 + 0.125 * t for t in range(targets)]
    for each in (None, base):
        check(case("function", x, trees, targets, function, each, transform, onnxruntime=transform != "PROBIT"))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_double_attributes(dtype: type) -> None:
    """Thresholds that float32 does not hold. ONNX Runtime has them with float64 inputs."""
    rng = np.random.default_rng(0)
    trees = random_trees(rng, 5, 3, 2)
    for tree in trees:
        for node, (mode, feature, threshold, *rest) in tree.branches.items():
            tree.branches[node] = (mode, feature, threshold + 1e-12, *rest)  # type: ignore[assignment]
    x = (rng.integers(-6, 7, (60, 3)) / 2).astype(dtype)
    check(case("doubles", x, trees, 2, doubles=True, onnxruntime=dtype == np.float64))


def test_base_of_a_target_without_votes() -> None:
    x = features(np.random.default_rng(0), (5, 1))
    check(case("base", x, [Tree({}, {0: [(0, 1.0)]})], 2, base=[10.0, 20.0], onnxruntime=False))


def test_shapes() -> None:
    rng = np.random.default_rng(0)
    trees = random_trees(rng, 5, 3, 2)
    check(case("vector", features(rng, (3,)), trees, 2, onnxruntime=False))
    check(case("empty", features(rng, (0, 3)), trees, 2))
    check(case("many rows", features(rng, (1500, 3)), trees, 2))
    check(case("more features", features(rng, (5, 7)), trees, 2))
    check(case("many trees", features(rng, (5, 3)), random_trees(rng, 150, 3, 1, depth=3), 1))
    check(case("many targets", features(rng, (9, 3)), random_trees(rng, 30, 3, 5000, depth=3), 5000))
    check(case("only leaves", features(rng, (5, 3)), [Tree({}, {0: [(0, 1.5)]}), Tree({}, {0: [(1, 2.5)]})], 2))
    check(case("deep", features(rng, (5, 3)), random_trees(rng, 2, 3, 2, depth=10), 2))


def test_shared_children_and_chains() -> None:
    """Set membership as LightGBM writes it: comparisons that lead to one node. And a tree that is a list."""
    chain = Tree({i: ("BRANCH_EQ", 0, float(i), 9, i + 1, 0) for i in range(8)}, {8: [(0, 1.0)], 9: [(0, 2.0)]})
    x = np.arange(-2, 12, dtype=np.float32)[:, None]
    check(case("members", x, [chain], 1))
    long = 20000
    deep = Tree({i: ("BRANCH_LEQ", 0, float(i), i + 1, long + 1 + i, 0) for i in range(long)}, {})
    deep.leaves = {i: [(0, float(i % 7))] for i in range(long, 2 * long + 1)}
    # ONNX Runtime recurses.
    check(case("list", np.array([[-1.0], [3.0], [1e9]], np.float32), [deep], 1, onnxruntime=False))


def test_no_rows_of_very_many_targets() -> None:
    x = np.zeros((0, 1), np.float32)
    given = attributes([Tree({}, {0: [(0, 1.0)]})], "target")
    model = ml_model("TreeEnsembleRegressor", {"x": x}, {"y": np.float32}, n_targets=2**40, **given)
    check(Case("none", model, {"x": x}, {"y": np.zeros((0, 2**40))}, onnxruntime=False))


def refused(message: str, change: dict[str, Any], x: np.ndarray | None = None) -> None:
    tree = Tree({0: ("BRANCH_LEQ", 1, 0.5, 1, 2, 0)}, {1: [(0, 1.0)], 2: [(0, 2.0)]})
    given = attributes([tree], "target") | {"n_targets": 1} | change
    inputs = {"x": np.zeros((2, 3), np.float32) if x is None else x}
    model = ml_model("TreeEnsembleRegressor", inputs, {"y": np.float32}, **{k: v for k, v in given.items() if v != []})
    check_refused(model, inputs, ModelError, message, OP)


def test_refused() -> None:
    refused("n_targets is 0", {"n_targets": 0})
    refused("n_targets is -1", {"n_targets": -1})
    refused("has no nodes", {"nodes_modes": []})
    refused("nodes_treeids has 2 values, expected 3", {"nodes_treeids": [0, 0]})
    refused("nodes_values has 2 values, expected 3", {"nodes_values": [0.0, 0.0]})
    refused("target_weights has 1 values, expected 2", {"target_weights": [0.0]})
    refused("mode 'BRANCH_MEMBER'", {"nodes_modes": ["BRANCH_MEMBER", "LEAF", "LEAF"]})
    refused("nodes_modes is no list of strings", {"nodes_modes": [1, 2, 3]})
    refused("node 1 of tree 0 is there twice", {"nodes_nodeids": [0, 1, 1]})
    refused("nodes_truenodeids names node 7 of tree 0", {"nodes_truenodeids": [7, 0, 0]})
    refused("nodes_falsenodeids names node -1 of tree 0", {"nodes_falsenodeids": [-1, 0, 0]})
    refused("a vote names node 9 of tree 0", {"target_nodeids": [1, 9]})
    refused("target_ids has the value 1, there are 1", {"target_ids": [0, 1]})
    refused("target_ids has the value -1", {"target_ids": [0, -1]})
    refused("base_values has 2 values for 1 targets", {"base_values": [0.0, 0.0]})
    refused("looks at feature 3, the input has shape", {"nodes_featureids": [3, 0, 0]})
    refused("looks at feature -1", {"nodes_featureids": [-1, 0, 0]})
    refused("looks at feature", {"nodes_featureids": [2**62, 0, 0]})
    refused("aggregate_function is 'MEAN'", {"aggregate_function": "MEAN"})
    refused("shape", {}, np.zeros((2, 3, 4), np.float32))


@pytest.mark.parametrize("to", [0, 1])
def test_cycles(to: int) -> None:
    """A file must not make a device walk for ever."""
    modes = ["BRANCH_LEQ", "BRANCH_LEQ", "LEAF"]
    ways = {"nodes_truenodeids": [1, to, 0], "nodes_falsenodeids": [2, 2, 0]}
    refused("cycle", {"nodes_modes": modes, "target_nodeids": [2, 2], **ways})
