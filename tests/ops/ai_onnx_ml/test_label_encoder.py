from typing import Any

import numpy as np
import pytest

from ml_cases import ml_model
from onnx import numpy_helper
from runner import Case, check, check_refused
from sanderling.errors import ModelError, UnsupportedError

OP = "ai.onnx.ml.LabelEncoder"
NAN = float("nan")
LISTS = {np.int64: "int64s", np.float32: "floats"}
LABELS = (np.int64, np.float32, np.int32, np.int16, np.float64)
KEYS, VALUES, X = [3, 1, -2], [10, 20, 30], [[1, 2, 3], [-2, 0, 1]]


def tensor(values: Any, dtype: type) -> Any:
    return numpy_helper.from_array(np.array(values, dtype))


def case(name: str, x: np.ndarray, wanted: np.ndarray, onnxruntime: bool = True, **given: Any) -> Case:
    model = ml_model("LabelEncoder", {"x": x}, {"y": wanted.dtype}, **given)
    return Case(name, model, {"x": x}, {"y": wanted}, exact=True, onnxruntime=onnxruntime)


@pytest.mark.parametrize("key", LISTS, ids=lambda d: d.__name__)
@pytest.mark.parametrize("value", LISTS, ids=lambda d: d.__name__)
@pytest.mark.parametrize("opset", [2, 3, 4])
def test_lists(key: type, value: type, opset: int) -> None:
    default = "default_int64" if value is np.int64 else "default_float"
    given = {f"keys_{LISTS[key]}": [key(k) for k in KEYS], f"values_{LISTS[value]}": [value(v) for v in VALUES]}
    x = np.array(X, key)
    known = opset > 3 or key is not value or key is np.int64 or opset == 2
    check(
        case(
            "default",
            x,
            np.array([[20, -1 if value is np.int64 else 0, 10], [30, -1 if value is np.int64 else 0, 20]], value),
            known,
            opset=opset,
            **given,
        )
    )
    check(
        case(
            "set",
            x,
            np.array([[20, 7, 10], [30, 7, 20]], value),
            known,
            opset=opset,
            **given,
            **{default: value(7).item()},
        )
    )


@pytest.mark.parametrize("key", LABELS, ids=lambda d: d.__name__)
@pytest.mark.parametrize("value", LABELS, ids=lambda d: d.__name__)
def test_tensors(key: type, value: type) -> None:
    given = {"keys_tensor": tensor(KEYS, key), "values_tensor": tensor(VALUES, value)}
    wanted = np.array([[20, 7, 10], [30, 7, 20]], value)
    x = np.array(X, key)
    # ONNX Runtime has few pairs of types.
    check(case("tensors", x, wanted, False, opset=4, default_tensor=tensor([7], value), **given))


def test_default_of_tensors() -> None:
    for value in LABELS:
        given = {"keys_tensor": tensor(KEYS, np.int64), "values_tensor": tensor(VALUES, value)}
        other = -1 if np.issubdtype(value, np.integer) else 0
        check(case("default", np.array([1, 9]), np.array([20, other], value), False, opset=4, **given))


def test_nan_and_zero() -> None:
    x = np.array([0.0, NAN, -0.0, 3.0, np.inf], np.float32)
    given = {"keys_floats": [-0.0, NAN, np.inf], "values_int64s": [10, 20, 30]}
    for opset in (2, 4):
        # With opset 2 ONNX Runtime does not find NaN, though ONNX says that it may be a key.
        check(case("nan", x, np.array([10, 20, 10, -1, 30]), opset == 4, opset=opset, **given))


def test_repeated_keys() -> None:
    """Since opset 4 the last one counts, says ONNX; ONNX Runtime takes the first."""
    given = {"keys_int64s": [1, 2, 1], "values_int64s": [10, 20, 30]}
    check(case("first", np.array([1, 2]), np.array([10, 20]), opset=2, **given))
    check(case("last", np.array([1, 2]), np.array([30, 20]), False, opset=4, **given))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (2, 3, 4), (5, 3001)], ids=str)
def test_shapes(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).integers(0, 4, shape)
    given = {"keys_int64s": [0, 1, 2], "values_int64s": [5, 6, 7]}
    check(case(f"{shape}", x, np.array([5, 6, 7, -1])[x].astype(np.int64), x.size > 0, opset=2, **given))


def test_refused() -> None:
    x = {"x": np.array([1, 2])}

    def refused(error: type[Exception], message: str, opset: int = 4, **given: Any) -> None:
        check_refused(ml_model("LabelEncoder", x, {"y": np.int64}, opset=opset, **given), x, error, message, OP)

    refused(UnsupportedError, "it maps strings", keys_int64s=[1], values_strings=["a"])
    refused(UnsupportedError, "it maps strings", opset=1, classes_strings=["a"])
    refused(ModelError, "no list of values", keys_int64s=[1])
    refused(ModelError, "2 keys for 1 values", keys_int64s=[1, 2], values_int64s=[1])
    refused(ModelError, "input 0 is int64, the keys are float32", keys_floats=[1.0], values_int64s=[1])
    refused(ModelError, "two lists of keys", keys_int64s=[1], keys_floats=[1.0], values_int64s=[1])
    twice = {"keys_int64s": [1], "values_int64s": [1]}
    refused(ModelError, r"default_tensor is float32\[1\]", default_tensor=tensor([1], np.float32), **twice)
    refused(UnsupportedError, "int64 to uint8", keys_int64s=[1], values_tensor=tensor([1], np.uint8))
