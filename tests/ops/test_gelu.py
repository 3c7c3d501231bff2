import math

import numpy as np
import pytest

from elementwise_cases import check_ulps, lookup_case, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import ModelError, UnsupportedError


def tanh(x: Array) -> Array:
    return np.asarray(x / (1 + np.exp(-2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))


def reference(x: Array) -> Array:
    return np.asarray(0.5 * x * np.vectorize(math.erfc, otypes=[np.float64])(-x * math.sqrt(0.5)))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases(
            "Gelu", reference, 20, lacking=(np.float64,), edges=(np.nan, np.inf, 0.0, 1e-45, -5.0, -9.0, -20.0, 3.4e38)
        ),
        *map_cases(
            "Gelu",
            tanh,
            20,
            lacking=(np.float64,),
            edges=(np.nan, np.inf, 0.0, 1e-45, -5.0, -9.0, -20.0, 3.4e38),
            name="tanh-",
            approximate="tanh",
        ),
        lookup_case("Gelu", reference, 20),
    ],
    ids=str,
)
def test_gelu(case: Case) -> None:
    check(case)


def test_gelu_is_accurate() -> None:
    check_ulps("Gelu", reference, 12, 20, -12, 1e6)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("Gelu", x, opset=20), x, UnsupportedError, "int32", "Gelu")


def test_approximation_of_another_name() -> None:
    x = {"x": np.zeros(3, np.float32)}
    check_refused(
        one_node("Gelu", x, approximate="fast"), x, ModelError, "approximate is 'fast'.*none and tanh", "Gelu"
    )
