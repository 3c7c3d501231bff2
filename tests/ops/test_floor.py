import numpy as np
import pytest

from elementwise_cases import check_ulps, lookup_case, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


def reference(x: Array) -> Array:
    return np.asarray(np.floor(x))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("Floor", reference, 13, older=(7,)),
        lookup_case("Floor", reference, 13, scale=1 / 32),
    ],
    ids=str,
)
def test_floor(case: Case) -> None:
    check(case)


def test_floor_is_accurate() -> None:
    check_ulps("Floor", reference, 0.51, 13, -3e38, 3e38)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("Floor", x, opset=13), x, UnsupportedError, "int32", "Floor")
