import itertools

import ml_dtypes
import numpy as np
import pytest

from onnx import TensorProto, helper
from onnx_models import model_of, one_node
from runner import Case, check, check_refused
from samples import DTYPES, values
from sanderling.errors import ModelError, UnsupportedError

ALL = (*DTYPES, np.uint16, np.int16, np.uint32, np.uint64, np.float16)
# Their casts are compared with ml_dtypes; conformance tests have ONNX's own cases.
SMALL = ("bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz")


def number(dtype: np.dtype) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def cast_of(x: np.ndarray, to: type, **attributes: int) -> object:
    return one_node("Cast", {"x": x}, output_dtype=to, to=number(to), **attributes)


@pytest.mark.parametrize(("source", "target"), [*itertools.product(ALL, ALL)], ids=lambda d: d.__name__)
def test_cast(source: type, target: type) -> None:
    x = values(np.random.default_rng(0), (3, 67), source)
    if np.issubdtype(source, np.floating) and not np.issubdtype(target, np.floating):
        x = np.abs(np.clip(x, -100, 100))  # negative to unsigned differs from machine to machine
    with np.errstate(over="ignore"):
        expected = x.astype(target)
    check(Case("cast", cast_of(x, target), {"x": x}, {"y": expected}, exact=True))


def test_floats_to_integers_are_cut() -> None:
    x = np.array([-2.9, -0.5, 0.5, 2.5, 127.9, np.float32(2**31), np.inf, -np.inf], np.float32)
    whole = np.array([-2, 0, 0, 2, 127, 2**31, 2**63 - 1, -(2**63)], np.int64)
    check(Case("int64", cast_of(x, np.int64), {"x": x}, {"y": whole}, onnxruntime=False))
    check(Case("int32", cast_of(x[:5], np.int32), {"x": x[:5]}, {"y": whole[:5].astype(np.int32)}))


def test_to_bool_is_whether_it_is_not_zero() -> None:
    x = np.array([0.0, -0.0, 0.3, -4, np.inf], np.float32)
    check(Case("bool", cast_of(x, np.bool_), {"x": x}, {"y": x != 0}))


@pytest.mark.parametrize("saturate", [0, 1])
@pytest.mark.parametrize("name", SMALL)
def test_small_floats(name: str, saturate: int) -> None:
    small = np.dtype(getattr(ml_dtypes, name))
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 10.0**k, 2000) for k in range(-6, 7)]).astype(np.float32)
    every = np.arange(1 << min(8 * small.itemsize, 12), dtype=np.uint8 if small.itemsize == 1 else np.uint16)
    exact = every.view(small).astype(np.float32)
    x = np.concatenate([x, exact[np.isfinite(exact)]])
    largest = float(ml_dtypes.finfo(small).max)
    clipped = np.clip(x, -largest, largest) if saturate and small.itemsize == 1 else x
    nodes = [
        helper.make_node("Cast", ["x"], ["s"], to=number(small), saturate=saturate),
        helper.make_node("Cast", ["s"], ["y"], to=TensorProto.FLOAT),
    ]
    model = model_of(nodes, {"x": (np.float32, x.shape)}, {"y": np.float32})
    expected = clipped.astype(small).astype(np.float32)
    check(Case(name, model, {"x": x}, {"y": expected}, exact=True, onnxruntime=False))


def test_types_that_are_not_there() -> None:
    x = {"x": np.zeros(3, np.float32)}
    check_refused(one_node("Cast", x, to=TensorProto.STRING), x, UnsupportedError, "DataType 8", "Cast")
    check_refused(one_node("Cast", x), x, ModelError, "no attribute 'to'", "Cast")
