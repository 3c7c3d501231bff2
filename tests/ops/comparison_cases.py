"""What tests of Equal, Greater, Less and their kin share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from onnx import helper
from onnx_models import model_of, one_node
from runner import Case, check, check_refused
from sanderling.errors import ModelError


def check_nan_and_infinity(op: str, compare: Callable[..., Any], opset: int = 16) -> None:
    """Compares with NaN and infinities on either side; a NaN comes up within the model."""
    values = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], np.float32)
    a, b = (np.ascontiguousarray(x) for x in np.meshgrid(values, values))
    # A model refuses NaN among its inputs that a comparison would hide; it may come up within.
    nodes = [
        helper.make_node("Div", ["zero", "zero"], ["nan"]),
        helper.make_node("Where", ["is_nan", "nan", "a"], ["with_nan"]),
        helper.make_node(op, ["with_nan", "b"], ["y"]),
    ]
    inputs = {"a": np.nan_to_num(a, nan=1.0, posinf=np.inf, neginf=-np.inf), "is_nan": np.isnan(a)}
    inputs["b"] = np.nan_to_num(b, nan=2.0, posinf=np.inf, neginf=-np.inf)
    specs = {name: (x.dtype, x.shape) for name, x in inputs.items()}
    model = model_of(nodes, specs, {"y": np.bool_}, {"zero": np.float32(0)}, opset)
    check(Case("nan", model, inputs, {"y": compare(a, inputs["b"])}))


def check_bool_is_refused(op: str) -> None:
    """An order is of numbers."""
    inputs = {"a": np.zeros(3, np.bool_), "b": np.zeros(3, np.bool_)}
    check_refused(one_node(op, inputs, output_dtype=np.bool_), inputs, ModelError, "bool", op)


def check_dtypes_must_agree(op: str) -> None:
    """None is cast."""
    inputs = {"a": np.zeros(3, np.float32), "b": np.zeros(3, np.int32)}
    check_refused(one_node(op, inputs, output_dtype=np.bool_), inputs, ModelError, "int32.*float32", op)
