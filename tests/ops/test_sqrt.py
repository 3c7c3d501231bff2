import numpy as np
import pytest

from elementwise_cases import check_ulps, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


def reference(x: Array) -> Array:
    return np.asarray(np.sqrt(x))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("Sqrt", reference, 13, older=(7,), prepare=np.abs),
    ],
    ids=str,
)
def test_sqrt(case: Case) -> None:
    check(case)


def test_sqrt_is_accurate() -> None:
    check_ulps("Sqrt", reference, 0.51, 13, 0, 3e38)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("Sqrt", x, opset=13), x, UnsupportedError, "int32", "Sqrt")
