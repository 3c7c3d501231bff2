import numpy as np
import pytest

from elementwise_cases import NUMBERS, map_cases
from onnx_models import one_node
from runner import Case, check, check_refused
from sanderling.errors import ModelError


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("Sign", np.sign, 13, dtypes=NUMBERS, edges=(), older=(9,)),
        # ONNX Runtime gives 0 for NaN.
        *map_cases("Sign", np.sign, 13, dtypes=(np.float32,), lacking=(np.float32,), name="nan-"),
    ],
    ids=str,
)
def test_sign(case: Case) -> None:
    check(case)


def test_bool() -> None:
    x = {"x": np.zeros(3, np.bool_)}
    check_refused(one_node("Sign", x, output_dtype=np.bool_), x, ModelError, "bool", "Sign")
