from typing import Any

import ml_dtypes
import numpy as np
import pytest

from move_cases import OTHER_DTYPES
from onnx import helper, numpy_helper
from onnx_models import Array, model_of
from runner import Case, check, check_refused
from samples import DTYPES, values
from sanderling import _core
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


@pytest.mark.parametrize("dtype", [*DTYPES, *OTHER_DTYPES], ids=lambda d: d.__name__)
@pytest.mark.parametrize("linear", [True, False])
def test_sparse_values(dtype: Any, linear: bool) -> None:
    if dtype is ml_dtypes.float8_e8m0fnu:
        return  # which has no zero
    dense = np.zeros((3, 4, 5)).astype(dtype)
    places = np.array([3, 17, 59], np.int64)
    dense.reshape(-1)[places] = np.array([1, 1, 1]).astype(dtype)
    stored = numpy_helper.from_array(dense.reshape(-1)[places], "values")
    indices = places if linear else np.stack(np.unravel_index(places, dense.shape), -1)
    sparse = helper.make_sparse_tensor(stored, numpy_helper.from_array(indices, "indices"), dense.shape)
    model = model_with(dtype, sparse_value=sparse)
    # ONNX Runtime lacks some of the types.
    check(Case("sparse", model, X, {"y": dense, "z": X["x"]}, exact=True, onnxruntime=False))


def test_bad_sparse_values() -> None:
    def refused(message: str, indices: Any, dims: tuple[int, ...] = (4, 5), values: int = 2) -> None:
        stored = numpy_helper.from_array(np.ones(values, np.float32), "values")
        named = numpy_helper.from_array(np.array(indices), "indices")
        model = model_with(np.float32, sparse_value=helper.make_sparse_tensor(stored, named, dims))
        with pytest.raises(ModelError, match=message):
            _core.Model(model.SerializeToString())

    refused("index 20, expected 0 to 19", [0, 20])
    refused("index -1", [0, -1])
    refused("index 5, expected 0 to 4", [[0, 0], [0, 5]])
    refused("twice", [[0, 1], [0, 1]])
    refused(r"indices int64\[3\]", [0, 1, 2])
    refused(r"indices float64\[2\]", [0.0, 1.0])
    refused("negative extent", [0, 1], (-4, 5))
    refused("with 2 elements; the limit", [0, 1], (1 << 20, 1 << 10))
    refused("index 0, expected 0 to -1", [0, 1], (0, 5))


def test_other_values() -> None:
    check_refused(model_with(np.float32, value_string="a"), X, UnsupportedError, "value_string", "Constant")
    check_refused(model_with(np.float32), X, ModelError, "has no value", "Constant")
