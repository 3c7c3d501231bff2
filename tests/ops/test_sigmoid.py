import numpy as np
import numpy.typing as npt
import pytest

from function_cases import function_cases, sweep
from onnx_models import one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


def reference(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


@pytest.mark.parametrize("case", [*function_cases("Sigmoid", reference)], ids=str)
def test_sigmoid(case: Case) -> None:
    check(case)


def test_sigmoid_is_accurate() -> None:
    check(sweep("Sigmoid", reference))


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("Sigmoid", x), x, UnsupportedError, "int32", "Sigmoid")
