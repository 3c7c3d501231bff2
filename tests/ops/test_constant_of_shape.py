from typing import Any

import numpy as np
import pytest

from move_cases import OTHER_DTYPES
from onnx import numpy_helper
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import DTYPES
from sanderling.errors import ModelError


def filled(name: str, dims: Any, value: Array | None = None, known: bool = True, opset: int = 21) -> Case:
    x = {"x": np.array(dims, np.int64)}
    attributes = {} if value is None else {"value": numpy_helper.from_array(value)}
    dtype = np.dtype(np.float32) if value is None else value.dtype
    fill = np.zeros(1, dtype) if value is None else value
    model = one_node("ConstantOfShape", x, output_dtype=dtype, opset=opset, **attributes)
    return Case(name, model, x, {"y": np.full(dims, fill.reshape(-1)[0], dtype)}, exact=True, onnxruntime=known)


def cases() -> list[Case]:
    made = [filled("default", (3, 5)), filled("early", (3, 5), opset=9), filled("scalar", ()), filled("empty", (3, 0))]
    made.append(filled("large", (301, 401), np.array([7], np.int64)))
    for dtype in DTYPES:
        made.append(filled(np.dtype(dtype).name, (2, 3), np.array([1]).astype(dtype)))
    for dtype in OTHER_DTYPES:
        made.append(filled(np.dtype(dtype).name, (2, 3), np.array([1]).astype(dtype), known=False))
    # ONNX Runtime wants a list of one.
    made.append(filled("number", (2, 3), np.array(-2.5, np.float32), known=False))
    return made


@pytest.mark.parametrize("case", cases(), ids=str)
def test_constant_of_shape(case: Case) -> None:
    check(case)


def test_refused() -> None:
    def refused(message: str, dims: Any, **attributes: Any) -> None:
        x = {"x": np.array(dims)}
        check_refused(one_node("ConstantOfShape", x, **attributes), x, ModelError, message, "ConstantOfShape")

    refused("negative extent", [2, -1])
    refused("exceeds the limit", [1 << 40, 1 << 40])
    refused("more than the limit", [1 << 20, 1 << 20])
    refused("input 0 is float64", [2.0])
    refused("expected a list of integers", [[2]])
    refused(r"value has shape \[2\]", [2], value=numpy_helper.from_array(np.zeros(2, np.float32)))
