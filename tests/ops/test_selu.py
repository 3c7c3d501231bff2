import numpy as np
import pytest

from elementwise_cases import check_ulps, lookup_case, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


def reference(x: Array, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875) -> Array:
    return np.asarray(gamma * np.where(x > 0, x, alpha * np.expm1(x)))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("Selu", reference, 22, older=(7,), lacking=(np.float64,)),
        *map_cases(
            "Selu",
            lambda x: reference(x, alpha=2.5, gamma=0.5),
            22,
            lacking=(np.float64,),
            name="other-",
            alpha=2.5,
            gamma=0.5,
        ),
        lookup_case("Selu", reference, 22),
    ],
    ids=str,
)
def test_selu(case: Case) -> None:
    check(case)


def test_selu_is_accurate() -> None:
    check_ulps("Selu", reference, 3, 22, -3e38, 3e38)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("Selu", x, opset=22), x, UnsupportedError, "int32", "Selu")
