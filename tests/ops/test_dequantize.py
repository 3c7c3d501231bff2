"""The engine's own Dequantize: what lower_qdq makes of a DequantizeLinear of codes."""

from typing import Any

import numpy as np
import pytest

from onnx import helper
from onnx_models import Codes, model_of
from runner import Case, check
from samples import SHAPES


def case(seed: int, shape: tuple[int, ...], dtype: Any, symbolic_batch: bool = False) -> Case:
    """Every number is float(code - zero_point) * scale in float32, to the last bit."""
    x = Codes.random(np.random.default_rng(seed), shape, dtype)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["codes"]),
        helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["y"]),
    ]
    dims = ("N", *shape[1:]) if symbolic_batch else shape
    constants = {"scale": x.scale, "zero": x.zero_point}
    model = model_of(nodes, {"x": (np.float32, dims)}, {"y": np.float32}, constants)
    real = np.asarray((x.codes.astype(np.int32) - x.zero_point).astype(np.float32) * x.scale)
    name = f"{np.dtype(dtype).name}-{seed}-{'x'.join(map(str, shape))}"
    return Case(name, model, {"x": real}, {"y": real}, exact=True, operators={"Quantize", "Dequantize"})


@pytest.mark.parametrize("shape", [*SHAPES, (31,), (32,), (33,), (64,), (1009,)], ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_dequantize(seed: int, shape: tuple[int, ...], dtype: Any) -> None:
    check(case(seed, shape, dtype))


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_batches(batch: int) -> None:
    check(case(7, (batch, 13, 7), np.uint8, symbolic_batch=True))


def test_uint8_input() -> None:
    """Codes may be the model's input; they are then watched and run as they are."""
    x = Codes.random(np.random.default_rng(3), (3, 5, 7))
    nodes = [helper.make_node("DequantizeLinear", ["x", "scale", "zero"], ["y"])]
    constants = {"scale": x.scale, "zero": x.zero_point}
    model = model_of(nodes, {"x": (np.uint8, x.codes.shape)}, {"y": np.float32}, constants)
    real = np.asarray((x.codes.astype(np.int32) - x.zero_point).astype(np.float32) * x.scale)
    check(Case("input", model, {"x": x.codes}, {"y": real}, exact=True, operators={"Dequantize"}))
