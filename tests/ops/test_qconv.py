"""Conv between codes: DequantizeLinear - Conv (- Relu or Clip) - QuantizeLinear, and without the last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnx import helper
from onnx_models import Array, Codes, QdqModel, model_of, one_node
from product_codes import fitted, int32_bias
from runner import Case, check, check_pooled, check_refused, isas, qdq_case
from sanderling import _core
from sanderling.errors import ModelError
from window_references import Sliding, convolve

CHANNELS = (1, 3, 5, 17, 31, 33, 65)
SAME = (1, 1, 1, 1)


def quantized(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    outputs: int,
    sliding: Sliding,
    *,
    group: int = 1,
    bias: str = "int32",
    dtype: Any = np.uint8,
    one_scale: bool = False,
    **settings: Any,
) -> QdqModel:
    """`bias` is int32, float32 (any number) or none."""
    x = Codes.random(rng, shape, dtype, zero_point=settings.pop("zero_point", None))
    w = Codes.weights(rng, (outputs, shape[1] // group, *sliding.kernel))
    if one_scale:
        w = Codes(w.codes, np.float32(w.scale[0]), np.int8(0))  # type: ignore[arg-type]
    tensors = {"x": x, "w": w}
    plain: dict[str, Array] = {}
    b = None
    if bias == "int32":
        tensors["b"] = int32_bias(rng, x, w, w.codes[0].size) if not one_scale else one_scaled_bias(rng, x, w)
        b = tensors["b"].real()
    elif bias == "float32":
        size = np.float64(x.scale) * w.scale * 7000 * np.sqrt(w.codes[0].size)
        plain["b"] = (rng.normal(0, 1, outputs) * size).astype(np.float32)
        b = plain["b"]
    real = convolve(x.real(), w.real(), b, sliding, group)
    attributes = sliding.attributes() | ({"group": group} if group > 1 else {})
    return fitted("Conv", tensors, real, y_dtype=dtype, plain=plain, **attributes, **settings)


def one_scaled_bias(rng: np.random.Generator, x: Codes, w: Codes) -> Codes:
    codes = np.asarray(rng.normal(0, 5000, w.codes.shape[0]), np.int32)
    return Codes(codes, np.asarray(x.scale * w.scale, np.float32), np.asarray(0, np.int32))


def settings_of(seed: int) -> dict[str, Any]:
    return {
        "bias": ("int32", "float32", "none")[seed % 3],
        "dtype": (np.uint8, np.int8)[seed % 2],
        "clamp": (None, (0.0, np.inf), (0.3, 0.9))[seed // 2 % 3],
        "one_scale": seed % 5 == 4,
        "from_codes": seed % 4 == 2,
    }


def cases() -> Iterator[Case]:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        axes = 1 + seed % 2
        group = int(rng.choice([1, 1, 2, 3]))
        channels = group * int(rng.choice([1, 3, 5, 17]))
        extents = tuple(int(e) for e in rng.integers(24, 34, axes) * (12 if axes == 1 else 1))
        shape = ((1, 3, 8)[seed % 3], channels, *extents)
        qdq = quantized(
            rng,
            shape,
            group * int(rng.choice([5, 17, 33])),
            Sliding.random(rng, axes),
            group=group,
            **settings_of(seed),
        )
        yield qdq_case(f"random{seed}", qdq, operators={"QConv"})
    for seed, channels in enumerate(CHANNELS):
        rng = np.random.default_rng(seed)
        shape = ((1, 3, 8)[seed % 3], channels, 30, 27)
        depthwise = quantized(rng, shape, channels, Sliding.random(rng, 2), group=channels, **settings_of(seed))
        yield qdq_case(f"depthwise{channels}", depthwise, operators={"QConv"})
        pointwise = quantized(rng, shape, 33, Sliding((1, 1)), **settings_of(seed + 1))
        yield qdq_case(f"pointwise{channels}", pointwise, operators={"QConv"})
        line = quantized(rng, (3, channels, 97), 17, Sliding((3,), pads=(1, 1)), **settings_of(seed + 2))
        yield qdq_case(f"line{channels}", line, operators={"QConv"})
    uneven = Sliding((3, 2, 3), (1, 2, 2), (2, 1, 2), (2, 0, 1, 1, 1, 3))
    for seed, group in enumerate((1, 5, 15)):
        rng = np.random.default_rng(seed)
        volume = quantized(rng, (2, 15, 7, 11, 12), 30 if group == 5 else 15, uneven, group=group, **settings_of(seed))
        yield qdq_case(f"volume{group}", volume, operators={"QConv"})


def test_codes() -> None:
    check_pooled(cases())


@pytest.mark.parametrize("zero_point", [0, 128, 255])
@pytest.mark.parametrize("group", [1, 3, 15])
def test_padding_is_the_zero_point(group: int, zero_point: int) -> None:
    rng = np.random.default_rng(group)
    sliding = Sliding((3, 5), (2, 1), (1, 2), (2, 3, 1, 6))
    check(
        qdq_case(
            f"pads{group}-{zero_point}", quantized(rng, (3, 15, 7, 8), 15, sliding, group=group, zero_point=zero_point)
        )
    )


@pytest.mark.parametrize("auto_pad", ["VALID", "SAME_UPPER", "SAME_LOWER"])
def test_auto_pad(auto_pad: str) -> None:
    rng = np.random.default_rng(1)
    qdq = quantized(rng, (3, 5, 9, 8), 17, Sliding((2, 3), (2, 2), auto_pad=auto_pad))
    check(qdq_case(auto_pad, qdq, operators={"QConv"}))


@pytest.mark.parametrize("bias", [None, np.int32, np.float32])
@pytest.mark.parametrize("group", [1, 5])
def test_without_a_quantized_output_it_gives_numbers(group: int, bias: Any) -> None:
    rng = np.random.default_rng(group)
    x, w = Codes.random(rng, (3, 5, 7, 6)), Codes.weights(rng, (5, 5 // group, 3, 3))
    b = int32_bias(rng, x, w, 9)
    constants = {"xs": x.scale, "xz": x.zero_point, "w": w.codes, "ws": w.scale, "wz": w.zero_point, "bs": b.scale}
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["xr"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wr"], axis=0),
    ]
    real_bias = b.real()
    if bias is np.int32:
        constants["b"] = b.codes
        nodes.append(helper.make_node("DequantizeLinear", ["b", "bs"], ["br"], axis=0))
    elif bias is np.float32:
        constants["br"] = real_bias.astype(np.float32) * np.float32(1.01)
        real_bias = constants["br"]
    inputs = ["xr", "wr"] if bias is None else ["xr", "wr", "br"]
    nodes.append(helper.make_node("Conv", inputs, ["y"], name="node", group=group, pads=SAME))
    model = model_of(nodes, {"x": (np.uint8, x.codes.shape)}, {"y": np.float32}, constants)
    y = convolve(x.real(), w.real(), None if bias is None else real_bias, Sliding((3, 3), pads=SAME), group)
    magnitude = float(convolve(abs(x.real()), abs(w.real()), abs(real_bias), Sliding((3, 3), pads=SAME), group).max())
    case = Case(
        "numbers", model, {"x": x.codes}, {"y": y}, length=45 // group, magnitude=magnitude, operators={"QConv"}
    )
    check(case)


def test_a_bias_at_the_ends_of_int32() -> None:
    """Quantizers give a channel whose weights are almost 0 a tiny scale, in which its bias saturates."""
    rng = np.random.default_rng(0)
    x, w = Codes.random(rng, (3, 5, 9, 8)), Codes.weights(rng, (4, 5, 3, 3))
    w.scale[:2] = 1e-10
    w.codes[0] = 127
    b = int32_bias(rng, x, w, 45)
    b.codes[:2] = [2**31 - 1, -(2**31)]
    real = convolve(x.real(), w.real(), b.real(), Sliding((3, 3)))
    check(qdq_case("saturated", fitted("Conv", {"x": x, "w": w, "b": b}, real), operators={"QConv"}))


@pytest.mark.parametrize("group", [1, 3, 15])
def test_the_same_bits_in_a_batch(group: int) -> None:
    rng = np.random.default_rng(group)
    qdq = quantized(rng, (8, 15, 11, 10), 15, Sliding((3, 3), pads=SAME), group=group, symbolic_batch=True)
    x = qdq.inputs["x"]
    for isa in isas():
        session = _core.Session(_core.Model(qdq.model.SerializeToString()), isa=isa, threads=2)
        rows = [session.run({"x": x[i : i + 1]})["y"] for i in range(8)]
        np.testing.assert_array_equal(session.run({"x": x})["y"], np.concatenate(rows), err_msg=isa)


def test_the_largest_sums_that_int32_holds() -> None:
    """The deepest product that runs on codes, of the largest codes and weights."""
    x = Codes(np.full((1, 64, 32, 32), 255, np.uint8), np.float32(1), np.uint8(0))  # type: ignore[arg-type]
    signs = np.asarray([-128, 127], np.int8).reshape(2, 1, 1, 1)
    w = Codes(np.broadcast_to(signs, (2, 64, 32, 32)).copy(), np.ones(2, np.float32), np.zeros(2, np.int8))
    real = convolve(x.real(), w.real(), None, Sliding((32, 32)))
    qdq = fitted("Conv", {"x": x, "w": w}, real)
    # 65,536 products of 255 and -128 pass what a float32 sum holds exactly.
    check(qdq_case("largest", qdq, operators={"QConv"}, onnxruntime=False))


def test_deeper_sums_stay_in_float() -> None:
    rng = np.random.default_rng(0)
    x, w = Codes.random(rng, (1, 65, 32, 32), scale=1e-3), Codes.weights(rng, (2, 65, 32, 32))
    real = convolve(x.real(), w.real(), None, Sliding((32, 32)))
    check(qdq_case("deep", fitted("Conv", {"x": x, "w": w}, real), operators={"Conv"}, same_bits=False))


def test_channels_that_do_not_match() -> None:
    rng = np.random.default_rng(0)
    qdq = quantized(rng, (1, 3, 5, 5), 4, Sliding((3, 3)))
    model = qdq.model
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 4
    inputs = {"x": np.zeros((1, 4, 5, 5), np.float32)}
    check_refused(model, inputs, ModelError, r"\[4, 3, 3, 3\].*3 input channels.*4 channels", "QConv")


def test_it_is_not_for_files_to_name() -> None:
    inputs = {"x": np.zeros((1, 3, 5, 5), np.uint8)}
    model = one_node("QConv", inputs, constants={"w": np.zeros((4, 3, 3, 3), np.int8)}, output_dtype=np.uint8)
    with pytest.raises(Exception, match="QConv"):
        _core.Model(model.SerializeToString())
