import numpy as np
import pytest

from elementwise_cases import check_ulps, lookup_case, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


def reference(x: Array) -> Array:
    return np.asarray(np.arccos(x))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("Acos", reference, 22, older=(7,), lacking=(np.float64,), prepare=lambda x: x / (1 + np.abs(x))),
        lookup_case("Acos", reference, 22, scale=1 / 128),
    ],
    ids=str,
)
def test_acos(case: Case) -> None:
    check(case)


def test_acos_is_accurate() -> None:
    check_ulps("Acos", reference, 2, 22, -1, 1)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("Acos", x, opset=22), x, UnsupportedError, "int32", "Acos")
