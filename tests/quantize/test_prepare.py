"""Preparing a model changes its form, never what it computes; odd graphs keep their meaning when quantized."""

import numpy as np
import pytest
from tests.quantize.networks import Builder, decibels, literal, operators, rows_of

import onnx
import sanderling
from onnx import TensorProto, helper, numpy_helper
from sanderling.errors import InputError
from sanderling.quantization._prepare import prepare


def prepared(data):
    network = prepare(data)
    return network.to_model(network.nodes, network.constants).SerializeToString()


def same(data, shape, tolerance=1e-5):
    """The prepared model's operators, after checking that it computes the same."""
    x = rows_of(shape, 16)
    before, after = literal(data, x), literal(prepared(data), x)
    for name, expected in before.items():
        np.testing.assert_allclose(after[name], expected, atol=tolerance * np.abs(expected).max(), rtol=0)
    return operators(prepared(data))


@pytest.mark.parametrize("group", [1, 2, 6])
def test_normalization_after_a_convolution(group):
    b = Builder([6, 7, 7])
    b.normalization(b.conv("x", 6, 12, group=group, bias=group > 1), 12, output="y")
    assert same(b.model("y"), [6, 7, 7]) == {"Conv": 1}


@pytest.mark.parametrize("group", [1, 2, 6])
@pytest.mark.parametrize("padded", [False, True])
def test_normalization_before_a_convolution(group, padded):
    b = Builder([6, 7, 7])
    b.conv(b.normalization("x", 6), 6, 12, group=group, output="y", pads=[int(padded)] * 4)
    expected = {"Conv": 1, "BatchNormalization": 1} if padded else {"Conv": 1}
    assert same(b.model("y"), [6, 7, 7]) == expected


@pytest.mark.parametrize("transposed", [0, 1])
def test_normalization_around_a_product(transposed):
    b = Builder([6])
    w = b.weights(8, 6) if transposed else b.weights(6, 8)
    b.normalization(b.add("Gemm", b.normalization("x", 6), w, transB=transposed), 8, output="y")
    assert same(b.model("y"), [6]) == {"Gemm": 1}


def test_normalization_that_others_read_stays():
    b = Builder([4, 5, 5])
    c = b.conv("x", 4, 4)
    b.add("Add", b.normalization(c, 4), c, output="y")
    assert same(b.model("y"), [4, 5, 5]) == {"Conv": 1, "BatchNormalization": 1, "Add": 1}


def test_factors_and_biases_of_gemm():
    b = Builder([6])
    h = b.add("Gemm", "x", b.weights(6, 8), b.constant("c", [[0.7]]), alpha=0.5, beta=-2.0)
    b.add("Gemm", h, b.weights(5, 8), b.constant("d", np.arange(5.0)[None]), output="y", transB=1, beta=0.25)
    data = b.model("y")
    assert same(data, [6]) == {"Gemm": 2}
    for node in onnx.load_from_string(prepared(data)).graph.node:
        assert {a.name for a in node.attribute} <= {"transB"}


def test_a_linear_layer_of_matmul_and_add_is_a_gemm():
    b = Builder([6])
    h = b.add("Add", b.constant("c", np.arange(8.0)), b.add("MatMul", "x", b.weights(6, 8)))
    b.add("MatMul", b.add("Relu", h), b.weights(8, 3), output="y")
    data = b.model("y")
    assert same(data, [6]) == {"Gemm": 2, "Relu": 1}
    quantized = sanderling.quantize(data, rows_of([6]))
    assert sanderling.Session(quantized).info()["operators"] == {"Quantize": 1, "QGemm": 2}


