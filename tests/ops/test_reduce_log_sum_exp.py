import numpy as np
import pytest

from onnx import helper
from onnx_models import Array, model_of, one_node
from reduction_cases import (
    Axes,
    Reduction,
    check_long_sums,
    check_nothing,
    check_refused_axes,
    check_without_axes,
    reduction_cases,
)
from runner import Case, check


def log_sum_exp(x: Array, axes: Axes, keep: bool) -> Array:
    return np.asarray(np.log(np.exp(x.astype(np.float64)).sum(axis=axes, keepdims=keep)))


REDUCTION = Reduction(
    "ReduceLogSumExp",
    log_sum_exp,
    unknown=(np.int32, np.int64, np.uint32, np.uint64),  # ONNX Runtime rounds each power to an integer
)


@pytest.mark.parametrize("case", reduction_cases(REDUCTION), ids=str)
def test_reduce_log_sum_exp(case: Case) -> None:
    check(case)


def test_long_sums() -> None:
    check_long_sums(REDUCTION)


def test_without_axes() -> None:
    check_without_axes(REDUCTION)


def test_of_nothing() -> None:
    check_nothing(REDUCTION, -np.inf)


def test_refused() -> None:
    check_refused_axes(REDUCTION)


def test_large_numbers_do_not_overflow() -> None:
    axes = {"axes": np.array([1])}
    for x, wanted in (
        (np.array([[1e4, 1e4, -1e4], [-200, -200, -200]]), [1e4 + np.log(2), -200 + np.log(3)]),
        (np.array([[-np.inf, 0, 0], [np.inf, 0, np.inf], [-np.inf] * 3]), [np.log(2), np.inf, -np.inf]),
    ):
        x = x.astype(np.float32)
        model = one_node("ReduceLogSumExp", {"x": x}, constants=axes)
        # ONNX Runtime gives NaN for infinities.
        known = bool(np.isfinite(x).all())
        check(Case("large", model, {"x": x}, {"y": np.array(wanted)[:, None]}, onnxruntime=known))
    nodes = [helper.make_node("Sub", ["x", "x"], ["d"]), helper.make_node("ReduceLogSumExp", ["d", "axes"], ["y"])]
    model = model_of(nodes, {"x": (np.float32, x.shape)}, {"y": np.float32}, axes)
    check(Case("nan", model, {"x": x}, {"y": np.array([[np.nan], [np.nan], [np.nan]])}))
