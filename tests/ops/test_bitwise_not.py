import numpy as np
import pytest

from elementwise_cases import INTEGERS, map_cases
from onnx_models import one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("BitwiseNot", np.invert, 18, dtypes=INTEGERS, edges=()),
    ],
    ids=str,
)
def test_bitwise_not(case: Case) -> None:
    check(case)


def test_floats() -> None:
    x = {"x": np.zeros(3, np.float32)}
    check_refused(one_node("BitwiseNot", x), x, UnsupportedError, "float32", "BitwiseNot")
