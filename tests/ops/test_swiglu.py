import numpy as np
import pytest

from elementwise_cases import FLOATS, pair_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import ModelError, UnsupportedError


def reference(gate: Array, x: Array, alpha: float = 1.0) -> Array:
    return np.asarray(gate / (1 + np.exp(-alpha * gate)) * x)


SAME = (((), ()), ((3, 5, 7), (3, 5, 7)), ((0, 4), (0, 4)), ((3, 32771), (3, 32771)))


@pytest.mark.parametrize(
    "case",
    [
        # ONNX Runtime 1.32 knows opsets to 26.
        *pair_cases("SwiGLU", reference, 28, dtypes=FLOATS, lacking=FLOATS, pairs=SAME),
        *pair_cases(
            "SwiGLU",
            lambda a, b: reference(a, b, 0.5),
            28,
            dtypes=FLOATS,
            lacking=FLOATS,
            pairs=SAME,
            name="half-",
            alpha=0.5,
        ),
    ],
    ids=str,
)
def test_swiglu(case: Case) -> None:
    check(case)


def test_refused() -> None:
    inputs = {"a": np.zeros((2, 3), np.float32), "b": np.zeros((1, 3), np.float32)}
    check_refused(one_node("SwiGLU", inputs, opset=28), inputs, ModelError, r"\[2, 3\].*\[1, 3\].*the same", "SwiGLU")
    inputs = {"a": np.zeros(3, np.int32), "b": np.zeros(3, np.int32)}
    check_refused(one_node("SwiGLU", inputs, opset=28), inputs, UnsupportedError, "int32", "SwiGLU")
