import numpy as np
import pytest

from elementwise_cases import check_ulps, lookup_case, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


def reference(x: Array) -> Array:
    return np.asarray(np.exp(x))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("Exp", reference, 13, older=(7,), length=None),
        lookup_case("Exp", reference, 13),
    ],
    ids=str,
)
def test_exp(case: Case) -> None:
    check(case)


def test_exp_is_accurate() -> None:
    check_ulps("Exp", reference, 1.05, 13, -104, 88.7)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("Exp", x, opset=13), x, UnsupportedError, "int32", "Exp")
