from typing import Any

import ml_dtypes
import numpy as np
import pytest

from onnx import helper
from onnx_models import Array, model_of, one_node
from runner import Case, check, check_refused
from samples import SHAPES, name_of, values
from sanderling.errors import ModelError, UnsupportedError

CODES = (np.uint8, np.int8, np.int32)


def dequantized(x: Array, scale: Array, zero_point: Array) -> Array:
    """ONNX DequantizeLinear in float32, with scale and zero point broadcast to x already."""
    return np.asarray((x.astype(np.int64) - zero_point).astype(np.float32) * scale, np.float32)


def parameters(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> dict[str, Array]:
    """Scales of 2^-6 to 1 and any zero points; 0 for int32, for which ONNX Runtime takes no other."""
    scale = np.asarray(np.exp2(rng.uniform(-6, 0, shape)), np.float32)
    return {"scale": scale, "zero": np.asarray(values(rng, shape, dtype) * dtype(dtype is not np.int32))}


def cases() -> list[Case]:
    made = []
    rng = np.random.default_rng(0)
    for dtype in CODES:
        for shape in SHAPES:
            x = values(rng, shape, dtype)
            constants = parameters(rng, (), dtype)
            expected = {"y": dequantized(x, *constants.values())}
            for opset in (10, 13, 19, 21, 23):
                model = one_node("DequantizeLinear", {"x": x}, constants=constants, opset=opset)
                made.append(Case(f"{name_of(dtype, shape)}-{opset}", model, {"x": x}, expected, exact=True))
            computed = {"x": x, **constants}
            model = one_node("DequantizeLinear", computed, opset=13)
            made.append(Case(f"computed-{name_of(dtype, shape)}", model, computed, expected, exact=True))
        for axis in (0, 1, 2, 3, -1, -2):
            x = values(rng, (3, 5, 6, 35), dtype)
            constants = parameters(rng, (x.shape[axis],), dtype)
            along = [1, 1, 1, 1]
            along[axis] = -1
            expected = {"y": dequantized(x, *(c.reshape(along) for c in constants.values()))}
            for computed in ({"x": x}, {"x": x, **constants}):
                rest = constants if len(computed) == 1 else None
                model = one_node("DequantizeLinear", computed, constants=rest, opset=13, axis=axis)
                name = f"{dtype.__name__}-axis{axis}-{len(computed)}"
                made.append(Case(name, model, computed, expected, exact=True))
        for axis, block in ((0, 2), (1, 2), (1, 3), (2, 7), (-1, 4), (1, 1), (2, 100)):
            x = values(rng, (3, 5, 7), dtype)
            dims = list(x.shape)
            dims[axis] = -(-dims[axis] // block)
            constants = parameters(rng, tuple(dims), dtype)
            wide = [np.repeat(c, block, axis).take(range(x.shape[axis]), axis) for c in constants.values()]
            model = one_node("DequantizeLinear", {"x": x}, constants=constants, axis=axis, block_size=block)
            name = f"{dtype.__name__}-block{block}-{axis}"
            made.append(Case(name, model, {"x": x}, {"y": dequantized(x, *wide)}, exact=True))
        x = values(rng, (4, 9), dtype)
        scale = np.array(0.25, np.float32)
        model = one_node("DequantizeLinear", {"x": x}, constants={"scale": scale})
        expected = {"y": dequantized(x, scale, np.array(0))}
        made.append(Case(f"{dtype.__name__}-no-zero", model, {"x": x}, expected, exact=True))
    for batch in (1, 3, 8):
        rng = np.random.default_rng(batch)
        x = values(rng, (batch, 7, 33), np.int8)
        constants = parameters(rng, (7,), np.int8)
        model = one_node("DequantizeLinear", {"x": x}, constants=constants, symbolic_batch=True)
        expected = {"y": dequantized(x, *(c.reshape(1, 7, 1) for c in constants.values()))}
        made.append(Case(f"batch{batch}", model, {"x": x}, expected, exact=True))
    return made


@pytest.mark.parametrize("case", cases(), ids=str)
def test_dequantize_linear(case: Case) -> None:
    check(case)


def test_int32_with_a_zero_point() -> None:
    x = np.array([2**31 - 1, -(2**31), 5], np.int32)
    constants = {"scale": np.array(2.0, np.float32), "zero": np.array(-7, np.int32)}
    model = one_node("DequantizeLinear", {"x": x}, constants=constants)
    expected = {"y": dequantized(x, *constants.values())}
    check(Case("int32-zero", model, {"x": x}, expected, exact=True, onnxruntime=False))


SMALL = (
    np.uint16, np.int16, ml_dtypes.uint4, ml_dtypes.int4, ml_dtypes.uint2, ml_dtypes.int2, ml_dtypes.float8_e4m3fn,
    ml_dtypes.float8_e4m3fnuz, ml_dtypes.float8_e5m2, ml_dtypes.float8_e5m2fnuz, ml_dtypes.float4_e2m1fn,
)  # fmt: skip


@pytest.mark.parametrize("dtype", SMALL, ids=lambda d: np.dtype(d).name)
def test_other_types(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    kind = np.dtype(dtype)
    for shape, along, settings in [
        ((), (), {}),
        ((3, 41), (), {}),
        ((3, 5, 40), (1, 5, 1), {"axis": 1}),
        ((3, 5), (3, 2), {"axis": -1, "block_size": 3}),
        ((0, 4), (), {}),
    ]:
        x = np.asarray(rng.normal(0, 3, shape)).astype(kind)
        zero = np.asarray(rng.integers(0, 2, along)).astype(kind)
        scale = np.asarray(np.exp2(rng.uniform(-6, 0, along)), np.float32)
        block = settings.get("block_size")
        wide = [np.repeat(a, block, -1)[..., : shape[-1]] if block else a for a in (scale, zero)]
        steps = x.astype(np.float32) - wide[1].astype(np.float32)
        expected = {"y": np.asarray(steps * wide[0], np.float32)}
        flat = scale.shape if block or not along else (-1,)
        constants = {"scale": scale.reshape(flat), "zero": zero.reshape(flat)}
        model = one_node("DequantizeLinear", {"x": x}, constants=constants, opset=25, **settings)
        check(Case(f"{shape}", model, {"x": x}, expected, exact=True, onnxruntime=False))
        known = model_of([*model.graph.node], {}, {"y": np.float32}, {"x": x, **constants}, 25)
        check(Case(f"{shape}-constant", known, {}, expected, exact=True, onnxruntime=False))


def test_a_scale_that_is_a_power_of_two() -> None:
    x = np.arange(12, dtype=np.uint8)
    scale = {"scale": np.array([0.25]).astype(ml_dtypes.float8_e8m0fnu).reshape(())}
    model = one_node("DequantizeLinear", {"x": x}, constants=scale, opset=24, output_dtype=np.float32)
    model.graph.node[0].attribute.append(helper.make_attribute("output_dtype", 1))
    check(Case("e8m0", model, {"x": x}, {"y": x.astype(np.float64) / 4}, exact=True, onnxruntime=False))


def test_bad_parameters() -> None:
    x = {"x": np.zeros((2, 3, 4), np.uint8)}

    def refused(message: str, scale: Any, zero: Any, error: type[Exception] = ModelError, **attributes: Any) -> None:
        constants = {"scale": np.asarray(scale), "zero": np.asarray(zero)}
        model = one_node("DequantizeLinear", x, constants=constants, **attributes)
        check_refused(model, x, error, message, "DequantizeLinear")

    ones, zeros = np.ones, np.zeros
    refused(r"scale has shape \[4\], expected \[3\]", ones(4, np.float32), zeros(4, np.uint8))
    refused("axis -4 is outside", ones(3, np.float32), zeros(3, np.uint8), axis=-4)
    refused(r"zero point has shape \[2\], scale has shape \[3\]", ones(3, np.float32), zeros(2, np.uint8))
    refused("input 2 is int8, input 0 is uint8", np.float32(1), np.int8(0))
    x = {"x": np.zeros((2, 3), np.int64)}
    refused("input 0 is int64", np.float32(1), np.int64(0))
    x = {"x": np.zeros((2, 3), np.uint8)}
    refused("input 1 is float64", np.float64(1), np.uint8(0), UnsupportedError)
    refused("Set output_dtype", np.ones((), ml_dtypes.float8_e8m0fnu), np.uint8(0), opset=24)
