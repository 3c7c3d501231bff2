import numpy as np
import pytest

from elementwise_cases import FLOATS, INTEGERS, pair_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import ModelError


def nonzero(a: Array, b: Array) -> tuple[Array, Array]:
    return a, np.where(b == 0, np.ones((), b.dtype), b)


@pytest.mark.parametrize(
    "case",
    [
        *pair_cases("Mod", np.mod, 13, dtypes=INTEGERS, prepare=nonzero, older=(10,)),
        *pair_cases("Mod", np.fmod, 13, dtypes=(*FLOATS, *INTEGERS), prepare=nonzero, name="fmod-", fmod=1),
        # ONNX Runtime 1.32 knows opsets to 26.
        *pair_cases("Mod", np.mod, 28, dtypes=FLOATS, lacking=FLOATS, prepare=nonzero, name="floor-"),
    ],
    ids=str,
)
def test_mod(case: Case) -> None:
    check(case)


def test_division_by_zero_and_of_the_lowest() -> None:
    inputs = {"a": np.array([5, -128, 0], np.int8), "b": np.array([0, -1, 0], np.int8)}
    for fmod in (0, 1):
        model = one_node("Mod", inputs, output_dtype=np.int8, fmod=fmod)
        check(Case("zero", model, inputs, {"y": np.zeros(3, np.int8)}, onnxruntime=False))  # which traps


@pytest.mark.parametrize("fmod", [0, 1])
def test_float_edges(fmod: int) -> None:
    edges = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -1.5], np.float32)
    inputs = {"a": np.repeat(edges, 7), "b": np.tile(edges, 7)}
    with np.errstate(invalid="ignore"):
        wanted = (np.fmod if fmod else np.mod)(inputs["a"].astype(np.float64), inputs["b"].astype(np.float64))
    check(Case("edges", one_node("Mod", inputs, opset=28, fmod=fmod), inputs, {"y": wanted}, onnxruntime=False))


def test_bad_attributes() -> None:
    inputs = {"a": np.zeros(3, np.float32), "b": np.zeros(3, np.float32)}
    check_refused(one_node("Mod", inputs, opset=27), inputs, ModelError, "fmod is 0.*fmod = 1", "Mod")
    check_refused(one_node("Mod", inputs, fmod=2), inputs, ModelError, "fmod is 2", "Mod")
