"""Products that exporters write for one function become its operator, in every form; what only looks alike stays."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnx

sys.path.insert(0, str(Path(__file__).parent))

from plans import check_as_onnxruntime, lowered, node

from onnx_models import model_of

FLOAT = np.float32
X = {"x": np.random.default_rng(5).normal(0, 3, (3, 7, 11)).astype(FLOAT)}
CONSTANTS = {
    "half": 0.5,
    "one": 1.0,
    "two": 2.0,
    "three": 3.0,
    "sqrt2": math.sqrt(2),
    "sqrt_half": math.sqrt(0.5),
    "pi": math.sqrt(2 / math.pi),
    "cubic": 0.044715,
    "alpha": 1.702,
}

# Each step is "op a b -> y".
SILU = ["Sigmoid x -> s", "Mul x s -> y"]
SILU_SWAPPED = ["Sigmoid x -> s", "Mul s x -> y"]
QUICK_GELU = ["Mul x alpha -> a", "Sigmoid a -> s", "Mul x s -> y"]
MISH = ["Softplus x -> p", "Tanh p -> t", "Mul x t -> y"]
# torch's exporters, both; ONNX Runtime's own form; other nestings.
GELU_TORCHSCRIPT = ["Div x sqrt2 -> a", "Erf a -> e", "Add e one -> b", "Mul x b -> c", "Mul c half -> y"]
GELU_DYNAMO = ["Mul x half -> h", "Mul x sqrt_half -> a", "Erf a -> e", "Add e one -> b", "Mul h b -> y"]
GELU_INNER = ["Mul sqrt_half x -> a", "Erf a -> e", "Add one e -> b", "Mul half b -> c", "Mul x c -> y"]
GELU_DIVIDED = ["Div x sqrt2 -> a", "Erf a -> e", "Add e one -> b", "Mul x b -> c", "Div c two -> y"]
TANH_CUBE = ["Mul x x -> x2", "Mul x2 x -> x3", "Mul cubic x3 -> c", "Add x c -> d", "Mul pi d -> v"]
TANH_POW = ["Pow x three -> x3", "Mul x3 cubic -> c", "Add x c -> d", "Mul d pi -> v"]
TANH_FACTORED = ["Mul x x -> x2", "Mul x2 cubic -> c", "Add c one -> d", "Mul x pi -> e", "Mul e d -> v"]
TANH_END = ["Tanh v -> t", "Add t one -> u", "Mul x half -> h", "Mul h u -> y"]


def model(steps: list[str], dtype: Any = FLOAT, shape: tuple[int, ...] = (), outputs: tuple[str, ...] = ("y",)) -> Any:
    """Constants have `shape`, all of extent 1."""
    nodes = []
    for step in steps:
        left, y = step.split(" -> ")
        op, *inputs = left.split()
        nodes.append(node(op, inputs, [y]))
    names = {name for made in nodes for name in made.input}
    constants = {name: np.full(shape, value, dtype) for name, value in CONSTANTS.items() if name in names}
    return model_of(nodes, {"x": (dtype, ("N", 7, 11))}, dict.fromkeys(outputs, dtype), constants, opset=18)


@pytest.mark.parametrize(
    ("steps", "op"),
    [
        (SILU, "Swish"),
        (SILU_SWAPPED, "Swish"),
        (QUICK_GELU, "Swish"),
        (MISH, "Mish"),
        (GELU_TORCHSCRIPT, "Gelu"),
        (GELU_DYNAMO, "Gelu"),
        (GELU_INNER, "Gelu"),
        (GELU_DIVIDED, "Gelu"),
        (TANH_CUBE + TANH_END, "Gelu"),
        (TANH_POW + TANH_END, "Gelu"),
        (TANH_FACTORED + TANH_END, "Gelu"),
    ],
)
@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1)], ids=str)
def test_chains_become_one_operator(steps, op, shape):
    made = model(steps, shape=shape)
    assert lowered(made) == {op: 1}
    check_as_onnxruntime(made, X)


def test_float64():
    made = model(SILU, np.float64)
    assert lowered(made) == {"Swish": 1}
    check_as_onnxruntime(made, {"x": X["x"].astype(np.float64)})


def test_a_factor_before_a_product_of_matrices():
    """The last factor must not go into the weights before the chain is seen."""
    weights = np.random.default_rng(6).normal(0, 1, (11, 5)).astype(FLOAT)
    made = model([*GELU_TORCHSCRIPT[:-1], "Mul c half -> g", "MatMul g w -> y"])
    made.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    assert lowered(made) == {"Gelu": 1, "MatMul": 1}
    check_as_onnxruntime(made, X)


@pytest.mark.parametrize(
    ("steps", "outputs"),
    [
        (SILU, ("y", "s")),  # the sigmoid is an output
        (["Sigmoid x -> s", "Mul x s -> z", "Add z s -> y"], ("y",)),  # or read again
        (["Neg x -> n", "Sigmoid n -> s", "Mul x s -> z", "Add z n -> y"], ("y",)),  # of another value
        ([*GELU_TORCHSCRIPT, "Neg b -> z"], ("y", "z")),
        ([*GELU_TORCHSCRIPT[:-1], "Mul c one -> y"], ("y",)),  # twice as much
        (["Mul x half -> a", *GELU_TORCHSCRIPT[1:]], ("y",)),  # another scale
        ([*TANH_CUBE[:-1], "Mul half d -> v", *TANH_END], ("y",)),
        (["Pow x two -> x3", *TANH_POW[1:], *TANH_END], ("y",)),
        (["Add x one -> z", "Sigmoid z -> s", "Mul x s -> y"], ("y",)),
    ],
)
def test_what_must_not_be_fused(steps, outputs):
    made = model(steps, outputs=outputs)
    assert not {"Swish", "Gelu", "Mish"} & set(lowered(made))
    check_as_onnxruntime(made, X)


def test_constants_that_add_dimensions():
    made = model(GELU_TORCHSCRIPT, shape=(1, 1, 1, 1))
    assert "Gelu" not in lowered(made)
    assert check_as_onnxruntime(made, X)["y"].shape == (1, 3, 7, 11)
