import numpy as np
import pytest

from reduction_cases import (
    Reduction,
    check_long_sums,
    check_nothing,
    check_refused_axes,
    check_without_axes,
    reduction_cases,
)
from runner import Case, check

REDUCTION = Reduction(
    "ReduceSumSquare",
    lambda x, axes, keep: np.square(x).sum(axis=axes, keepdims=keep, dtype=x.dtype),
)


@pytest.mark.parametrize("case", reduction_cases(REDUCTION), ids=str)
def test_reduce_sum_square(case: Case) -> None:
    check(case)


def test_long_sums() -> None:
    check_long_sums(REDUCTION)


def test_without_axes() -> None:
    check_without_axes(REDUCTION)


def test_of_nothing() -> None:
    check_nothing(REDUCTION, 0)


def test_refused() -> None:
    check_refused_axes(REDUCTION)
