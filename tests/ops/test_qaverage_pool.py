"""AveragePool and GlobalAveragePool between codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnx import helper
from onnx_models import Codes, QdqModel, model_of, qdq_node
from runner import Case, check, check_pooled, isas, qdq_case
from sanderling import _core
from window_references import Sliding, average

CHANNELS = (1, 3, 5, 17, 31, 33, 65)


def quantized(
    rng: np.random.Generator, shape: tuple[int, ...], sliding: Sliding | None, include: bool, **settings: Any
) -> QdqModel:
    """`sliding` None: the global one. The codes span the middle of the means, so that some saturate."""
    x = Codes.random(rng, shape, settings.pop("dtype", np.uint8))
    op, attributes = "GlobalAveragePool", {}
    window = Sliding(shape[2:])
    if sliding is not None:
        op, window = "AveragePool", sliding
        attributes = sliding.attributes(pool=True) | {"count_include_pad": int(include)}
    real = average(x.real(), window, include)
    low, high = np.quantile(real, [0.01, 0.99])
    y_scale = max(float(high - low), float(x.scale)) / 255
    info = np.iinfo(x.codes.dtype)
    y_zero = int(np.clip(np.rint(info.min - low / y_scale), info.min, info.max))
    return qdq_node(op, {"x": x}, lambda _: real, y_scale, y_zero, y_dtype=x.codes.dtype, **attributes, **settings)


def cases() -> Iterator[Case]:
    for seed in range(48):
        rng = np.random.default_rng(seed)
        axes = 1 + seed % 2
        extents = tuple(int(e) for e in rng.integers(40, 60, axes) * (15 if axes == 1 else 1))
        shape = ((1, 3, 8)[seed % 3], CHANNELS[seed % 7], *extents)
        sliding = Sliding.random(rng, axes, pool=True)
        include = seed % 4 < 2
        qdq = quantized(rng, shape, sliding, include, dtype=(np.uint8, np.int8)[seed % 2])
        # ONNX Runtime's QLinearAveragePool has no dilations, and with ceil_mode counts pixels beyond the pads.
        optimized = "never" if sliding.dilations or (sliding.ceil_mode and include) else "with VNNI"
        yield qdq_case(f"random{seed}", qdq, operators={"QAveragePool"}, optimized=optimized)
    for seed in range(7):
        rng = np.random.default_rng(seed)
        extents = (9, 7) if seed % 2 else (31,)
        qdq = quantized(rng, (8, CHANNELS[seed] * 40, *extents), None, False)
        yield qdq_case(f"global{seed}", qdq, operators={"QAveragePool"})


def test_codes() -> None:
    check_pooled(cases())


@pytest.mark.parametrize("auto_pad", ["VALID", "SAME_UPPER", "SAME_LOWER"])
def test_auto_pad(auto_pad: str) -> None:
    rng = np.random.default_rng(1)
    sliding = Sliding((2, 3), (2, 2), auto_pad=auto_pad)
    check(qdq_case(auto_pad, quantized(rng, (3, 17, 9, 8), sliding, False), operators={"QAveragePool"}))


@pytest.mark.parametrize("op", ["AveragePool", "GlobalAveragePool"])
def test_the_same_bits_in_a_batch(op: str) -> None:
    rng = np.random.default_rng(3)
    sliding = Sliding((3, 3), pads=(1, 0, 1, 2)) if op == "AveragePool" else None
    qdq = quantized(rng, (8, 17, 13, 12), sliding, False, symbolic_batch=True)
    x = qdq.inputs["x"]
    for isa in isas():
        session = _core.Session(_core.Model(qdq.model.SerializeToString()), isa=isa, threads=2)
        rows = [session.run({"x": x[i : i + 1]})["y"] for i in range(8)]
        np.testing.assert_array_equal(session.run({"x": x})["y"], np.concatenate(rows), err_msg=isa)


def test_without_a_quantized_output_it_stays_in_float() -> None:
    rng = np.random.default_rng(4)
    x = Codes.random(rng, (3, 5, 7, 6))
    constants = {"scale": x.scale, "zero": x.zero_point}
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "scale", "zero"], ["r"]),
        helper.make_node("AveragePool", ["r"], ["y"], name="node", kernel_shape=[3, 2]),
    ]
    model = model_of(nodes, {"x": (np.uint8, x.codes.shape)}, {"y": np.float32}, constants)
    y = average(x.real(), Sliding((3, 2)))
    magnitude = float(average(abs(x.real()), Sliding((3, 2))).max())
    check(Case("float", model, {"x": x.codes}, {"y": y}, length=7, magnitude=magnitude))
