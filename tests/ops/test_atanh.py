import numpy as np
import pytest

from elementwise_cases import check_ulps, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


def reference(x: Array) -> Array:
    return np.asarray(np.arctanh(x))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("Atanh", reference, 22, older=(9,), lacking=(np.float64,), prepare=lambda x: x / (1 + np.abs(x))),
    ],
    ids=str,
)
def test_atanh(case: Case) -> None:
    check(case)


def test_atanh_is_accurate() -> None:
    check_ulps("Atanh", reference, 3, 22, -0.999, 0.999)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("Atanh", x, opset=22), x, UnsupportedError, "int32", "Atanh")
