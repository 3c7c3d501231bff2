from typing import Any

import numpy as np
import pytest

from onnx import helper, numpy_helper
from onnx_models import Array, model_of
from runner import Case, check, check_refused
from samples import DTYPES, values
from sanderling.errors import ModelError, UnsupportedError


def model_with(dtype: Any, opset: int = 21, **attributes: Any) -> Any:
    nodes = [
        helper.make_node("Constant", [], ["y"], name="node", **attributes),
        helper.make_node("Identity", ["x"], ["z"]),
    ]
    return model_of(nodes, {"x": (np.float32, (2,))}, {"y": dtype, "z": np.float32}, opset=opset)


X = {"x": np.ones(2, np.float32)}


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("shape", [(), (3, 5), (0, 4)], ids=str)
def test_tensor(dtype: Any, shape: tuple[int, ...]) -> None:
    value = values(np.random.default_rng(0), shape, dtype)
    model = model_with(dtype, opset=9, value=numpy_helper.from_array(value))
    check(Case(f"{np.dtype(dtype).name}-{len(shape)}", model, X, {"y": value, "z": X["x"]}, exact=True))


@pytest.mark.parametrize(
    ("attributes", "value"),
    [
        ({"value_float": 1.5}, np.array(1.5, np.float32)),
        ({"value_floats": [1.5, -2.0]}, np.array([1.5, -2.0], np.float32)),
        ({"value_int": -7}, np.array(-7, np.int64)),
        ({"value_ints": [1 << 40, 2]}, np.array([1 << 40, 2], np.int64)),
    ],
    ids=str,
)
def test_numbers(attributes: dict[str, Any], value: Array) -> None:
    model = model_with(value.dtype, **attributes)
    check(Case("-".join(attributes), model, X, {"y": value, "z": X["x"]}, exact=True))


def test_other_values() -> None:
    check_refused(model_with(np.float32, value_string="a"), X, UnsupportedError, "value_string", "Constant")
    check_refused(model_with(np.float32), X, ModelError, "has no value", "Constant")
