import numpy as np
import pytest

from elementwise_cases import check_ulps, lookup_case, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


def reference(x: Array) -> Array:
    return np.asarray(np.tan(x))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("Tan", reference, 22, older=(7,), lacking=(np.float64,), prepare=lambda x: x / (1 + np.abs(x))),
        lookup_case("Tan", reference, 22, scale=1 / 128),
    ],
    ids=str,
)
def test_tan(case: Case) -> None:
    check(case)


def test_tan_is_accurate() -> None:
    check_ulps("Tan", reference, 3, 22, -1000000.0, 1000000.0)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("Tan", x, opset=22), x, UnsupportedError, "int32", "Tan")
