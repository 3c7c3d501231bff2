import numpy as np
import pytest

from elementwise_cases import NUMBERS, fold_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import ModelError


def reference(first: Array, *others: Array) -> Array:
    for other in others:
        first = np.maximum(first, other)
    return first


@pytest.mark.parametrize(
    "case",
    [
        *fold_cases("Max", reference, 13, dtypes=NUMBERS, lacking=(np.uint16, np.int16), older=(8, 12)),
    ],
    ids=str,
)
def test_max(case: Case) -> None:
    check(case)


def test_nan_stays() -> None:
    inputs = {
        "a": np.array([np.nan, 1, np.nan, np.inf, 3], np.float32),
        "b": np.array([1, np.nan, np.nan, -np.inf, 2], np.float32),
    }
    wanted = np.maximum(inputs["a"], inputs["b"])
    check(Case("nan", one_node("Max", inputs), inputs, {"y": wanted}))


def test_refused() -> None:
    inputs = {"a": np.zeros((2, 3), np.float32), "b": np.zeros((3, 1), np.float32), "c": np.zeros(4, np.float32)}
    check_refused(one_node("Max", inputs), inputs, ModelError, "2 against 3", "Max")
    inputs = {"a": np.zeros(3, np.float32), "b": np.zeros(3, np.float32), "c": np.zeros(3, np.int32)}
    check_refused(one_node("Max", inputs), inputs, ModelError, "input 2 is int32", "Max")
    inputs = {"a": np.zeros(3, np.bool_)}
    check_refused(one_node("Max", inputs, output_dtype=np.bool_), inputs, ModelError, "bool", "Max")
