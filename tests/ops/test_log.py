import numpy as np
import pytest

from elementwise_cases import check_ulps, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


def reference(x: Array) -> Array:
    return np.asarray(np.log(x))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("Log", reference, 13, older=(7,), prepare=np.abs),
    ],
    ids=str,
)
def test_log(case: Case) -> None:
    check(case)


def test_log_is_accurate() -> None:
    check_ulps("Log", reference, 2, 13, 1e-45, 3e38)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("Log", x, opset=13), x, UnsupportedError, "int32", "Log")
