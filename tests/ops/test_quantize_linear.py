from typing import Any

import ml_dtypes
import numpy as np
import pytest

from onnx import helper
from onnx_models import Array, model_of, one_node
from runner import Case, check, check_refused
from samples import SHAPES, name_of, values
from sanderling.errors import ModelError, UnsupportedError

CODES = (np.uint8, np.int8)
INTEGERS = (ml_dtypes.uint4, ml_dtypes.int4, ml_dtypes.uint2, ml_dtypes.int2)
FLOATS = (
    ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e4m3fnuz, ml_dtypes.float8_e5m2, ml_dtypes.float8_e5m2fnuz,
    ml_dtypes.float4_e2m1fn,
)  # fmt: skip


def quantized(x: Array, scale: Array, zero_point: Array) -> Array:
    """ONNX QuantizeLinear in float32, with scale and zero point broadcast to x already."""
    info = np.iinfo(zero_point.dtype)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        steps = np.rint(x.astype(np.float32) / scale).astype(np.float64) + zero_point
    return np.clip(np.nan_to_num(steps, nan=info.min), info.min, info.max).astype(zero_point.dtype)


def parameters(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> dict[str, Array]:
    """Scales of 2^-6 to 1 and any zero points."""
    scale = np.asarray(np.exp2(rng.uniform(-6, 0, shape)), np.float32)
    return {"scale": scale, "zero": values(rng, shape, dtype)}


def cases() -> list[Case]:
    made = []
    rng = np.random.default_rng(0)
    for dtype in CODES:
        for shape in SHAPES:
            x = values(rng, shape)
            constants = parameters(rng, (), dtype)
            expected = {"y": quantized(x, *constants.values())}
            for opset in (10, 13, 19, 21, 23):
                model = one_node("QuantizeLinear", {"x": x}, constants=constants, output_dtype=dtype, opset=opset)
                made.append(Case(f"{name_of(dtype, shape)}-{opset}", model, {"x": x}, expected))
            computed = {"x": x, **constants}
            model = one_node("QuantizeLinear", computed, output_dtype=dtype, opset=13)
            made.append(Case(f"computed-{name_of(dtype, shape)}", model, computed, expected))
        for axis in (0, 1, 2, 3, -1, -2):
            x = values(rng, (3, 5, 6, 35))
            constants = parameters(rng, (x.shape[axis],), dtype)
            along = [1, 1, 1, 1]
            along[axis] = -1
            expected = {"y": quantized(x, *(c.reshape(along) for c in constants.values()))}
            model = one_node("QuantizeLinear", {"x": x}, constants=constants, output_dtype=dtype, opset=13, axis=axis)
            made.append(Case(f"{dtype.__name__}-axis{axis}", model, {"x": x}, expected))
            computed = {"x": x, **constants}
            model = one_node("QuantizeLinear", computed, output_dtype=dtype, opset=13, axis=axis)
            made.append(Case(f"{dtype.__name__}-computed-axis{axis}", model, computed, expected))
        for axis, block in ((0, 2), (1, 2), (1, 3), (2, 7), (-1, 4), (1, 1), (2, 100)):
            x = values(rng, (3, 5, 7))
            dims = list(x.shape)
            dims[axis] = -(-dims[axis] // block)
            constants = parameters(rng, tuple(dims), dtype)
            wide = [np.repeat(c, block, axis).take(range(x.shape[axis]), axis) for c in constants.values()]
            model = one_node(
                "QuantizeLinear", {"x": x}, constants=constants, output_dtype=dtype, axis=axis, block_size=block
            )
            made.append(Case(f"{dtype.__name__}-block{block}-{axis}", model, {"x": x}, {"y": quantized(x, *wide)}))
        integers = rng.integers(-1000, 1000, (3, 5)).astype(np.int32)
        constants = {"scale": np.array(7.5, np.float32), "zero": np.array(3, dtype)}
        model = one_node("QuantizeLinear", {"x": integers}, constants=constants, output_dtype=dtype, opset=13)
        expected = {"y": quantized(integers, *constants.values())}
        made.append(Case(f"{dtype.__name__}-from-int32", model, {"x": integers}, expected, onnxruntime=False))
    return made


@pytest.mark.parametrize("case", cases(), ids=str)
def test_quantize_linear(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("dtype", CODES)
def test_ties_go_to_even_and_the_ends_saturate(dtype: Any) -> None:
    info = np.iinfo(dtype)
    steps = np.concatenate([np.arange(-300, 300) + 0.5, np.arange(-300.0, 300.0), [1e9, -1e9, 3e38, -3e38]])
    x = np.append(steps, [np.inf, -np.inf]).astype(np.float32)
    for zero in (info.min, info.min + 1, 0, 7, info.max):
        constants = {"scale": np.array(1, np.float32), "zero": np.array(zero, dtype)}
        model = one_node("QuantizeLinear", {"x": x}, constants=constants, output_dtype=dtype, opset=13)
        # ONNX Runtime adds the zero point before it saturates to int32 and gives another end for the infinities.
        check(Case(f"{zero}", model, {"x": x}, {"y": quantized(x, *constants.values())}, onnxruntime=False))


@pytest.mark.parametrize("dtype", CODES)
def test_nan_is_the_lowest_code(dtype: Any) -> None:
    x = np.array([np.inf, 1.0, -2.0], np.float32)
    nodes = [
        helper.make_node("Sub", ["x", "x"], ["d"]),
        helper.make_node("QuantizeLinear", ["d", "scale", "zero"], ["y"]),
    ]
    constants = {"scale": np.array(0.5, np.float32), "zero": np.array(9, dtype)}
    model = model_of(nodes, {"x": (np.float32, (3,))}, {"y": dtype}, constants)
    expected = {"y": np.array([np.iinfo(dtype).min, 9, 9], dtype)}
    check(Case(f"nan-{dtype.__name__}", model, {"x": x}, expected, onnxruntime=False))


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, *INTEGERS], ids=lambda d: np.dtype(d).name)
def test_integers_of_other_sizes(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    info = ml_dtypes.iinfo(dtype)
    for shape, along, settings in [
        ((), (), {}),
        ((3, 41), (), {}),
        ((3, 5, 40), (1, 5, 1), {"axis": 1}),
        ((3, 5), (3, 2), {"axis": -1, "block_size": 3}),
        ((0, 4), (), {}),
    ]:
        x = values(rng, shape) * np.float32(info.max)
        x = np.asarray(x / 2, np.float32)
        scale = np.asarray(np.exp2(rng.uniform(-2, 0, along)), np.float32)
        zero = rng.integers(int(info.min), int(info.max), along, endpoint=True)
        block = settings.get("block_size")
        wide = [np.repeat(a, block, -1)[..., : shape[-1]] if block else a for a in (scale, zero)]
        steps = np.rint(x / wide[0]).astype(np.float64) + wide[1]
        expected = {"y": np.clip(steps, int(info.min), int(info.max)).astype(dtype)}
        flat = scale.shape if block or not along else (-1,)
        constants = {"scale": scale.reshape(flat), "zero": np.asarray(zero, dtype).reshape(flat)}
        model = one_node("QuantizeLinear", {"x": x}, constants=constants, output_dtype=dtype, opset=25, **settings)
        check(Case(f"{shape}", model, {"x": x}, expected, onnxruntime=False))
        if info.bits == 16 and not block:
            model = one_node("QuantizeLinear", {"x": x}, constants=constants, output_dtype=dtype, **settings)
            check(Case(f"{shape}-ort", model, {"x": x}, expected))


@pytest.mark.parametrize("saturate", [0, 1])
@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: np.dtype(d).name)
def test_small_floats(dtype: Any, saturate: int) -> None:
    rng = np.random.default_rng(0)
    x = np.asarray(rng.normal(0, 1, (4, 500)) * np.exp2(rng.integers(-8, 12, (4, 1))), np.float32)
    scale = np.float32(0.75)
    largest = float(ml_dtypes.finfo(dtype).max)
    steps = x / scale
    if saturate or dtype is ml_dtypes.float4_e2m1fn:
        steps = np.clip(steps, -largest, largest)
    expected = {"y": steps.astype(dtype).astype(np.float64)}
    number = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    for zero, attributes in ((np.zeros((), dtype), {}), (None, {"output_dtype": number})):
        constants = {"scale": np.asarray(scale)} | ({} if zero is None else {"zero": zero})
        nodes = [
            helper.make_node("QuantizeLinear", ["x", *constants], ["q"], saturate=saturate, **attributes),
            helper.make_node("Cast", ["q"], ["y"], to=1),
        ]
        model = model_of(nodes, {"x": (np.float32, x.shape)}, {"y": np.float32}, constants, 25)
        check(Case(f"{len(constants)}", model, {"x": x}, expected, exact=True, onnxruntime=False))


def test_types_of_the_scale_and_precision() -> None:
    x = np.arange(-50, 50, dtype=np.int32)
    scale = {"scale": np.array(7, np.int32)}
    expected = {"y": np.clip(np.rint(x / 7), 0, 255).astype(np.uint8)}
    model = one_node("QuantizeLinear", {"x": x}, constants=scale, output_dtype=np.uint8, opset=23)
    check(Case("int32", model, {"x": x}, expected, onnxruntime=False))
    power = {"scale": np.array([0.5], ml_dtypes.float8_e8m0fnu).reshape(())}
    floats = {"x": np.linspace(0, 100, 77, dtype=np.float32)}
    expected = {"y": np.clip(np.rint(floats["x"] / 0.5), 0, 255).astype(np.uint8)}
    model = one_node("QuantizeLinear", floats, constants=power, output_dtype=np.uint8, opset=24)
    check(Case("e8m0", model, floats, expected, onnxruntime=False))
    third = {"scale": np.array(1 / 3, np.float32)}
    for precision, divide in ((1, np.float32), (11, np.float64), (0, np.float32)):
        steps = floats["x"].astype(divide) / third["scale"].astype(divide)
        expected = {"y": np.clip(np.rint(steps), 0, 255).astype(np.uint8)}
        made = {"constants": third, "output_dtype": np.uint8, "opset": 23, "precision": precision}
        check(Case(f"{precision}", one_node("QuantizeLinear", floats, **made), floats, expected, onnxruntime=False))


def test_without_a_zero_point() -> None:
    x = values(np.random.default_rng(0), (3, 5))
    scale = {"scale": np.array(0.02, np.float32)}
    for dtype, attributes in ((np.uint8, {}), (np.uint8, {"output_dtype": 2}), (np.int8, {"output_dtype": 3})):
        model = model_of(
            [helper.make_node("QuantizeLinear", ["x", "scale"], ["y"], **attributes)],
            {"x": (np.float32, x.shape)},
            {"y": dtype},
            scale,
        )
        expected = {"y": quantized(x, scale["scale"], np.array(0, dtype))}
        check(Case(f"{dtype.__name__}-{len(attributes)}", model, {"x": x}, expected))


def test_batches() -> None:
    for batch in (1, 3, 8):
        rng = np.random.default_rng(batch)
        x = values(rng, (batch, 7, 33))
        constants = parameters(rng, (7,), np.int8)
        model = one_node(
            "QuantizeLinear", {"x": x}, constants=constants, output_dtype=np.int8, symbolic_batch=True, axis=1
        )
        expected = {"y": quantized(x, *(c.reshape(1, 7, 1) for c in constants.values()))}
        check(Case(f"batch{batch}", model, {"x": x}, expected))


def test_bad_parameters() -> None:
    x = {"x": np.zeros((2, 3, 4), np.float32)}

    def refused(message: str, scale: Any, zero: Any, error: type[Exception] = ModelError, **attributes: Any) -> None:
        constants = {"scale": np.asarray(scale), "zero": np.asarray(zero)}
        model = one_node("QuantizeLinear", x, constants=constants, output_dtype=np.uint8, **attributes)
        check_refused(model, x, error, message, "QuantizeLinear")

    ones, zeros = np.ones, np.zeros
    refused(r"scale has shape \[4\], expected \[3\]", ones(4, np.float32), zeros(4, np.uint8))
    refused("axis 3 is outside", ones(4, np.float32), zeros(4, np.uint8), axis=3)
    refused(r"zero point has shape \[2\], scale has shape \[3\]", ones(3, np.float32), zeros(2, np.uint8))
    refused(r"scale has shape \[2, 3, 4\], expected \[3\]", ones((2, 3, 4), np.float32), zeros((2, 3, 4), np.uint8))
    blocked = {"axis": 1, "block_size": 2}
    refused(r"expected \[2, 2, 4\]", ones((2, 1, 4), np.float32), zeros((2, 1, 4), np.uint8), **blocked)
    refused("block_size is -1", np.float32(1), np.uint8(0), axis=1, block_size=-1)
    refused("output_dtype says int8", np.float32(1), np.uint8(0), more={"output_dtype": 3})
    refused("output_dtype is 8", np.float32(1), np.uint8(0), UnsupportedError, more={"output_dtype": 8})
    refused("output_dtype is int64", np.float32(1), np.uint8(0), more={"output_dtype": 7})
    refused("precision is int32", np.float32(1), np.uint8(0), opset=23, precision=6)
    refused("zero point is int32", np.float32(1), np.int32(0))
    refused(r"expected \[2, 1, 4\]", ones(3, np.float32), zeros(3, np.uint8), axis=1, block_size=2**62)
    refused("input 1 is float64", np.float64(1), np.uint8(0), UnsupportedError)
