import numpy as np
import pytest

from elementwise_cases import check_ulps, lookup_case, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


def reference(x: Array) -> Array:
    return np.asarray(np.cos(x))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("Cos", reference, 22, older=(7,)),
        lookup_case("Cos", reference, 22),
    ],
    ids=str,
)
def test_cos(case: Case) -> None:
    check(case)


def test_cos_is_accurate() -> None:
    check_ulps("Cos", reference, 2, 22, -1000000.0, 1000000.0)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("Cos", x, opset=22), x, UnsupportedError, "int32", "Cos")
