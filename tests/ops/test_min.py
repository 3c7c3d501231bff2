import numpy as np
import pytest

from elementwise_cases import NUMBERS, check_nan_stays, check_refused_folds, fold_cases
from onnx_models import Array
from runner import Case, check


def reference(first: Array, *others: Array) -> Array:
    for other in others:
        first = np.minimum(first, other)
    return first


@pytest.mark.parametrize(
    "case",
    [
        *fold_cases("Min", reference, 13, dtypes=NUMBERS, lacking=(np.uint16, np.int16), older=(8, 12)),
    ],
    ids=str,
)
def test_min(case: Case) -> None:
    check(case)


def test_nan_stays() -> None:
    check_nan_stays("Min", np.minimum)


def test_refused() -> None:
    check_refused_folds("Min")
