import numpy as np
import pytest

from elementwise_cases import check_ulps, lookup_case, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import ModelError, UnsupportedError


def reference(x: Array, alpha: float = 1.0) -> Array:
    return np.asarray(np.where(x < 0, alpha * np.expm1(x), x))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("Elu", reference, 22, older=(7,), lacking=(np.float64,)),
        *map_cases("Elu", lambda x: reference(x, alpha=2.5), 22, lacking=(np.float64,), name="other-", alpha=2.5),
        lookup_case("Elu", reference, 22),
    ],
    ids=str,
)
def test_elu(case: Case) -> None:
    check(case)


def test_elu_is_accurate() -> None:
    check_ulps("Elu", reference, 2, 22, -3e38, 3e38)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("Elu", x, opset=22), x, UnsupportedError, "int32", "Elu")


def test_attribute_of_another_type() -> None:
    x = {"x": np.zeros(3, np.float32)}
    check_refused(one_node("Elu", x, opset=22, alpha="much"), x, ModelError, "alpha", "Elu")
