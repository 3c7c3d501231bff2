"""Builders and references that the tests of ai.onnx.ml share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import onnx
from onnx import helper
from onnx_models import Array, element_type
from runner import Case

FEATURE_DTYPES = (np.float32, np.float64, np.int64, np.int32)
"""What most operators of the domain take."""

BATCHES = (1, 3, 8, 131)

TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


def ml_model(
    op: str,
    inputs: Mapping[str, Array],
    outputs: Mapping[str, npt.DTypeLike],
    *,
    opset: int = 3,
    symbolic_batch: bool = False,
    **attributes: Any,
) -> onnx.ModelProto:
    """A model of one node "node" of ai.onnx.ml; a name of an output that begins with "_" is left out of the graph's."""
    node = helper.make_node(op, list(inputs), list(outputs), name="node", domain="ai.onnx.ml", **attributes)
    infos = [
        helper.make_tensor_value_info(n, element_type(a.dtype), ["N", *a.shape[1:]] if symbolic_batch else a.shape)
        for n, a in inputs.items()
    ]
    results = [
        helper.make_tensor_value_info(n, element_type(d), None) for n, d in outputs.items() if not n.startswith("_")
    ]
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", opset)]
    return helper.make_model(helper.make_graph([node], "case", infos, results), opset_imports=opsets, ir_version=10)


def features(rng: np.random.Generator, shape: Sequence[int], dtype: npt.DTypeLike = np.float32) -> Array:
    """Small numbers of the dtype."""
    if np.issubdtype(np.dtype(dtype), np.integer):
        return np.asarray(rng.integers(-4, 5, shape), dtype)
    return np.asarray(rng.normal(0.0, 2.0, shape), dtype)


def erf_inverse(x: Array) -> Array:
    """Winitzki's, which ONNX's reference and ONNX Runtime have."""
    a = 0.147
    log = np.log((1 - x) * (1 + x))
    v = 2 / (np.pi * a) + log / 2
    return np.asarray(np.copysign(np.sqrt(np.sqrt(v * v - log / a) - v), x))


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def transformed(transform: str, scores: Array) -> Array:
    """post_transform of rows of scores, in float64."""
    x = np.asarray(scores, np.float64)
    if transform == "SOFTMAX":
        return softmax(x)
    if transform == "LOGISTIC":
        return np.asarray(1 / (1 + np.exp(-x)))
    if transform == "SOFTMAX_ZERO":
        e = np.where(np.abs(x) <= 1e-7, 0.0, np.exp(x - x.max(axis=-1, keepdims=True)))
        return np.asarray(e / e.sum(axis=-1, keepdims=True))
    if transform == "PROBIT":
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.sqrt(2) * erf_inverse(2 * x - 1))
    return x


def probabilities(rng: np.random.Generator, shape: Sequence[int]) -> Array:
    """Well inside of (0, 1), for PROBIT."""
    return np.asarray(rng.uniform(0.1, 0.9, shape), np.float32)


def classifier_case(
    name: str, op: str, x: Array, labels: Array, scores: Array, settings: Mapping[str, Any] | None = None, **more: Any
) -> Case:
    """A case of a classifier: its labels are "y", its scores "z". `settings` are of Case, the rest of ml_model."""
    model = ml_model(op, {"x": x}, {"y": np.int64, "z": np.float32}, **more)
    expected = {"y": np.asarray(labels, np.int64), "z": scores}
    return Case(name, model, {"x": x}, expected, length=None, **(settings or {}))
