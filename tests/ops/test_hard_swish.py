import numpy as np
import pytest

from elementwise_cases import lookup_case, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


def reference(x: Array) -> Array:
    return np.asarray(x * np.clip(x / 6 + 0.5, 0, 1))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("HardSwish", reference, 22, older=(14,), lacking=(np.float64,)),
        lookup_case("HardSwish", reference, 22),
    ],
    ids=str,
)
def test_hard_swish(case: Case) -> None:
    check(case)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("HardSwish", x, opset=22), x, UnsupportedError, "int32", "HardSwish")
