"""Ensembles of decision trees as lists, random ones of them, and what they give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from onnx_models import Array

MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "BRANCH_LEQ": np.less_equal,
    "BRANCH_LT": np.less,
    "BRANCH_GTE": np.greater_equal,
    "BRANCH_GT": np.greater,
    "BRANCH_EQ": np.equal,
    "BRANCH_NEQ": np.not_equal,
}


@dataclass
class Tree:
    """Nodes by id; a branch has (mode, feature, threshold, true, false, missing), a leaf its votes (target, weight)."""

    branches: dict[int, tuple[str, int, float, int, int, int]] = field(default_factory=dict)
    leaves: dict[int, list[tuple[int, float]]] = field(default_factory=dict)

    def leaf(self, row: Array, dtype: Any) -> list[tuple[int, float]]:
        """The votes for a row; thresholds and features are compared in `dtype`."""
        node = 0
        while node in self.branches:
            mode, feature, threshold, true, false, missing = self.branches[node]
            x = dtype(row[feature])
            node = true if (bool(missing) if np.isnan(x) else COMPARE[mode](x, dtype(threshold))) else false
        return self.leaves[node]


def random_trees(
    rng: np.random.Generator,
    count: int,
    features: int,
    targets: int,
    *,
    depth: int = 6,
    modes: tuple[str, ...] = ("BRANCH_LEQ",),
    missing: bool = False,
    votes: int = 1,
    positive: bool = False,
    only: int | None = None,
) -> list[Tree]:
    """Trees of at most `depth` branches; thresholds are halves of integers, so that integer features meet them."""

    def vote() -> tuple[int, float]:
        weight = float(np.float32(abs(rng.normal()) if positive else rng.normal()))
        return (int(rng.integers(targets)) if only is None else only), weight / (count if positive else 1)

    def grow(tree: Tree, level: int) -> int:
        node = len(tree.branches) + len(tree.leaves)
        if level == depth or (level and rng.random() < 0.2):
            tree.leaves[node] = [vote() for _ in range(votes)]
            return node
        tree.branches[node] = ("", 0, 0.0, 0, 0, 0)
        true, false = grow(tree, level + 1), grow(tree, level + 1)
        mode = str(rng.choice(modes))
        threshold = float(rng.integers(-6, 7)) / 2
        tree.branches[node] = (
            mode,
            int(rng.integers(features)),
            threshold,
            true,
            false,
            int(missing and rng.random() < 0.5),
        )
        return node

    trees = [Tree() for _ in range(count)]
    for tree in trees:
        grow(tree, 0)
    return trees


def attributes(trees: list[Tree], votes: str, doubles: bool = False) -> dict[str, Any]:
    """As TreeEnsembleClassifier (`votes` is "class") and TreeEnsembleRegressor ("target") have them."""
    lists: dict[str, list[Any]] = {
        f"nodes_{name}": []
        for name in ("treeids", "nodeids", "modes", "featureids", "values", "truenodeids", "falsenodeids")
    }
    lists["nodes_missing_value_tracks_true"] = []
    lists |= {f"{votes}_{name}": [] for name in ("treeids", "nodeids", "ids", "weights")}
    for t, tree in enumerate(trees):
        for node in range(len(tree.branches) + len(tree.leaves)):
            mode, feature, threshold, true, false, missing = tree.branches.get(node, ("LEAF", 0, 0.0, 0, 0, 0))
            row = (t, node, mode, feature, threshold, true, false, missing)
            for values, value in zip(lists.values(), row, strict=False):
                values.append(value)
            for target, weight in tree.leaves.get(node, []):
                for name, value in zip(
                    ("treeids", "nodeids", "ids", "weights"), (t, node, target, weight), strict=True
                ):
                    lists[f"{votes}_{name}"].append(value)
    if doubles:
        from onnx import numpy_helper

        for name in ("nodes_values", f"{votes}_weights"):
            lists[f"{name}_as_tensor"] = numpy_helper.from_array(np.array(lists.pop(name), np.float64))  # type: ignore[assignment]
    return dict(lists)


def votes_of(trees: list[Tree], x: Array, wide: bool) -> list[list[list[tuple[int, float]]]]:
    """The votes by row and tree; `wide`: compared in float64, else in float32."""
    dtype = np.float64 if wide else np.float32
    rows = x[None] if x.ndim == 1 else x
    return [[tree.leaf(row, dtype) for tree in trees] for row in rows]


def aggregated(votes: list[list[list[tuple[int, float]]]], targets: int, function: str) -> Array:
    """Scores by row and target, in float64; 0 of a target without a vote."""
    scores = np.zeros((len(votes), targets))
    for row, trees in zip(scores, votes, strict=True):
        for target in range(targets):
            mine = [weight for tree in trees for t, weight in tree if t == target]
            if mine:
                row[target] = {"SUM": sum, "AVERAGE": sum, "MIN": min, "MAX": max}[function](mine)
        if function == "AVERAGE":
            row /= len(trees)
    return scores
