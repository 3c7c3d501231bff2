import numpy as np
import pytest

from elementwise_cases import FLOATS, lookup_case, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import ModelError


def reference(x: Array, lambd: float = 0.5, bias: float = 0.0) -> Array:
    y = np.where(x < -lambd, x.astype(np.float64) + bias, np.where(x > lambd, x.astype(np.float64) - bias, 0))
    # Integers drop the fraction and wrap around.
    return y if x.dtype.kind == "f" else np.asarray(np.trunc(y).astype(np.int64).astype(x.dtype))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("Shrink", reference, 9, edges=(np.inf, -np.inf, 0.5, -0.5, 0.0, 1e-45)),
        *map_cases(
            "Shrink",
            lambda x: reference(x, 1.5, 0.75),
            9,
            dtypes=(*FLOATS, np.int8, np.int16, np.int32, np.uint8, np.uint16, np.uint32),
            # ONNX Runtime computes integers in their own type, ONNX's reference in float64.
            lacking=(np.int8, np.int16, np.int32, np.uint8, np.uint16, np.uint32),
            edges=(),
            name="other-",
            lambd=1.5,
            bias=0.75,
        ),
        lookup_case("Shrink", lambda x: reference(x, 1.0, 0.25), 21, scale=1 / 32, lambd=1.0, bias=0.25),
    ],
    ids=str,
)
def test_shrink(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_large_integers_stay_without_bias(dtype: type) -> None:
    x = np.array([2**62 + 1, 0, 1], dtype)
    model = one_node("Shrink", {"x": x}, output_dtype=dtype)
    check(Case("large", model, {"x": x}, {"y": x}, onnxruntime=False))


def test_bool() -> None:
    x = {"x": np.zeros(3, np.bool_)}
    check_refused(one_node("Shrink", x, output_dtype=np.bool_), x, ModelError, "bool", "Shrink")
