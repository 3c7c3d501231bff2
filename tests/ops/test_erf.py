import math

import numpy as np
import pytest

from elementwise_cases import check_ulps, lookup_case, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


def reference(x: Array) -> Array:
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(x))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("Erf", reference, 13, older=(9,), lacking=(np.float64,)),
        lookup_case("Erf", reference, 13),
    ],
    ids=str,
)
def test_erf(case: Case) -> None:
    check(case)


def test_erf_is_accurate() -> None:
    check_ulps("Erf", reference, 2, 13, -3e38, 3e38)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("Erf", x, opset=13), x, UnsupportedError, "int32", "Erf")