def test_products_of_higher_rank_keep_their_bias():
    b = Builder([5, 6])
    h = b.add("Add", b.add("MatMul", "x", b.weights(6, 8)), b.constant("c", np.arange(8.0)))
    b.add("Add", b.add("MatMul", b.add("Tanh", h), b.weights(8, 3)), b.constant("d", [0.5, -1, 2]), output="y")
    data = b.model("y")
    assert same(data, [5, 6]) == {"MatMul": 2, "Add": 2, "Tanh": 1}
    x = rows_of([5, 6])
    quantized = sanderling.quantize(data, x)
    assert [layer.operator for layer in quantized.report.layers] == ["MatMul+Add", "Tanh", "MatMul+Add"]
    ours, theirs = sanderling.Session(quantized).run(x), literal(quantized.bytes, x)["y"]
    assert decibels(literal(data, x)["y"], ours) > 30
    assert decibels(theirs, ours) > 50
    assert sanderling.Session(quantized).info()["operators"]["QGemm"] == 2


def test_constants_are_folded():
    b = Builder([6])
    b.nodes.append(helper.make_node("Constant", [], ["half"], value=numpy_helper.from_array(np.float32(0.5))))
    w = b.add("Mul", b.add("Transpose", b.weights(8, 6), perm=[1, 0]), "half")
    b.add("MatMul", "x", b.add("Identity", w), output="y")
    assert same(b.model("y"), [6]) == {"Gemm": 1}


@pytest.mark.parametrize("ir_version", [3, 6])
def test_an_old_opset_is_raised(ir_version):
    b = Builder([3, 8, 8], opset=9)
    h = b.add("Clip", b.conv("x", 3, 4), min=0.0, max=6.0)
    h = b.add("Unsqueeze", b.add("Flatten", b.add("GlobalAveragePool", h)), axes=[2])
    b.gemm(b.add("Squeeze", h, axes=[2]), 4, 2, output="y")
    # In IR version 3 initializers are inputs too.
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in b.constants.items()]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 2])]
    tensors = [numpy_helper.from_array(a, n) for n, a in b.constants.items()]
    graph = helper.make_graph(b.nodes, "old", b.inputs + (inputs if ir_version == 3 else []), outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=ir_version)
    onnx.checker.check_model(model)
    data, x = model.SerializeToString(), rows_of([3, 8, 8])
    same(data, [3, 8, 8])
    quantized = sanderling.quantize(data, x)
    after = onnx.load_from_string(quantized.bytes)
    onnx.checker.check_model(after, full_check=True)
    assert after.opset_import[0].version == 13
    assert [value.name for value in after.graph.input] == ["x"]
    assert decibels(literal(data, x)["y"], sanderling.Session(quantized).run(x)) > 30


def test_weights_shared_by_layers():
    """One initializer in three layers, twice with one and once with another axis: codes are right for each."""
    b = Builder([6])
    w = b.weights(6, 6, name="shared")
    h = b.add("Gemm", "x", w, name="first")
    h = b.add("Gemm", b.add("Tanh", h), w, name="second", transB=1)
    b.add("Gemm", b.add("Tanh", h), w, name="third", output="y")
    data, x = b.model("y"), rows_of([6])
    quantized = sanderling.quantize(data, x)
    assert decibels(literal(data, x)["y"], sanderling.Session(quantized).run(x)) > 30
    stored = [
        t
        for t in onnx.load_from_string(quantized.bytes).graph.initializer
        if t.data_type == TensorProto.INT8 and len(t.dims) == 2
    ]
    assert len(stored) == 2  # first and third share theirs


def test_a_shared_bias_gets_the_scale_of_each_reader():
    b = Builder([6])
    bias = b.constant("bias", np.arange(6.0))
    h = b.add("Gemm", "x", b.weights(6, 6), bias)
    b.add("Gemm", b.add("Relu", h), b.weights(6, 6), bias, output="y")
    data, x = b.model("y"), rows_of([6])
    assert decibels(literal(data, x)["y"], sanderling.Session(sanderling.quantize(data, x)).run(x)) > 30


