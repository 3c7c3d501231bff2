import numpy as np
import pytest

from elementwise_cases import FLOATS, lookup_case, pair_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import ModelError


def reference(x: Array, slope: Array) -> Array:
    return np.where(x < 0, x * slope, x)


@pytest.mark.parametrize(
    "case",
    [
        *pair_cases(
            "PRelu",
            reference,
            16,
            dtypes=(*FLOATS, np.int32, np.int64, np.uint32, np.uint64),
            # ONNX Runtime has no uint64 and multiplies integers in float32.
            lacking=(np.int32, np.int64, np.uint32, np.uint64),
            older=(7, 9),
            pairs=(
                ((3, 5, 7, 11), (5, 1, 1)),
                ((3, 5, 7, 11), (3, 5, 7, 11)),
                ((), ()),
                ((3, 5, 7, 11), (1, 5, 7, 1)),
                ((8, 13), (1,)),
                ((0, 3), (3,)),
                ((3, 32771), (3, 1)),
            ),
        ),
        lookup_case(
            "PRelu",
            lambda x: reference(x, np.array(0.25)),
            16,
            constants={"slope": np.full((1, 1, 1), 0.25, np.float32)},
        ),
    ],
    ids=str,
)
def test_prelu(case: Case) -> None:
    check(case)


def test_one_value_of_higher_rank() -> None:
    x = np.linspace(-2, 2, 9, dtype=np.float32)
    model = one_node("PRelu", {"x": x}, constants={"slope": np.full((1, 1, 1), 0.25, np.float32)})
    check(Case("rank", model, {"x": x}, {"y": np.where(x < 0, x * 0.25, x)}, onnxruntime=False))  # gives it rank 3


def test_slope_larger_than_the_input() -> None:
    inputs = {"x": np.zeros((1, 3), np.float32), "slope": np.zeros((2, 3), np.float32)}
    check_refused(one_node("PRelu", inputs), inputs, ModelError, r"slope has shape \[2, 3\].*\[1, 3\]", "PRelu")
