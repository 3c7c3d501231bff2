"""Quantized operands of the tests of QConv, QGemm and QMatMul."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from onnx import NodeProto, helper
from onnx_models import Array, Codes, QdqModel, qdq_node

Floats = npt.NDArray[np.float64]


def int32_bias(rng: np.random.Generator, x: Codes, weights: Codes, terms: int) -> Codes:
    """A bias as quantizers write it: int32 that counts in x_scale * weight_scale, the size of a sum of `terms`."""
    size = 100 * 70 * np.sqrt(terms)
    codes = np.asarray(rng.normal(0, size, weights.codes.shape[weights.axis]), np.int32)
    return Codes(codes, np.asarray(x.scale * weights.scale, np.float32), np.zeros(codes.shape, np.int32), 0)


def fitted(
    op: str,
    tensors: dict[str, Codes],
    real: Floats,
    *,
    y_dtype: npt.DTypeLike = np.uint8,
    clamp: tuple[float, float] | None = None,
    plain: dict[str, Array] | None = None,
    inputs: int = 1,
    **settings: Any,
) -> QdqModel:
    """`op` on quantized tensors, the first of which are inputs; its output codes span nearly all of its exact results.

    Args:
        op: The operator.
        tensors: Its operands.
        real: Its float64 result.
        y_dtype: Of the output codes.
        clamp: A Relu (infinity above 0) or Clip that follows, in quantiles of the results: (0.3, 0.9).
        plain: float32 operands after the others.
        inputs: How many of `tensors` are inputs; the others are constants.
        settings: Others of qdq_node.
    """
    low, high = (float(q) for q in np.quantile(real, [0.002, 0.998]))
    after: list[NodeProto] = []
    stored = dict(plain or {})
    if clamp == (0.0, np.inf):
        after = [helper.make_node("Relu", ["node_y"], ["real_y"])]
        real = np.maximum(real, 0.0)
    elif clamp is not None:
        bounds = np.quantile(real, clamp).astype(np.float32)
        stored |= {"low": bounds[0], "high": bounds[1]}
        after = [helper.make_node("Clip", ["node_y", "low", "high"], ["real_y"])]
        real = np.clip(real, np.float64(bounds[0]), np.float64(bounds[1]))
    y_scale = float(np.float32(max(high - low, 1e-6) / 255))
    info = np.iinfo(np.dtype(y_dtype))
    y_zero = int(np.clip(np.rint(info.min - low / y_scale), info.min, info.max))
    names = [*tensors, *(plain or {})]
    constants = [*tensors][inputs:]

    def reference(*_: Floats) -> Floats:
        return real

    return qdq_node(
        op,
        tensors,
        reference,
        y_scale,
        y_zero,
        constants=constants,
        plain=stored,
        order=names,
        after=after,
        y_dtype=y_dtype,
        **settings,
    )
