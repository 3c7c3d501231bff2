import ml_dtypes
import numpy as np
import pytest

from onnx_models import element_type, one_node
from runner import Case, check, check_refused, isas
from sanderling import _core
from sanderling.errors import ModelError, UnsupportedError

KINDS = (
    (np.float32, np.int32, np.uint32),
    (np.float64, np.int64, np.uint64),
    (np.int16, np.uint16, np.float16, ml_dtypes.bfloat16),
    (np.uint8, np.int8, ml_dtypes.float8_e5m2, ml_dtypes.float8_e4m3fnuz),
)


@pytest.mark.parametrize(
    ("source", "target"), [(a, b) for kinds in KINDS for a in kinds for b in kinds], ids=lambda d: d.__name__
)
def test_bit_cast(source: type, target: type) -> None:
    size = np.dtype(source).itemsize
    bits = np.random.default_rng(0).integers(0, 256, (3, 5 * size), np.uint8)
    x = bits.view(source)
    if np.dtype(source).kind == "f":
        x = np.where(np.isnan(x), np.ones((), source), x)  # a model refuses NaN that could hide
    model = one_node("BitCast", {"x": x}, output_dtype=target, opset=26, to=element_type(target))
    for isa in isas():
        got = _core.Session(_core.Model(model.SerializeToString()), isa=isa).run({"x": x})["y"]
        assert got.dtype == target
        assert got.shape == x.shape
        assert got.tobytes() == x.tobytes()


def test_bool_is_0_or_1() -> None:
    x = np.array([0, 1, 2, 255], np.uint8)
    model = one_node("BitCast", {"x": x}, output_dtype=np.bool_, opset=26, to=element_type(np.bool_))
    check(Case("bool", model, {"x": x}, {"y": x != 0}, onnxruntime=False))  # which has no BitCast


@pytest.mark.parametrize(
    ("source", "target"),
    [(ml_dtypes.int4, ml_dtypes.uint4), (ml_dtypes.uint4, ml_dtypes.float4_e2m1fn), (ml_dtypes.int2, ml_dtypes.uint2)],
)
def test_less_than_a_byte(source: type, target: type) -> None:
    count = 16 if source is not ml_dtypes.int2 else 4
    codes = np.arange(count, dtype=np.uint8)
    x = (
        codes.astype(np.int8).astype(source)
        if source is ml_dtypes.uint4
        else (codes.astype(np.int8) - count // 2).astype(source)
    )
    model = one_node("BitCast", {"x": x}, output_dtype=target, opset=26, to=element_type(target))
    got = _core.Session(_core.Model(model.SerializeToString())).run({"x": x})["y"]
    np.testing.assert_array_equal(got.view(np.uint8) & (count - 1), x.view(np.uint8) & (count - 1))


def test_refused() -> None:
    x = {"x": np.zeros(3, np.float32)}
    wide = one_node("BitCast", x, output_dtype=np.int64, opset=26, to=element_type(np.int64))
    check_refused(wide, x, ModelError, "32 against 64 bits", "BitCast")
    small = one_node("BitCast", x, output_dtype=np.int8, opset=26, to=22)
    check_refused(small, x, ModelError, "32 against 4 bits", "BitCast")
    check_refused(one_node("BitCast", x, opset=26), x, ModelError, "no attribute 'to'", "BitCast")
    check_refused(one_node("BitCast", x, opset=26, to=8), x, UnsupportedError, "DataType 8", "BitCast")
