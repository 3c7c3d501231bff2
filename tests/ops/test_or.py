import numpy as np
import pytest

from elementwise_cases import pair_cases
from onnx_models import one_node
from runner import Case, check, check_refused
from sanderling.errors import ModelError


@pytest.mark.parametrize(
    "case",
    [
        *pair_cases("Or", np.logical_or, 7, dtypes=(np.bool_,)),
    ],
    ids=str,
)
def test_or(case: Case) -> None:
    check(case)


def test_numbers() -> None:
    inputs = {"a": np.zeros(3, np.bool_), "b": np.zeros(3, np.int32)}
    check_refused(one_node("Or", inputs, output_dtype=np.bool_), inputs, ModelError, "input 1 is int32", "Or")
