import numpy as np
import pytest

from code_node_cases import node
from runner import Case, check, check_refused
from samples import values
from sanderling import _core
from sanderling.errors import ModelError, UnsupportedError
from window_references import Sliding, convolve

ACTIVATIONS = {
    "Relu": ([], lambda x: np.maximum(x, 0)),
    "Sigmoid": ([], lambda x: 1 / (1 + np.exp(-x))),
    "Tanh": ([], np.tanh),
    "LeakyRelu": ([0.3], lambda x: np.where(x < 0, np.float64(np.float32(0.3)) * x, x)),
    "Clip": ([-0.5, 1.5], lambda x: np.clip(x, -0.5, 1.5)),
    "HardSigmoid": ([0.2, 0.6], lambda x: np.clip(np.float32(0.2) * x + np.float32(0.6), 0, 1)),
}


@pytest.mark.parametrize("summand", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_fused_conv(activation, summand):
    rng = np.random.default_rng(0)
    numbers, function = ACTIVATIONS[activation]
    x, w, b = values(rng, (2, 4, 7, 9)), values(rng, (6, 2, 3, 3)), values(rng, (6,))
    sliding = Sliding((3, 3), pads=(1, 1, 1, 1), strides=(2, 1))
    sums = convolve(x, w, b, sliding, 2)
    constants, inputs = {"w": w, "b": b}, {"x": x}
    if summand:
        inputs["z"] = values(rng, sums.shape)
        sums = sums + inputs["z"]
    more = sliding.attributes() | {"group": 2, "activation": activation}
    if numbers:
        more["activation_params"] = numbers
    model = node("FusedConv", inputs, constants, order=["x", "w", "b", *(["z"] if summand else [])], more=more)
    settings = {"length": None, "operators": ["Conv"] if activation in _core.operator_names() else []}
    theirs = activation != "HardSigmoid"  # ONNX Runtime's has other defaults in the place of its second number
    check(Case("constant", model, inputs, {"y": function(sums)}, onnxruntime=theirs, **settings))
    inputs |= constants
    model = node("FusedConv", inputs, order=["x", "w", "b", *(["z"] if summand else [])], more=more)
    check(Case("inputs", model, inputs, {"y": function(sums)}, onnxruntime=theirs, **settings))


def test_without_bias_and_activation():
    rng = np.random.default_rng(1)
    inputs = {"x": values(rng, (2, 3, 5)), "w": values(rng, (4, 3, 3)), "z": values(rng, (2, 4, 3))}
    expected = convolve(inputs["x"], inputs["w"], None, Sliding((3,))) + inputs["z"]
    model = node("FusedConv", inputs, order=["x", "w", "", "z"])
    check(Case("plain", model, inputs, {"y": expected}, length=10, magnitude=100, onnxruntime=False))


def test_what_is_refused():
    inputs = {"x": np.zeros((1, 2, 5, 5), np.float32), "w": np.zeros((4, 2, 3, 3), np.float32)}
    model = node("FusedConv", inputs, activation="Swoosh")
    check_refused(model, inputs, UnsupportedError, "no fused activation 'Swoosh'", "com.microsoft.FusedConv")
    inputs["z"] = np.zeros((1, 4, 3, 2), np.float32)
    model = node("FusedConv", inputs, order=["x", "w", "", "z"], activation="Relu")
    check_refused(model, inputs, ModelError, "cannot be broadcast", "Add")  # which it becomes
