import numpy as np
import pytest

from elementwise_cases import INTEGERS, pair_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import ModelError

UNSIGNED = (np.uint8, np.uint16, np.uint32, np.uint64)


def shifted(x: Array, by: Array, left: bool) -> Array:
    bits = 8 * x.dtype.itemsize
    beyond = (by < 0) | (by >= bits)
    count = np.where(beyond, 0, by).astype(x.dtype)
    fill = np.where(x < 0, -1, 0).astype(x.dtype) if x.dtype.kind == "i" and not left else np.zeros((), x.dtype)
    return np.where(beyond, fill, np.left_shift(x, count) if left else np.right_shift(x, count))


def few(a: Array, b: Array) -> tuple[Array, Array]:
    """Counts from below 0, where there are such, to above the number of bits."""
    return a, np.asarray(b % 70 - (3 if b.dtype.kind == "i" else 0), b.dtype)


def within(a: Array, b: Array) -> tuple[Array, Array]:
    return a, np.asarray(b % (8 * b.dtype.itemsize), b.dtype)


@pytest.mark.parametrize(
    "case",
    [
        *(
            case
            for direction in ("LEFT", "RIGHT")
            for case in (
                # ONNX Runtime does not say what it makes of counts beyond the bits, and has no signed integers.
                *pair_cases(
                    "BitShift",
                    lambda a, b, d=direction: shifted(a, b, d == "LEFT"),
                    28,
                    dtypes=INTEGERS,
                    lacking=INTEGERS,
                    prepare=few,
                    name=f"{direction}-",
                    direction=direction,
                ),
                *pair_cases(
                    "BitShift",
                    lambda a, b, d=direction: shifted(a, b, d == "LEFT"),
                    11,
                    dtypes=UNSIGNED,
                    lacking=(np.uint16,),
                    prepare=within,
                    pairs=(((3, 5), (5,)),),
                    name=f"{direction}-within-",
                    direction=direction,
                ),
            )
        ),
    ],
    ids=str,
)
def test_bit_shift(case: Case) -> None:
    check(case)


def test_direction() -> None:
    inputs = {"a": np.zeros(3, np.uint8), "b": np.zeros(3, np.uint8)}
    for given in ({}, {"direction": "UP"}):
        model = one_node("BitShift", inputs, output_dtype=np.uint8, more=given)
        check_refused(model, inputs, ModelError, "LEFT and RIGHT", "BitShift")
