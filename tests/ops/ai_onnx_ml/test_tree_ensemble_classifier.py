from typing import Any

import numpy as np
import pytest

from ml_cases import BATCHES, FEATURE_DTYPES, TRANSFORMS, classifier_case, features, ml_model, transformed
from runner import Case, check, check_refused
from sanderling.errors import ModelError, UnsupportedError
from tree_cases import MODES, Tree, aggregated, attributes, random_trees, votes_of

OP = "ai.onnx.ml.TreeEnsembleClassifier"


def finished(
    scores: np.ndarray, voted: np.ndarray, labels: list[int], transform: str, column: int | None, positive: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores; `column`: of two classes, the one with weights, if only one has some."""
    if len(labels) == 1:
        return (scores[:, 0] > 0).astype(np.int64), transformed(transform if transform == "PROBIT" else "NONE", scores)
    if column is None:
        return np.array(labels)[np.where(voted, scores, -np.inf).argmax(axis=1)], transformed(transform, scores)
    s = scores[:, column]
    chosen = np.array(labels)[(s > (0.5 if positive else 0)).astype(int)]
    if column == 1:
        return chosen, transformed(transform, scores)
    first = 1 - s if transform == "PROBIT" or (positive and transform != "LOGISTIC") else -s
    result = np.stack([first, s], axis=1)
    return chosen, transformed("NONE" if "SOFTMAX" in transform else transform, result)


def case(
    name: str,
    x: np.ndarray,
    trees: list[Tree],
    labels: list[int],
    base: list[float] | None = None,
    transform: str = "NONE",
    doubles: bool = False,
    onnxruntime: bool = True,
    opset: int = 3,
) -> Case:
    given = attributes(trees, "class", doubles) | ({} if base is None else {"base_values": base})
    votes = votes_of(trees, x, doubles or x.dtype == np.float64)
    scores = aggregated(votes, len(labels), "SUM")
    voted = np.array([[any(t == c for tree in row for t, _ in tree) for c in range(len(labels))] for row in votes])
    voted = voted.reshape(scores.shape)
    every = [vote for tree in trees for leaf in tree.leaves.values() for vote in leaf]
    columns = {target for target, _ in every}
    column = columns.pop() if len(labels) == 2 and len(columns) == 1 else None
    if base is not None:
        scores[:, : len(base)] += np.array(base)
        voted = np.ones_like(voted)
    chosen, result = finished(scores, voted, labels, transform, column, all(weight >= 0 for _, weight in every))
    return classifier_case(
        name,
        "TreeEnsembleClassifier",
        x,
        chosen,
        result,
        {"onnxruntime": onnxruntime and x.size > 0},
        opset=opset,
        symbolic_batch=x.ndim == 2 and len(x) > 0,
        classlabels_int64s=labels,
        post_transform=transform,
        **given,
    )


@pytest.mark.parametrize("dtype", FEATURE_DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("labels", [[3, -1, 2**40], [0, 1, 2, 3, 4, 5, 6]], ids=len)
def test_several_classes(dtype: type, batch: int, labels: list[int]) -> None:
    rng = np.random.default_rng(batch)
    x = features(rng, (batch, 5), dtype)
    check(case("plain", x, random_trees(rng, 7, 5, len(labels)), labels))
    check(case("modes", x, random_trees(rng, 7, 5, len(labels), modes=MODES), labels, opset=1))
    check(case("votes", x, random_trees(rng, 7, 5, len(labels), votes=3), labels))


@pytest.mark.parametrize("dtype", FEATURE_DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("column", [0, 1])
def test_two_classes_with_weights_for_one(dtype: type, transform: str, positive: bool, column: int) -> None:
    rng = np.random.default_rng(0)
    x = features(rng, (23, 5), dtype)
    if transform == "PROBIT" and not positive:
        return  # no probability
    trees = random_trees(rng, 5, 5, 2, positive=positive, only=column)
    if positive:  # within (0, 1)
        for tree in trees:
            tree.leaves = {n: [(t, 0.05 + min(w, 0.1))] for n, [(t, w)] in tree.leaves.items()}
    # Of two quantiles ONNX Runtime gives one.
    check(case("none", x, trees, [7, 3], None, transform, onnxruntime=transform != "PROBIT" or column == 1))
    if column == 0:
        check(case("base", x, trees, [7, 3], [0.125], transform, onnxruntime=transform != "PROBIT"))


@pytest.mark.parametrize("transform", ["NONE", "SOFTMAX", "LOGISTIC"])
def test_two_classes_with_weights_for_both(transform: str) -> None:
    """The top class, as ONNX says. ONNX Runtime gives 1 where the second score is above 0, whatever the labels are."""
    rng = np.random.default_rng(0)
    x = features(rng, (23, 5))
    for base in (None, [0.5, -0.25]):
        trees = random_trees(rng, 5, 5, 2, votes=2)
        check(case("both", x, trees, [7, 3], base, transform, onnxruntime=False))


@pytest.mark.parametrize("transform", [t for t in TRANSFORMS if t != "PROBIT"])
def test_transforms(transform: str) -> None:
    rng = np.random.default_rng(0)
    x = features(rng, (23, 5))
    trees = [*random_trees(rng, 5, 5, 4), Tree({}, {0: [(c, 0.125 * c) for c in range(4)]})]
    for base in (None, [0.5, -0.25, 0.125, 0.25]):
        check(case("transform", x, trees, [4, 3, 2, 1], base, transform))


def test_one_class() -> None:
    rng = np.random.default_rng(0)
    trees = random_trees(rng, 5, 5, 1)
    for transform in ("NONE", "LOGISTIC", "SOFTMAX"):
        check(case("one", features(rng, (9, 5)), trees, [1], None, transform))
    check(case("one", features(rng, (9, 5)), trees, [1], [0.5]))


def test_missing() -> None:
    for dtype in (np.float32, np.float64):
        rng = np.random.default_rng(0)
        x = features(rng, (60, 5), dtype)
        x[rng.random(x.shape) < 0.3] = np.nan
        check(case("missing", x, random_trees(rng, 9, 5, 3, missing=True), [0, 1, 2]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_double_attributes(dtype: type) -> None:
    rng = np.random.default_rng(0)
    x = features(rng, (23, 5), dtype)
    check(case("doubles", x, random_trees(rng, 5, 5, 3), [0, 1, 2], doubles=True, onnxruntime=dtype == np.float64))


def test_ties() -> None:
    """Ten votes of float32's 1/10 that tie: float32 sums are what scikit-learn's converted models were tried with."""
    leaf = [Tree({}, {0: [(0, float(np.float32(0.1)))]}) for _ in range(5)]
    nothing = [Tree({}, {0: [(0, 0.0)]}) for _ in range(5)]
    x = np.zeros((3, 1), np.float32)
    model = case("tie", x, leaf + nothing, [0, 1]).model
    expected = {"y": np.zeros(3, np.int64), "z": np.full((3, 2), 0.5)}
    check(Case("tie", model, {"x": x}, expected))


def test_outputs_that_nobody_wants() -> None:
    rng = np.random.default_rng(0)
    x = features(rng, (9, 5))
    trees = random_trees(rng, 5, 5, 3)
    whole = case("whole", x, trees, [0, 1, 2])
    for outputs, wanted in (({"y": np.int64}, "y"), ({"_y": np.int64, "z": np.float32}, "z")):
        given = attributes(trees, "class") | {"classlabels_int64s": [0, 1, 2]}
        model = ml_model("TreeEnsembleClassifier", {"x": x}, outputs, **given)
        expected = {wanted: whole.expected[wanted]}  # type: ignore[index]
        check(Case("some", model, {"x": x}, expected, length=None, onnxruntime=False))


def test_shapes() -> None:
    rng = np.random.default_rng(0)
    trees = random_trees(rng, 5, 3, 3)
    check(case("vector", features(rng, (3,)), trees, [0, 1, 2], onnxruntime=False))
    check(case("empty", features(rng, (0, 3)), trees, [0, 1, 2]))
    check(case("many", features(rng, (1500, 3)), trees, [0, 1, 2]))


def test_refused() -> None:
    x = {"x": np.zeros((2, 3), np.float32)}
    tree = Tree({0: ("BRANCH_LEQ", 1, 0.5, 1, 2, 0)}, {1: [(1, 1.0)], 2: [(1, 2.0)]})
    labels: dict[str, Any] = {"classlabels_int64s": [0, 1]}
    for change, error, message in (
        ({}, ModelError, "no attribute 'classlabels_int64s'"),
        ({"classlabels_strings": ["a", "b"]}, UnsupportedError, "class labels are strings.*integer labels"),
        (labels | {"base_values": [1.0]}, ModelError, "base_values has 1 values for 2 classes"),
        (labels | {"base_values": [1.0] * 3}, ModelError, "base_values has 3 values for 2 classes"),
        (labels | {"class_ids": [1, 2]}, ModelError, "class_ids has the value 2, there are 2"),
        (labels | {"post_transform": "LOG"}, ModelError, "post_transform is 'LOG'"),
        (labels | {"nodes_truenodeids": [0, 0, 0]}, ModelError, "cycle"),
    ):
        outputs = {"y": np.int64, "z": np.float32}
        model = ml_model("TreeEnsembleClassifier", x, outputs, **(attributes([tree], "class") | change))
        check_refused(model, x, error, message, OP)
