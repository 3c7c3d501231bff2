import numpy as np
import pytest

from code_node_cases import node
from runner import Case, check, check_refused
from samples import values
from sanderling import _core
from sanderling.errors import ModelError, UnsupportedError

ACTIVATIONS = {
    "Relu": ({}, lambda x: np.maximum(x, 0)),
    "Sigmoid": ({}, lambda x: 1 / (1 + np.exp(-x))),
    "Tanh": ({}, np.tanh),
    "LeakyRelu": ({"activation_alpha": 0.5}, lambda x: np.where(x < 0, 0.5 * x, x)),
    "Elu": ({"activation_alpha": 0.5}, lambda x: np.where(x < 0, 0.5 * np.expm1(x), x)),
    "Softplus": ({}, lambda x: np.logaddexp(0, x)),
    "Softsign": ({}, lambda x: x / (1 + np.abs(x))),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_fused_gemm(activation):
    rng = np.random.default_rng(0)
    numbers, function = ACTIVATIONS[activation]
    for ta, tb, c_shape, alpha, beta in (
        (0, 0, (7,), 1.0, 1.0),
        (1, 1, (5, 7), 0.5, 2.0),
        (0, 1, (5, 1), 1.0, 1.0),
        (0, 1, None, 1.0, 1.0),
    ):
        a, b = values(rng, (9, 5) if ta else (5, 9)), values(rng, (7, 9) if tb else (9, 7))
        inputs = {"a": a, "b": b} | ({"c": values(rng, c_shape)} if c_shape else {})
        left, right = (m.astype(np.float64) for m in (a.T if ta else a, b.T if tb else b))
        expected = function(alpha * left @ right + beta * inputs.get("c", np.zeros(1)).astype(np.float64))
        more = {"transA": ta, "transB": tb, "alpha": alpha, "beta": beta, "activation": activation, **numbers}
        theirs = c_shape is not None  # ONNX Runtime's shape inference wants c
        for given in (inputs, {"a": a}):
            rest = {name: value for name, value in inputs.items() if name not in given}
            model = node("FusedGemm", given, rest, order=[*inputs], more=more)
            settings = {"operators": ["Gemm"] if activation in _core.operator_names() else [], "length": None}
            check(Case(f"{ta}{tb}-{len(rest)}", model, given, {"y": expected}, onnxruntime=theirs, **settings))


def test_what_is_refused():
    inputs = {"a": np.zeros((2, 3), np.float32), "b": np.zeros((3, 4), np.float32)}
    model = node("FusedGemm", inputs, activation="Swoosh")
    check_refused(model, inputs, UnsupportedError, "no fused activation 'Swoosh'", "com.microsoft.FusedGemm")
    inputs["c"] = np.zeros(3, np.float32)
    model = node("FusedGemm", inputs, activation="Relu")
    with pytest.raises(ModelError, match="does not broadcast"):  # the Gemm that it becomes says so
        _core.Session(_core.Model(model.SerializeToString())).run(inputs)