def test_an_output_that_is_read_on():
    b = Builder([3, 8, 8])
    middle = b.add("Relu", b.conv("x", 3, 4), output="middle")
    b.conv(middle, 4, 2, output="y")
    data, x = b.model("middle", "y"), rows_of([3, 8, 8])
    quantized = sanderling.quantize(data, x)
    ours, theirs, real = sanderling.Session(quantized).run({"x": x}), literal(quantized.bytes, x), literal(data, x)
    assert list(ours) == ["middle", "y"]
    for name in ours:
        assert decibels(real[name], ours[name]) > 30
        assert decibels(theirs[name], ours[name]) > decibels(real[name], ours[name]) + 8


def test_dead_channels_and_constant_activations():
    b = Builder([3, 8, 8])
    h = b.conv("x", 3, 5)
    b.constants["w0"][1] = 0  # dead, but for its bias
    b.constants["w0"][2] = 1e-30
    b.constants["b1"][3] = 1e4  # beside weights of 1: the bias rules the channel
    b.constants["w0"][4] = 0
    b.constants["b1"][4] = -1  # always zero after the Relu
    h = b.add("Relu", h)
    b.conv(h, 5, 2, output="y")
    data, x = b.model("y"), rows_of([3, 8, 8])
    quantized = sanderling.quantize(data, x)
    ours, theirs, real = sanderling.Session(quantized).run(x), literal(quantized.bytes, x)["y"], literal(data, x)["y"]
    assert decibels(theirs, ours) > 50
    assert decibels(real, ours) > 30
    scales = [t for t in onnx.load_from_string(quantized.bytes).graph.initializer if t.name.endswith("/scale")]
    for tensor in scales:
        array = numpy_helper.to_array(tensor)
        assert (array >= np.finfo(np.float32).tiny).all()
        assert np.isfinite(array).all()


def test_everything_zero():
    b = Builder([4])
    b.add("Gemm", b.add("Relu", b.add("Gemm", "x", b.constant("w", np.zeros((4, 4))))), b.weights(4, 2), output="y")
    x = rows_of([4])
    np.testing.assert_array_equal(sanderling.Session(sanderling.quantize(b.model("y"), x)).run(x), 0)


def test_vectors_beside_activations_get_codes_and_numbers_do_not():
    b = Builder([4, 6, 6])
    h = b.add("Mul", b.conv("x", 4, 4), b.constant("gain", np.linspace(0.5, 2, 4).reshape(4, 1, 1)))
    h = b.add(
        "Sub", b.add("Mul", h, b.constant("two", 2.0)), b.constant("offset", np.linspace(-1, 1, 4).reshape(4, 1, 1))
    )
    b.conv(h, 4, 2, output="y")
    data, x = b.model("y"), rows_of([4, 6, 6])
    quantized = sanderling.quantize(data, x)
    initializers = {t.name: t.data_type for t in onnx.load_from_string(quantized.bytes).graph.initializer}
    assert initializers["gain/q"] == initializers["offset/q"] == TensorProto.UINT8
    assert initializers["two"] == TensorProto.FLOAT
    ours, theirs = sanderling.Session(quantized).run(x), literal(quantized.bytes, x)["y"]
    assert decibels(literal(data, x)["y"], ours) > 27
    assert decibels(theirs, ours) > 45


def test_padding_with_zeros_shares_codes_and_with_others_does_not():
    for value, shared in ((None, True), (0.0, True), (3.0, False)):
        b = Builder([4, 6, 6])
        extra = [] if value is None else [b.constant("value", value)]
        h = b.add(
            "Pad",
            b.conv("x", 4, 4, output="h"),
            b.constant("pads", [0, 0, 1, 1, 0, 0, 1, 1], np.int64),
            *extra,
            output="p",
        )
        b.conv(h, 4, 2, pads=[0] * 4, output="y")
        data, x = b.model("y"), rows_of([4, 6, 6])
        quantized = sanderling.quantize(data, x)
        quantizers = [n for n in onnx.load_from_string(quantized.bytes).graph.node if n.op_type == "QuantizeLinear"]
        scale_of = {node.input[0]: node.input[1] for node in quantizers}
        assert (scale_of.get("h") == scale_of["p"]) is shared
        assert decibels(literal(data, x)["y"], sanderling.Session(quantized).run(x)) > 30


