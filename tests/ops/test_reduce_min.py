import numpy as np
import pytest

from onnx import helper
from onnx_models import model_of
from reduction_cases import COMPARED, Reduction, check_nothing, check_refused_axes, check_without_axes, reduction_cases
from runner import Case, check

REDUCTION = Reduction(
    "ReduceMin",
    lambda x, axes, keep: x.min(axis=axes, keepdims=keep),
    dtypes=COMPARED,
)


@pytest.mark.parametrize("case", reduction_cases(REDUCTION), ids=str)
def test_reduce_min(case: Case) -> None:
    check(case)


def test_without_axes() -> None:
    check_without_axes(REDUCTION)


def test_of_nothing() -> None:
    check_nothing(REDUCTION, np.inf)


def test_refused() -> None:
    check_refused_axes(REDUCTION)


def test_a_nan_wins() -> None:
    x = np.array([[1, np.inf, 3, 2] * 9, [1, 2, 3, 4] * 9], np.float32)
    nodes = [
        helper.make_node("Sub", ["x", "x"], ["d"]),
        helper.make_node("ReduceMin", ["d", "rows"], ["y"]),
        helper.make_node("ReduceMin", ["d", "columns"], ["z"]),
    ]
    constants = {"rows": np.array([1]), "columns": np.array([0])}
    model = model_of(nodes, {"x": (np.float32, x.shape)}, {"y": np.float32, "z": np.float32}, constants, opset=18)
    d = np.where(x == np.inf, np.nan, 0.0)
    expected = {"y": d.min(1, keepdims=True), "z": d.min(0, keepdims=True)}
    check(Case("nan", model, {"x": x}, expected, onnxruntime=False))  # which depends on the order of elements
