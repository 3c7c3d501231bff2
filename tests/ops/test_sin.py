import numpy as np
import pytest

from elementwise_cases import check_ulps, lookup_case, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


def reference(x: Array) -> Array:
    return np.asarray(np.sin(x))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("Sin", reference, 22, older=(7,)),
        lookup_case("Sin", reference, 22),
    ],
    ids=str,
)
def test_sin(case: Case) -> None:
    check(case)


def test_sin_is_accurate() -> None:
    check_ulps("Sin", reference, 2, 22, -1000000.0, 1000000.0)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("Sin", x, opset=22), x, UnsupportedError, "int32", "Sin")
