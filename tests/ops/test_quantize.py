"""The engine's own Quantize: what lower_qdq makes of a QuantizeLinear with one constant scale."""

import numpy as np
import pytest

from onnx import helper
from onnx_models import QdqModel, Steps, model_of
from runner import Case, check, check_pooled, qdq_case
from samples import SHAPES


def round_trip(seed: int, shape: tuple[int, ...], symbolic_batch: bool = False) -> QdqModel:
    """QuantizeLinear - DequantizeLinear of normal numbers, some of which saturate."""
    rng = np.random.default_rng(seed)
    dtype = (np.uint8, np.int8)[seed % 2]
    info = np.iinfo(dtype)
    scale, zero = np.float32(np.exp2(rng.uniform(-8, 8))), int(rng.integers(info.min, info.max, endpoint=True))
    x = np.asarray(rng.normal(0, 60, shape) * scale, np.float32)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["codes"]),
        helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["y"]),
    ]
    dims = ("N", *shape[1:]) if symbolic_batch else shape
    constants = {"scale": np.array(scale), "zero": np.array(zero, dtype)}
    model = model_of(nodes, {"x": (np.float32, dims)}, {"y": np.float32}, constants)
    exact = np.asarray(x.astype(np.float64) / np.float64(scale) + zero)
    return QdqModel(model, {"x": x}, Steps(exact, scale, zero, np.dtype(dtype)))


def case(seed: int, shape: tuple[int, ...], symbolic_batch: bool = False) -> Case:
    operators = {"Quantize", "Dequantize"}
    name = f"{seed}-{'x'.join(map(str, shape))}"
    return qdq_case(name, round_trip(seed, shape, symbolic_batch), operators=operators, optimized="always")


@pytest.mark.parametrize("shape", [*SHAPES, (31,), (32,), (33,), (64,), (1009,)], ids=str)
@pytest.mark.parametrize("seed", [0, 1])
def test_quantize(seed: int, shape: tuple[int, ...]) -> None:
    check(case(seed, shape))


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_batches(batch: int) -> None:
    check(case(2, (batch, 13, 7), symbolic_batch=True))


def test_a_million_elements() -> None:
    check_pooled(case(seed, (3, 7, 1601)) for seed in range(40))
