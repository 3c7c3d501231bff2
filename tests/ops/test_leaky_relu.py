import numpy as np
import pytest

from elementwise_cases import check_ulps, lookup_case, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


def reference(x: Array, alpha: float = float(np.float32(0.01))) -> Array:
    return np.asarray(np.where(x < 0, alpha * x, x))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("LeakyRelu", reference, 16, older=(7,)),
        *map_cases("LeakyRelu", lambda x: reference(x, alpha=0.25), 16, name="other-", alpha=0.25),
        lookup_case("LeakyRelu", reference, 16),
    ],
    ids=str,
)
def test_leaky_relu(case: Case) -> None:
    check(case)


def test_leaky_relu_is_accurate() -> None:
    check_ulps("LeakyRelu", reference, 0.51, 16, -3e38, 3e38)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("LeakyRelu", x, opset=16), x, UnsupportedError, "int32", "LeakyRelu")
