import numpy as np
import pytest

from comparison_cases import check_bool_is_refused, check_dtypes_must_agree, check_nan_and_infinity
from elementwise_cases import NUMBERS, pair_cases
from runner import Case, check


@pytest.mark.parametrize(
    "case",
    [
        *pair_cases("LessOrEqual", np.less_equal, 16, dtypes=NUMBERS, output_dtype=np.bool_, older=(12,)),
    ],
    ids=str,
)
def test_less_or_equal(case: Case) -> None:
    check(case)


def test_nan_and_infinity() -> None:
    check_nan_and_infinity("LessOrEqual", np.less_equal)


def test_bool() -> None:
    check_bool_is_refused("LessOrEqual")


def test_dtypes_that_differ() -> None:
    check_dtypes_must_agree("LessOrEqual")
