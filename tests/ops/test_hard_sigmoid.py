import numpy as np
import pytest

from elementwise_cases import lookup_case, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


def reference(x: Array, alpha: float = float(np.float32(0.2)), beta: float = 0.5) -> Array:
    return np.asarray(np.clip(alpha * x + beta, 0, 1))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("HardSigmoid", reference, 22, older=(7,), lacking=(np.float64,)),
        *map_cases(
            "HardSigmoid",
            lambda x: reference(x, alpha=0.5, beta=0.25),
            22,
            lacking=(np.float64,),
            name="other-",
            alpha=0.5,
            beta=0.25,
        ),
        lookup_case("HardSigmoid", reference, 22),
    ],
    ids=str,
)
def test_hard_sigmoid(case: Case) -> None:
    check(case)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("HardSigmoid", x, opset=22), x, UnsupportedError, "int32", "HardSigmoid")
