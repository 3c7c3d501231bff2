import numpy as np
import pytest

from elementwise_cases import FLOATS, fold_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import ModelError, UnsupportedError


def reference(*inputs: Array) -> Array:
    return np.asarray(sum(inputs[1:], inputs[0]) / len(inputs))


@pytest.mark.parametrize(
    "case",
    [
        *fold_cases("Mean", reference, 13, dtypes=FLOATS, lacking=(np.float64,), older=(8,)),
    ],
    ids=str,
)
def test_mean(case: Case) -> None:
    check(case)


def test_refused() -> None:
    inputs = {"a": np.zeros(3, np.int32)}
    check_refused(one_node("Mean", inputs, output_dtype=np.int32), inputs, UnsupportedError, "int32", "Mean")
    inputs = {"a": np.zeros(3, np.float32), "b": np.zeros(2, np.float32)}
    check_refused(one_node("Mean", inputs), inputs, ModelError, "3 against 2", "Mean")
