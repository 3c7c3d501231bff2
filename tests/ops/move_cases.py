"""What tests of operators that only move elements share: they must be exact in every dtype, and on codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from onnx_models import Array, Codes, one_node, qdq_node
from runner import Case, qdq_case
from samples import DTYPES, name_of, values


def move_case(
    name: str, op: str, x: Array, expected: Array, *, constants: dict[str, Any] | None = None, **settings: Any
) -> Case:
    """An exact case of one node on `x`."""
    onnxruntime = settings.pop("onnxruntime", True)
    model = one_node(op, {"x": x}, constants=constants, output_dtype=x.dtype, **settings)
    return Case(name, model, {"x": x}, {"y": expected}, exact=True, onnxruntime=onnxruntime)


def in_every_dtype(
    op: str,
    shape: Sequence[int],
    move: Callable[[Array], Array],
    constants: dict[str, Any] | None = None,
    **settings: Any,
) -> list[Case]:
    """The same node in every element type of the engine."""
    made = []
    for dtype in DTYPES:
        x = values(np.random.default_rng(5), shape, dtype)
        made.append(move_case(name_of(dtype, shape), op, x, move(x), constants=constants, **settings))
    return made


def on_codes(
    op: str, shape: Sequence[int], move: Callable[[Array], Array], plain: dict[str, Any] | None = None, **settings: Any
) -> list[Case]:
    """The node between DequantizeLinear and QuantizeLinear of one scale: codes must come through unchanged."""
    made = []
    for dtype in (np.uint8, np.int8):
        x = Codes.random(np.random.default_rng(6), shape, dtype, scale=0.03)
        qdq = qdq_node(op, {"x": x}, move, 0.03, int(x.zero_point), plain=plain, y_dtype=dtype, **settings)
        made.append(qdq_case(f"codes-{np.dtype(dtype).name}", qdq, operators={"Quantize", "Dequantize"}))
    return made


OTHER_DTYPES = (
    *(np.uint16, np.int16, np.uint32, np.uint64, np.float16),
    *(ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e4m3fnuz, ml_dtypes.float8_e5m2),
    *(ml_dtypes.float8_e5m2fnuz, ml_dtypes.float8_e8m0fnu, ml_dtypes.float4_e2m1fn),
    *(ml_dtypes.uint4, ml_dtypes.int4, ml_dtypes.uint2, ml_dtypes.int2),
)
"""What tensors may hold besides DTYPES."""


def in_other_dtypes(
    op: str,
    shape: Sequence[int],
    move: Callable[[Array], Array],
    constants: dict[str, Any] | None = None,
    **settings: Any,
) -> list[Case]:
    """The same node in all further element types, without ONNX Runtime, which lacks many of them."""
    made = []
    for dtype in OTHER_DTYPES:
        # Two values that every type but float8_e8m0fnu has: that has no zero.
        drawn = np.random.default_rng(7).integers(0, 2, shape)
        x = np.asarray(drawn + (dtype == ml_dtypes.float8_e8m0fnu)).astype(dtype)
        made.append(
            move_case(name_of(dtype, shape), op, x, move(x), constants=constants, onnxruntime=False, **settings)
        )
    return made
