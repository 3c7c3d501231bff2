import numpy as np
import pytest

from elementwise_cases import check_ulps, lookup_case, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


def reference(x: Array) -> Array:
    return np.asarray(x * np.tanh(np.log1p(np.exp(x))))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases(
            "Mish",
            reference,
            22,
            older=(18,),
            lacking=(np.float64,),
            edges=(np.nan, 0.0, 1e-45, 80.0, -100.0, 3.4e38, -3.4e38),
        ),
        lookup_case("Mish", reference, 22),
    ],
    ids=str,
)
def test_mish(case: Case) -> None:
    check(case)


def test_mish_is_accurate() -> None:
    check_ulps("Mish", reference, 6, 22, -80, 1e6)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("Mish", x, opset=22), x, UnsupportedError, "int32", "Mish")
