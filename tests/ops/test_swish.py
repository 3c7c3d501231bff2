import numpy as np
import pytest

from elementwise_cases import check_ulps, lookup_case, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


def reference(x: Array, alpha: float = 1.0) -> Array:
    return np.asarray(x / (1 + np.exp(-alpha * x)))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("Swish", reference, 24, edges=(np.nan, np.inf, 0.0, 1e-45, -5.0, -80.0, 3.4e38)),
        *map_cases(
            "Swish",
            lambda x: reference(x, alpha=0.5),
            24,
            edges=(np.nan, np.inf, 0.0, 1e-45, -5.0, -80.0, 3.4e38),
            name="other-",
            alpha=0.5,
        ),
        lookup_case("Swish", reference, 24),
    ],
    ids=str,
)
def test_swish(case: Case) -> None:
    check(case)


def test_swish_is_accurate() -> None:
    check_ulps("Swish", reference, 6, 24, -80, 3e38)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("Swish", x, opset=24), x, UnsupportedError, "int32", "Swish")
