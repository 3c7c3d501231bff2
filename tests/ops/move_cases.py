"""What tests of operators that only move elements share: they must be exact in every dtype, and on codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

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
