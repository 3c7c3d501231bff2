import numpy as np
import pytest

from elementwise_cases import check_ulps, lookup_case, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import ModelError, UnsupportedError


def reference(x: Array, alpha: float = 1.0) -> Array:
    return np.asarray(np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(x / alpha)))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("Celu", reference, 28, older=(12,), lacking=(np.float64,)),
        *map_cases("Celu", lambda x: reference(x, alpha=2.5), 28, lacking=(np.float64,), name="other-", alpha=2.5),
        lookup_case("Celu", reference, 28),
    ],
    ids=str,
)
def test_celu(case: Case) -> None:
    check(case)


def test_celu_is_accurate() -> None:
    check_ulps("Celu", reference, 3, 28, -3e38, 3e38)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("Celu", x, opset=28), x, UnsupportedError, "int32", "Celu")


def test_alpha_of_zero() -> None:
    x = {"x": np.zeros(3, np.float32)}
    check_refused(one_node("Celu", x, alpha=0.0), x, ModelError, "alpha is 0", "Celu")


def test_negative_alpha() -> None:
    x = np.linspace(-3, 3, 31, dtype=np.float32)
    model = one_node("Celu", {"x": x}, alpha=-1.5)
    check(
        Case("negative", model, {"x": x}, {"y": reference(x.astype(np.float64), -1.5)}, onnxruntime=False, length=None)
    )
