import numpy as np
import pytest

from elementwise_cases import map_cases
from onnx_models import one_node
from runner import Case, check, check_refused
from sanderling.errors import ModelError


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("Not", np.logical_not, 21, dtypes=(np.bool_,), edges=(), older=(7,)),
    ],
    ids=str,
)
def test_not(case: Case) -> None:
    check(case)


def test_numbers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("Not", x, output_dtype=np.bool_), x, ModelError, "int32, expected bool", "Not")
