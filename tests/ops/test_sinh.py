import numpy as np
import pytest

from elementwise_cases import check_ulps, lookup_case, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


def reference(x: Array) -> Array:
    return np.asarray(np.sinh(x))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("Sinh", reference, 22, older=(9,), lacking=(np.float64,)),
        lookup_case("Sinh", reference, 22),
    ],
    ids=str,
)
def test_sinh(case: Case) -> None:
    check(case)


def test_sinh_is_accurate() -> None:
    check_ulps("Sinh", reference, 3, 22, -88, 88)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("Sinh", x, opset=22), x, UnsupportedError, "int32", "Sinh")
