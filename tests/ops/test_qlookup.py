"""QLookup: what lower_qdq makes of chains of elementwise operators between codes, and of a change of scale."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import onnx
from onnx import helper
from onnx_models import Array, Codes, qdq_node
from runner import Case, check, check_pooled, qdq_case
from samples import SHAPES

Function = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]


def sigmoid(x: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


# (name, operator, initializers after x, nodes after it, what they compute, output scale)
Chain = tuple[str, str, dict[str, Array], Sequence[onnx.NodeProto], Function, float]
SIX, HALF = np.array(6, np.float32), np.array(0.5, np.float32)
CHAINS: tuple[Chain, ...] = (
    ("relu", "Relu", {}, (), lambda x: np.maximum(x, 0), 0.02),
    ("clip", "Clip", {"zero": np.array(0, np.float32), "six": SIX}, (), lambda x: np.clip(x, 0, 6), 6 / 255),
    ("sigmoid", "Sigmoid", {}, (), sigmoid, 1 / 256),
    ("tanh", "Tanh", {}, (), np.tanh, 1 / 128),
    ("scaled", "Mul", {"half": HALF}, (), lambda x: 0.5 * x, 0.013),
    ("shifted", "Add", {"half": HALF}, (), lambda x: x + 0.5, 0.02),
    ("divided", "Div", {"six": SIX}, (), lambda x: x / 6, 0.005),
    (
        "swish",
        "Sigmoid",
        {},
        (helper.make_node("Mul", ["x_real", "node_y"], ["real_y"]),),
        lambda x: x * sigmoid(x),
        0.02,
    ),
    (
        "hard-swish",
        "Add",
        {"three": np.array(3, np.float32)},
        (
            helper.make_node("Clip", ["node_y", "zero", "six"], ["clipped"]),
            helper.make_node("Mul", ["x_real", "clipped"], ["product"]),
            helper.make_node("Div", ["product", "six"], ["real_y"]),
        ),
        lambda x: x * np.clip(x + 3, 0, 6) / 6,
        0.02,
    ),
)


def case(chain: Chain, seed: int, shape: tuple[int, ...], **settings: Any) -> Case:
    name, op, plain, after, reference, y_scale = chain
    rng = np.random.default_rng(seed)
    dtype = (np.uint8, np.int8)[seed % 2]
    middle = int(np.iinfo(dtype).min) + 128
    x = Codes.random(
        rng, shape, dtype, scale=float(rng.uniform(0.02, 0.06)), zero_point=middle + int(rng.integers(-40, 40))
    )
    order = ["x", *plain]
    if name == "hard-swish":
        plain = {**plain, "zero": np.array(0, np.float32), "six": SIX}
    qdq = qdq_node(
        op, {"x": x}, reference, y_scale, middle - 20, plain=plain, order=order, after=after, y_dtype=dtype, **settings
    )
    label = f"{name}-{seed}-{'x'.join(map(str, shape))}"
    return qdq_case(label, qdq, operators={"Quantize", "QLookup", "Dequantize"}, optimized="always")


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: chain[0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_chain(chain: Chain, shape: tuple[int, ...]) -> None:
    for seed in (0, 1):
        check(case(chain, seed, shape))


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_batches(batch: int) -> None:
    check(case(CHAINS[0], 3, (batch, 13, 7), symbolic_batch=True))


def test_another_scale() -> None:
    """A QuantizeLinear of codes of another scale is a table too."""
    for seed in range(4):
        x = Codes.random(np.random.default_rng(seed), (3, 5, 7), (np.uint8, np.int8)[seed % 2])
        qdq = qdq_node("Identity", {"x": x}, lambda a: a, float(x.scale) * 1.7, 3)
        # ONNX Runtime's optimizer makes one pair of the two and rounds once (DoubleQDQPairsRemover).
        check(qdq_case(f"rescaled{seed}", qdq, operators={"QLookup"}, optimized="never"))


def test_a_million_elements() -> None:
    shapes = ((3, 7, 1601), (1, 20011))
    check_pooled(case(chain, seed, shapes[seed % 2]) for chain in CHAINS for seed in range(6))