def test_concat_of_unlike_ranges_keeps_them_apart():
    """As in detection heads: what is a thousand times smaller must not be rounded to zero for its other readers."""
    b = Builder([4, 6, 6])
    small = b.conv("x", 4, 4, output="small")
    b.constants["w0"] *= 1e-3
    b.constants["b1"] *= 1e-3
    large = b.conv("x", 4, 4, output="large")
    both = b.add("Concat", small, large, axis=1, name="both")
    b.conv(small, 4, 2, output="z")
    b.conv(both, 8, 2, output="y")
    data, x = b.model("y", "z"), rows_of([4, 6, 6])
    quantized = sanderling.quantize(data, x)
    layer = next(layer for layer in quantized.report.layers if layer.name == "both")
    assert (layer.dtype, "keep their own codes" in layer.why) == ("int8", True)
    ours, theirs, real = sanderling.Session(quantized).run({"x": x}), literal(quantized.bytes, x), literal(data, x)
    for name in ("y", "z"):
        assert decibels(real[name], ours[name]) > 30
        assert decibels(theirs[name], ours[name]) > 45


def test_a_constant_in_a_concat_has_the_shared_codes():
    b = Builder([4])
    b.constant("ones", np.full((96, 2), 1.5))
    b.gemm(b.add("Concat", b.gemm("x", 4, 4), "ones", axis=1), 6, 3, output="y")
    data, x = b.model("y"), rows_of([4])
    quantized = sanderling.quantize(data, [x])  # the constant has as many rows as this batch
    assert decibels(literal(data, x)["y"], sanderling.Session(quantized).run(x)) > 30
    assert decibels(literal(quantized.bytes, x)["y"], sanderling.Session(quantized).run(x)) > 45


def test_layers_without_an_int8_form_say_why():
    b = Builder([4, 4])
    h = b.add("MatMul", "x", b.weights(4, 4), name="constant")
    h = b.add("MatMul", h, "x", name="computed")
    h = b.add("ReduceMean", h, axes=[1], keepdims=0, name="mean")
    b.gemm(h, 4, 2, output="y", name="last")
    data, x = b.model("y"), rows_of([4, 4])
    report = sanderling.quantize(data, x).report
    why = {layer.name: (layer.dtype, layer.why) for layer in report.layers}
    assert why["constant"] == why["last"] == ("int8", "constant weights")
    assert why["computed"] == ("float32", "its weights are computed, not constant")
    assert why["mean"] == ("float32", "ReduceMean has no int8 form")


def test_infinite_tensors_stay_float():
    """A mask of minus infinity before a Sigmoid: the Sigmoid reads floats, what it makes gets codes."""
    b = Builder([4])
    masked = b.add("Add", b.gemm("x", 4, 4), b.constant("mask", [0, 0, -np.inf, 0]), name="mask")
    b.gemm(b.add("Sigmoid", masked, name="sigmoid"), 4, 2, output="y", name="last")
    data, x = b.model("y"), rows_of([4])
    quantized = sanderling.quantize(data, x)
    layers = {layer.name: layer for layer in quantized.report.layers}
    for name in ("mask", "sigmoid"):
        assert (layers[name].dtype, layers[name].why[:30]) == ("float32", "a tensor of it becomes infinite on the"[:30])
    assert layers["last"].dtype == "int8"
    assert decibels(literal(data, x)["y"], sanderling.Session(quantized).run(x)) > 30


def test_nan_on_the_way_is_an_error():
    b = Builder([4])
    h = b.add("Add", b.gemm("x", 4, 4), b.constant("mask", [0, 0, np.nan, 0]), output="broken")
    b.gemm(h, 4, 2, output="y")
    with pytest.raises(InputError, match=r"tensor 'broken' becomes NaN 96 times"):
        sanderling.quantize(b.model("y"), rows_of([4]))
