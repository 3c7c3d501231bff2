import numpy as np
import pytest

from elementwise_cases import check_ulps, lookup_case, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


def reference(x: Array) -> Array:
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("Softplus", reference, 22, older=(7,), lacking=(np.float64,)),
        lookup_case("Softplus", reference, 22),
    ],
    ids=str,
)
def test_softplus(case: Case) -> None:
    check(case)


def test_softplus_is_accurate() -> None:
    check_ulps("Softplus", reference, 4, 22, -86, 3e38)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("Softplus", x, opset=22), x, UnsupportedError, "int32", "Softplus")
