import numpy as np
import pytest

from elementwise_cases import NUMBERS, as_float64, floats_between, pair_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling import _core
from sanderling.errors import UnsupportedError

BASES = (np.float32, np.float64, np.int32, np.int64)


def small(a: Array, b: Array) -> tuple[Array, Array]:
    """Positive floats, and exponents that keep results finite."""
    if a.dtype.kind == "f":
        return np.asarray(np.abs(a) + 0.125, a.dtype), np.asarray(np.clip(b, -6, 6), b.dtype)
    return np.asarray(a % 7 - 3, a.dtype), np.asarray(np.abs(b) % 5, b.dtype)


@pytest.mark.parametrize(
    "case",
    [
        *pair_cases("Pow", np.power, 15, dtypes=BASES, prepare=small, older=(7, 12, 13)),
    ],
    ids=str,
)
def test_pow(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("exponents", NUMBERS, ids=lambda d: d.__name__)
@pytest.mark.parametrize("bases", BASES, ids=lambda d: d.__name__)
def test_types_that_differ(bases: type, exponents: type) -> None:
    rng = np.random.default_rng(0)
    a = np.asarray(rng.integers(-4, 5, (5, 9)), bases)
    b = np.asarray(rng.integers(0, 6, (9,)), exponents)
    wanted = np.power(a.astype(np.float64), b.astype(np.float64))
    wanted = wanted if a.dtype.kind == "f" else wanted.astype(bases)
    model = one_node("Pow", {"a": a, "b": b}, output_dtype=bases, opset=15)
    known = (np.float32, np.float64, np.int32, np.int64)  # exponents that ONNX Runtime has
    check(Case("types", model, {"a": a, "b": b}, {"y": wanted}, onnxruntime=exponents in known, length=2))


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.int32])
@pytest.mark.parametrize("exponent", [0, 0.5, 1, 2, 3, -1, -2, 1.7])
def test_one_constant_exponent(dtype: type, exponent: float) -> None:
    x = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, 0.3, -0.3, 7.5, -7.5, np.nan], np.float32)[:-1]
    b = np.asarray(exponent, dtype)
    wanted = as_float64(lambda a: np.power(a, np.full_like(a, b)), x)
    model = one_node("Pow", {"x": x}, constants={"b": b}, opset=15)
    check(Case("constant", model, {"x": x}, {"y": wanted}, length=2))


def test_scalar_exponents_are_accurate() -> None:
    for exponent, ulps, low in ((2.0, 0.51, -1e18), (3.0, 1.51, -1e12), (0.5, 0.51, 0), (1.7, 1.0, 1e-18)):
        b = np.float32(exponent)
        x = floats_between(max(low, -1e12), 1e12)
        x = x[(np.abs(x) > 1e-9) | (x == 0)]
        wanted = np.power(x.astype(np.float64), np.float64(b))
        model = _core.Model(one_node("Pow", {"x": x}, constants={"b": b}).SerializeToString())
        y = _core.Session(model).run({"x": x})["y"]
        error = np.abs(y - wanted) / np.spacing(np.abs(wanted).astype(np.float32))
        assert error.max() <= ulps, (exponent, error.max(), x[error.argmax()])


def test_integers_wrap_around_and_negative_exponents_are_cut() -> None:
    inputs = {"a": np.array([3, -2, 2, 1, -1, -1, 0, 5], np.int64), "b": np.array([60, 63, 64, -3, -3, -4, -1, -1])}
    wanted = np.array([3**60 % 2**64, 0, 0, 1, 2**64 - 1, 1, 0, 0], np.uint64).view(np.int64)
    wanted[1] = -(2**63)
    model = one_node("Pow", inputs, output_dtype=np.int64)
    check(Case("wrap", model, inputs, {"y": wanted}, onnxruntime=False))


def test_bases_that_are_refused() -> None:
    inputs = {"a": np.zeros(3, np.uint8), "b": np.zeros(3, np.uint8)}
    check_refused(one_node("Pow", inputs, output_dtype=np.uint8), inputs, UnsupportedError, "uint8", "Pow")
