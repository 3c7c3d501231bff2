import numpy as np
import pytest

from elementwise_cases import check_ulps, lookup_case, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


def reference(x: Array) -> Array:
    return np.asarray(x / (1 + np.abs(x)))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("Softsign", reference, 22, older=(7,), lacking=(np.float64,)),
        lookup_case("Softsign", reference, 22),
    ],
    ids=str,
)
def test_softsign(case: Case) -> None:
    check(case)


def test_softsign_is_accurate() -> None:
    check_ulps("Softsign", reference, 2, 22, -3e38, 3e38)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("Softsign", x, opset=22), x, UnsupportedError, "int32", "Softsign")
