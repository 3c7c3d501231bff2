import numpy as np
import pytest

from elementwise_cases import check_ulps, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


def reference(x: Array) -> Array:
    return np.asarray(1 / x)


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("Reciprocal", reference, 13, older=(7,), prepare=lambda x: np.copysign(np.abs(x) + 0.25, x)),
    ],
    ids=str,
)
def test_reciprocal(case: Case) -> None:
    check(case)


def test_reciprocal_is_accurate() -> None:
    check_ulps("Reciprocal", reference, 0.51, 13, 1e-30, 1e30)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("Reciprocal", x, opset=13), x, UnsupportedError, "int32", "Reciprocal")
