import numpy as np
import pytest

from elementwise_cases import check_ulps, lookup_case, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


def reference(x: Array, alpha: float = 1.0) -> Array:
    return np.asarray(np.where(x > alpha, x, 0))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases(
            "ThresholdedRelu",
            reference,
            22,
            older=(10,),
            lacking=(np.float64,),
            edges=(np.inf, -np.inf, 1.0, -0.5, 0.0, -0.0),
        ),
        *map_cases(
            "ThresholdedRelu",
            lambda x: reference(x, alpha=-0.5),
            22,
            lacking=(np.float64,),
            edges=(np.inf, -np.inf, 1.0, -0.5, 0.0, -0.0),
            name="other-",
            alpha=-0.5,
        ),
        lookup_case("ThresholdedRelu", reference, 22),
    ],
    ids=str,
)
def test_thresholded_relu(case: Case) -> None:
    check(case)


def test_thresholded_relu_is_accurate() -> None:
    check_ulps("ThresholdedRelu", reference, 0.51, 22, -3e38, 3e38)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("ThresholdedRelu", x, opset=22), x, UnsupportedError, "int32", "ThresholdedRelu")
