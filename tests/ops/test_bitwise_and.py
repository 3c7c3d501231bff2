import numpy as np
import pytest

from elementwise_cases import INTEGERS, pair_cases
from onnx_models import one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


@pytest.mark.parametrize(
    "case",
    [
        *pair_cases("BitwiseAnd", np.bitwise_and, 18, dtypes=INTEGERS),
    ],
    ids=str,
)
def test_bitwise_and(case: Case) -> None:
    check(case)


def test_floats() -> None:
    inputs = {"a": np.zeros(3, np.float32), "b": np.zeros(3, np.float32)}
    check_refused(one_node("BitwiseAnd", inputs), inputs, UnsupportedError, "float32", "BitwiseAnd")
