import numpy as np
import pytest

from binary_cases import batched, check_integers_are_planned, float_cases, integer_cases
from onnx_models import one_node
from runner import Case, check, check_refused
from sanderling.errors import ModelError


@pytest.mark.parametrize(
    "case",
    [
        *float_cases("Mul", np.multiply, opset=7),
        *integer_cases("Mul", np.multiply),
        *batched("Mul", np.multiply),
    ],
    ids=str,
)
def test_mul(case: Case) -> None:
    check(case)


def test_integers_are_planned() -> None:
    check_integers_are_planned("Mul")


def test_shapes_that_do_not_broadcast() -> None:
    inputs = {"a": np.zeros((2, 3), np.float32), "b": np.zeros((2, 4), np.float32)}
    check_refused(one_node("Mul", inputs), inputs, ModelError, r"\[2, 3\] and \[2, 4\].*3 against 4", "Mul")


def test_dtypes_that_differ() -> None:
    inputs = {"a": np.zeros(3, np.float32), "b": np.zeros(3, np.int32)}
    check_refused(one_node("Mul", inputs), inputs, ModelError, "int32.*float32", "Mul")


def test_bool() -> None:
    inputs = {"a": np.zeros(3, np.bool_), "b": np.zeros(3, np.bool_)}
    check_refused(one_node("Mul", inputs), inputs, ModelError, "bool", "Mul")
