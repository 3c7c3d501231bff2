"""What stands beside a layer with weights is folded into it: BatchNormalization, and constants per channel."""

from collections.abc import Mapping

import numpy as np
import onnxruntime as ort
import pytest
from qdq_builder import Builder

import sanderling
from onnx import helper, numpy_helper
from sanderling import _core


class Model:
    """Float nodes from "x" to "y" with random constants."""

    def __init__(self, shape):
        self.rng = np.random.default_rng(0)
        self.nodes, self.constants, self.shape = [], [], shape

    def constant(self, shape, low=-1.0, high=1.0):
        name = f"c{len(self.constants)}"
        value = self.rng.uniform(low, high, shape).astype(np.float32)
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def add(self, op, *inputs, **attributes):
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def normalize(self, x, channels):
        parts = [self.constant(channels), self.constant(channels), self.constant(channels)]
        return self.add("BatchNormalization", x, *parts, self.constant(channels, 0.1, 2.0))

    def check(self, y, expected: Mapping[str, int], tolerance=1e-4):
        """Compares with ONNX Runtime's literal run; `expected` are all operators that are left but transposes."""
        self.nodes.append(helper.make_node("Identity", [y], ["y"]))
        graph = helper.make_graph(
            self.nodes,
            "folding",
            [helper.make_tensor_value_info("x", 1, self.shape)],
            [helper.make_tensor_value_info("y", 1, None)],
            self.constants,
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        data = made.SerializeToString()
        shape = [3 if isinstance(d, str) else d for d in self.shape]
        x = self.rng.normal(0, 1, shape).astype(np.float32)
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        wanted = ort.InferenceSession(data, options, ["CPUExecutionProvider"]).run(None, {"x": x})[0]
        model = _core.Model(data)
        for isa in ["reference", *_core.runnable_isas()]:
            ours = _core.Session(model, isa=isa).run([x])[0]
            assert ours.shape == wanted.shape
            np.testing.assert_allclose(ours, wanted, rtol=0, atol=tolerance * np.abs(wanted).max() + 1e-5, err_msg=isa)
        operators = sanderling.Session(data).info()["operators"]
        assert {op: count for op, count in operators.items() if op not in ("Transpose", "Identity")} == expected


LAYERS = {
    "Conv": ([6, 4, 3, 3], {"pads": [1, 1, 1, 1]}, 6),
    "Conv groups": ([6, 2, 3, 3], {"group": 2}, 6),
    "Conv depthwise": ([4, 1, 3, 3], {"group": 4}, 4),
    "ConvTranspose": ([4, 6, 3, 3], {"strides": [2, 2]}, 6),
    "ConvTranspose groups": ([4, 3, 3, 3], {"strides": [2, 2], "group": 2}, 6),
}


def layer(m, name, x, bias=True):
    shape, attributes, channels = LAYERS[name]
    inputs = [m.constant(shape), *([m.constant(channels)] if bias else [])]
    return m.add(name.split()[0], x, *inputs, **attributes), channels


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_batch_normalization_after(name, bias):
    m = Model(["n", 4, 7, 6])
    y, channels = layer(m, name, "x", bias)
    m.check(m.add("Relu", m.normalize(y, channels)), {name.split()[0]: 1})


@pytest.mark.parametrize("name", ["Conv groups", "Conv depthwise"])
def test_batch_normalization_before_a_convolution_without_padding(name):
    m = Model(["n", 4, 7, 6])
    y, _ = layer(m, name, m.normalize("x", 4))
    m.check(y, {"Conv": 1})


@pytest.mark.parametrize("name", ["Conv", "ConvTranspose"])
def test_batch_normalization_before_borders_stays(name):
    """What it adds is not there on padding, and not as often at the borders of what is spread out."""
    m = Model(["n", 4, 7, 6])
    y, _ = layer(m, name, m.normalize("x", 4))
    m.check(y, {name: 1, "BatchNormalization": 1})


@pytest.mark.parametrize("shape", [[], [1], [6, 1, 1], [1, 6, 1, 1], [1, 1, 1, 1]], ids=str)
@pytest.mark.parametrize("op", ["Mul", "Add", "Sub", "Div", "swapped Mul", "swapped Sub", "swapped Add"])
@pytest.mark.parametrize("name", ["Conv", "ConvTranspose groups"])
def test_arithmetic_after(name, op, shape):
    m = Model(["n", 4, 7, 6])
    y, _ = layer(m, name, "x")
    operands = [y, m.constant(shape, 0.5, 2.0)]
    m.check(m.add(op.split()[-1], *(operands[::-1] if "swapped" in op else operands)), {name.split()[0]: 1})


@pytest.mark.parametrize("op", ["Mul", "Div"])
@pytest.mark.parametrize("name", LAYERS)
def test_a_factor_before(name, op):
    m = Model(["n", 4, 7, 6])
    y, _ = layer(m, name, m.add(op, "x", m.constant([1, 4, 1, 1], 0.5, 2.0)))
    m.check(y, {name.split()[0]: 1})


def test_what_an_image_is_prepared_with():
    """(x / 255 - mean) / std before the first layer, and three operators after it."""
    m = Model(["n", 4, 7, 6])
    x = m.add("Div", "x", m.constant([], 2.0, 3.0))
    x = m.add("Div", m.add("Sub", x, m.constant([1, 4, 1, 1])), m.constant([4, 1, 1], 0.2, 0.4))
    y, channels = layer(m, "Conv groups", x)
    y = m.normalize(m.add("Add", m.add("Mul", y, m.constant([6, 1, 1])), m.constant([6, 1, 1])), channels)
    m.check(y, {"Conv": 1})


@pytest.mark.parametrize("turned", [False, True])
def test_gemm(turned):
    m = Model(["n", 5])
    before = m.add("Add", m.add("Mul", "x", m.constant([], 0.5, 2.0)), m.constant([1]))
    y = m.add("Gemm", before, m.constant([7, 5] if turned else [5, 7]), m.constant([7]), transB=int(turned))
    m.check(m.normalize(m.add("Mul", y, m.constant([1, 7])), 7), {"Gemm": 1})


def test_matmul_takes_factors_only():
    m = Model(["n", 3, 5])
    y = m.add("MatMul", m.add("Mul", "x", m.constant([], 0.5, 2.0)), m.constant([5, 7]))
    m.check(m.add("Add", m.add("Mul", y, m.constant([7])), m.constant([7])), {"MatMul": 1, "Add": 1})


@pytest.mark.parametrize("shape", [[6], [7, 6], [1, 6, 7, 6], [3, 1, 1, 1], [1, 1, 1, 1, 1]], ids=str)
def test_constants_that_are_not_one_per_channel_stay(shape):
    m = Model([3, 4, 7, 6])
    y, _ = layer(m, "Conv", "x")
    m.check(m.add("Mul", y, m.constant(shape)), {"Conv": 1, "Mul": 1})


def test_one_channel_that_is_repeated_stays():
    m = Model(["n", 1, 7, 6])
    x = m.add("Mul", m.add("Relu", "x"), m.constant([1, 4, 1, 1]))
    y, _ = layer(m, "Conv groups", x)
    m.check(y, {"Relu": 1, "Mul": 1, "Conv": 1})


def test_what_others_read_stays():
    m = Model(["n", 4, 7, 6])
    y, _ = layer(m, "Conv", "x")
    m.check(m.add("Add", m.add("Mul", y, m.constant([])), y), {"Conv": 1, "Mul": 1, "Add": 1})


@pytest.mark.parametrize(("op", "value"), [("Div", 1e-30), ("Mul", 1e-30), ("Mul", 1e30)])
def test_factors_that_weights_cannot_take_stay(op, value):
    m = Model(["n", 4, 7, 6])
    y, _ = layer(m, "Conv", "x")
    m.constants.append(numpy_helper.from_array(np.float32(value), "by"))
    m.check(m.add(op, y, "by"), {"Conv": 1, op: 1})


@pytest.mark.parametrize("w_type", [np.int8, np.uint8])
@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
def test_weights_that_are_codes(w_type, op):
    """A layer that was quantized while training, its normalization still behind it; some factors are negative."""
    b = Builder(["n", 4, 6, 6])
    axis = 0 if op == "Conv" else 1
    w = b.weight((5, 4, 2, 2) if op == "Conv" else (4, 5, 2, 2), w_type, channels=1, zero=w_type(90), axis=axis)
    y = b.add(op, [b.start(), w, b.bias(5)], "c", strides=[2, 2])
    parts = {"gamma": (-1.5, 1.5), "beta": (-1, 1), "mean": (-1, 1), "var": (0.5, 2)}
    names = [b.constant(name, b.rng.uniform(*ends, 5).astype(np.float32)) for name, ends in parts.items()]
    y = b.add("Relu", [b.add("BatchNormalization", [y, *names], "n")], "r")
    b.finish(b.add("Mul", [y, b.constant("half", np.float32(0.5))], "h"))
    operators = b.compare()
    assert "QConv" in operators
    assert not {op, "BatchNormalization"} & operators
