import numpy as np
import pytest

from elementwise_cases import check_ulps, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


def reference(x: Array) -> Array:
    return np.asarray(np.arccosh(x))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("Acosh", reference, 22, older=(9,), lacking=(np.float64,), prepare=lambda x: 1 + np.abs(x)),
    ],
    ids=str,
)
def test_acosh(case: Case) -> None:
    check(case)


def test_acosh_is_accurate() -> None:
    check_ulps("Acosh", reference, 3, 22, 1, 3e38)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("Acosh", x, opset=22), x, UnsupportedError, "int32", "Acosh")
