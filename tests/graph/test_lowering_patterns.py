"""Patterns that quantizers write, each as a small model: no float operator is left, and the codes are those of QDQ."""

import numpy as np
import onnxruntime as ort
import pytest
from onnxruntime.quantization import QuantType, quantize_dynamic
from qdq_builder import BOTH, CODES, SCALES, Builder

import onnx
import sanderling
from onnx import helper, numpy_helper
from sanderling import _core


@CODES
@BOTH
@pytest.mark.parametrize(
    ("w_type", "zero", "channels"),
    [(np.int8, 0, 1), (np.int8, 0, 0), (np.uint8, 128, 0), (np.uint8, 101, 0), (np.uint8, 3, 1), (np.int8, 5, 0)],
)
@pytest.mark.parametrize("group", [1, 2, 6])
def test_conv(dtype, codes, w_type, zero, channels, group):
    b = Builder(["n", 6, 9, 8], dtype, code_input=codes, code_output=codes)
    w = b.weight((6, 6 // group, 3, 3), w_type, channels=channels, zero=zero)
    y = b.add("Conv", [b.start(), w, b.bias(6)], "c", group=group, pads=[1, 1, 1, 1])
    b.finish(y)
    b.check(["QConv"])


@CODES
@pytest.mark.parametrize("activation", ["Relu", "Clip"])
@pytest.mark.parametrize("bias", [np.int32, np.float32])
def test_an_activation_before_the_codes(codes, activation, bias):
    b = Builder(["n", 3, 6, 5], code_input=codes, code_output=codes)
    w = b.weight((5, 3, 1, 1), channels=1)
    y = b.add("Conv", [b.start(), w, b.bias(5, bias)], "c")
    bounds = [b.constant("low", np.float32(-1)), b.constant("high", np.float32(2))] if activation == "Clip" else []
    b.finish(b.add(activation, [y, *bounds], "a"))
    b.check(["QConv"])


@BOTH
@pytest.mark.parametrize("bias", [np.int32, np.float32])
@pytest.mark.parametrize(("w_type", "zero"), [(np.int8, 0), (np.uint8, 77)])
@pytest.mark.parametrize("form", ["Gemm", "Gemm^T", "MatMul", "MatMul+Add"])
def test_products(dtype, form, w_type, zero, bias):
    b = Builder(["n", 4, 33] if form.startswith("MatMul") else ["n", 33], dtype)
    transposed = form == "Gemm^T"
    axis = 0 if transposed else 1
    w = b.weight((7, 33) if transposed else (33, 7), w_type, channels=1, zero=zero, axis=axis)
    x = b.start()
    if form == "MatMul":
        y = b.add("MatMul", [x, w], "p")
    elif form == "MatMul+Add":
        y = b.add("Add", [b.add("MatMul", [x, w], "p"), b.bias(7, bias)], "s")
    else:
        y = b.add("Gemm", [x, w, b.bias(7, bias)], "p", transB=int(transposed))
    b.finish(y)
    b.check(["QGemm"])


@CODES
@BOTH
@pytest.mark.parametrize("function", ["Sigmoid", "Tanh", "SiLU", "HardSwish"])
def test_functions_are_tables(dtype, codes, function):
    b = Builder(["n", 5, 7], dtype, code_input=codes, code_output=codes)
    x = b.start()
    silu = function == "SiLU"
    b.finish(b.add("Mul", [x, b.add("Sigmoid", [x], "s")], "f") if silu else b.add(function, [x], "f"))
    b.check(["QLookup"])


def move(op, outputs=1, constants=None, **attributes):
    return pytest.param(op, outputs, constants or [], attributes, id=op)


@CODES
@BOTH
@pytest.mark.parametrize("same", [True, False], ids=["same scale", "other scale"])
@pytest.mark.parametrize(
    ("op", "outputs", "constants", "attributes"),
    [
        move("Reshape", 1, [np.array([0, -1])]),
        move("Flatten"),
        move("Transpose", perm=[0, 2, 3, 1]),
        move("MaxPool", kernel_shape=[2, 2], strides=[2, 2]),
        move("Slice", 1, [np.array([1]), np.array([3]), np.array([1])]),
        move("Split", 2, [np.array([1, 3])], axis=1),
        move("Gather", 1, [np.array([2, 0])], axis=1),
        move("Unsqueeze", 1, [np.array([1])]),
        move("Pad", 1, [np.array([0, 0, 1, 1, 0, 0, 1, 1])]),
        move("DepthToSpace", blocksize=2),
        move("ReduceMax", axes=[1], keepdims=0),
        move("SpaceToDepth", blocksize=2),
        move("Tile", 1, [np.array([1, 2, 1, 1])]),
        move("Resize", 1, [np.array([], np.float32), np.array([1, 1, 2, 2], np.float32)], mode="nearest",
             coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    ],
)  # fmt: skip
def test_moves_pass_codes_on(dtype, codes, same, op, outputs, constants, attributes):
    b = Builder(["n", 4, 6, 8], dtype, code_input=codes, code_output=codes)
    names = [b.start(), *(b.constant(f"c{i}", value) for i, value in enumerate(constants))]
    made = b.add(op, names, [f"f{i}" for i in range(outputs)], **attributes)
    if same:
        scales = SCALES["y"]
        try:
            SCALES["y"] = SCALES["x"]
            b.finish(made)
            b.check([op])
        finally:
            SCALES["y"] = scales
    else:
        b.finish(made)
        b.check([op, "QLookup"])


@CODES
@BOTH
@pytest.mark.parametrize("reads", [["f0", "f1", "f2"], ["f1", "f2"], ["f2"]], ids=len)
def test_every_part_of_codes_is_read_as_real_numbers(dtype, codes, reads):
    """Parts of a Split that only products with float weights read."""
    b = Builder(["n", 6, 3, 3], dtype, code_input=codes)
    b.add("Split", [b.start(), b.constant("parts", np.array([2, 2, 2]))], ["f0", "f1", "f2"], axis=1)
    weights = b.constant("w", b.rng.standard_normal((3, 3)).astype(np.float32))
    products = [b.add("MatMul", [name, weights], f"p{name}") for name in reads]
    b.add("Sum", products, "y")
    assert {"Split", "Dequantize"} <= b.compare()


@CODES
@BOTH
@pytest.mark.parametrize("op", ["AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceMean flat"])
def test_averages(dtype, codes, op):
    b = Builder(["n", 5, 6, 8], dtype, code_input=codes, code_output=codes)
    settings = {"AveragePool": {"kernel_shape": [3, 3], "strides": [2, 2]}, "ReduceMean": {"axes": [2, 3]}}
    settings["ReduceMean flat"] = {"axes": [-1, -2], "keepdims": 0}
    b.finish(b.add(op.split()[0], [b.start()], "f", **settings.get(op, {})))
    b.check(["QAveragePool"])


@BOTH
@pytest.mark.parametrize("op", ["Conv", "AveragePool", "GlobalAveragePool", "ReduceMean", "MaxPool"])
def test_volumes(dtype, op):
    b = Builder(["n", 5, 4, 6, 5], dtype)
    if op == "Conv":
        b.finish(b.add(op, [b.start(), b.weight((6, 5, 3, 3, 3), channels=1), b.bias(6)], "f", pads=[1] * 6))
        return b.check(["QConv"])
    settings = {
        "AveragePool": {"kernel_shape": [2, 3, 3], "pads": [1, 1, 1, 0, 1, 1]},
        "ReduceMean": {"axes": [2, 3, 4]},
    }
    settings["MaxPool"] = {"kernel_shape": [2, 3, 3], "strides": [2, 2, 1]}
    b.finish(b.add(op, [b.start()], "f", **settings.get(op, {})))
    return b.check(["MaxPool", "QLookup"] if op == "MaxPool" else ["QAveragePool"])


@BOTH
def test_the_axes_of_a_mean_as_an_input(dtype):
    b = Builder(["n", 5, 6, 8], dtype)
    b.finish(b.add("ReduceMean", [b.start(), b.constant("axes", np.array([3, 2]))], "f", keepdims=0))
    b.check(["QAveragePool"], opset=18)


@CODES
@BOTH
def test_concat_of_different_scales(dtype, codes):
    b = Builder(["n", 5, 6], dtype, code_input=codes, code_output=codes)
    x = b.start()
    b.finish(b.add("Concat", [x, b.between(b.add("Sigmoid", [x], "s"))], "f", axis=1))
    b.check(["Concat", "QLookup"])


@CODES
@BOTH
@pytest.mark.parametrize(("op", "ours"), [("Add", "QAdd"), ("Mul", "QMul"), ("Sub", "QAdd")])
def test_binaries(dtype, codes, op, ours):
    b = Builder(["n", 5, 6], dtype, code_input=codes, code_output=codes)
    x = b.start()
    b.finish(b.add(op, [x, b.between(b.add("Sigmoid", [x], "s"))], "f"))
    b.check([ours, "QLookup"])


@BOTH
@pytest.mark.parametrize("w_type", [np.int8, np.uint8])
def test_nodes_of_com_microsoft(dtype, w_type):
    b = Builder(["n", 3, 6, 6], dtype)
    w = b.weight((5, 3, 3, 3), w_type, channels=1, zero=w_type(0))
    b.finish(b.add("Conv", [b.start(), w, b.bias(5)], "c"))
    plain = b.model()
    model = onnx.load_from_string(plain)
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            node.domain = "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    x = b.rng.normal(0, 2, (3, 3, 6, 6)).astype(np.float32)
    session = sanderling.Session(model.SerializeToString())
    assert session.info()["operators"]["QConv"] == 1
    np.testing.assert_array_equal(session.run(x), sanderling.Session(plain).run(x))


@BOTH
def test_codes_that_move_between_operators_of_qoperator_form(dtype):
    """QLinearConv, MaxPool and Flatten of its codes, QLinearMatMul: as ONNX Runtime's QOperator format has it."""
    b = Builder(["n", 3, 6, 6], dtype, code_input=True, code_output=True)
    x = b.parameters("x", *SCALES["x"])
    m, y = b.parameters("m", *SCALES["m"]), b.parameters("y", *SCALES["y"])
    w = b.rng.integers(-127, 127, (4, 3, 3, 3)).astype(np.int8)
    v = b.rng.integers(-127, 127, (16, 5)).astype(np.int8)
    weights = [b.constant("w", w), b.constant("w_s", np.float32(0.003)), b.constant("w_z", np.int8(0))]
    products = [b.constant("v", v), b.constant("v_s", np.float32(0.004)), b.constant("v_z", np.int8(0))]
    b.add("QLinearConv", ["xq", *x, *weights, *m], "c")
    b.add("MaxPool", ["c"], "p", kernel_shape=[2, 2], strides=[2, 2])
    b.add("Flatten", ["p"], "f")
    b.add("QLinearMatMul", ["f", *m, *products, *y], "yq")
    data = b.model()
    operators = set(sanderling.Session(data).info()["operators"])
    assert {"QConv", "MaxPool", "QGemm"} <= operators
    assert operators <= {"QConv", "MaxPool", "QGemm", "Flatten", "Transpose", "Identity", "QLookup"}
    info = np.iinfo(dtype)
    codes = b.rng.integers(info.min, info.max, (3, 3, 6, 6), dtype, endpoint=True)
    zeros = {name: int(b.constants[f"{name}_z"]) for name in "xmy"}
    image = np.lib.stride_tricks.sliding_window_view(codes.astype(np.int64) - zeros["x"], (3, 3), (2, 3))
    sums = np.einsum("nchwij,ocij->nohw", image, w.astype(np.int64))
    scale = np.float32(np.float64(b.constants["x_s"]) * b.constants["w_s"] / np.float64(b.constants["m_s"]))
    c = np.clip(np.rint(sums.astype(np.float32) * scale) + zeros["m"], info.min, info.max)
    p = c.reshape(3, 4, 2, 2, 2, 2).max((3, 5)).reshape(3, -1)
    sums = (p.astype(np.int64) - zeros["m"]) @ v.astype(np.int64)
    scale = np.float32(np.float64(b.constants["m_s"]) * b.constants["v_s"] / np.float64(b.constants["y_s"]))
    expected = np.clip(np.rint(sums.astype(np.float32) * scale) + zeros["y"], info.min, info.max).astype(dtype)
    model = _core.Model(data)
    for isa in ["reference", *_core.runnable_isas()]:
        np.testing.assert_array_equal(_core.Session(model, isa=isa).run([codes])[0], expected, err_msg=isa)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("channels", [False, True])
@pytest.mark.parametrize("weights", [QuantType.QUInt8, QuantType.QInt8])
def test_dynamic_quantization(tmp_path, weights, channels):
    """ONNX Runtime's quantize_dynamic: DynamicQuantizeLinear, MatMulInteger or ConvInteger, Cast, Mul."""
    rng = np.random.default_rng(0)
    constants = {"w": rng.normal(0, 0.3, (4, 3, 3, 3)), "v": rng.normal(0, 0.1, (144, 7)), "b": rng.normal(0, 1, 7)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Flatten", ["r"], ["f"]),
        helper.make_node("MatMul", ["f", "v"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "dynamic",
        [helper.make_tensor_value_info("x", 1, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", 1, ["n", 7])],
        [numpy_helper.from_array(a.astype(np.float32), n) for n, a in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "f.onnx")
    quantize_dynamic(tmp_path / "f.onnx", tmp_path / "q.onnx", weight_type=weights, per_channel=channels)
    data = (tmp_path / "q.onnx").read_bytes()
    x = rng.normal(0, 1, (3, 3, 8, 8)).astype(np.float32)
    session = sanderling.Session(data)
    ours = session.run(x)
    operators = session.info()["operators"]
    assert operators["com.microsoft.MatMulIntegerToFloat"] == operators["ConvInteger"] == 1
    assert "MatMulInteger" not in operators
    assert operators.get("Add", 0) == 0  # the bias is in the product
    real = ort.InferenceSession((tmp_path / "f.onnx").read_bytes(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(ours, real.run(None, {"x": x})[0], atol=0.15)
    if weights == QuantType.QUInt8:  # the others saturate in ONNX Runtime on a host without VNNI
        theirs = ort.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    model = _core.Model(data)
    for isa in ["reference", *_core.runnable_isas()]:
        np.testing.assert_allclose(_core.Session(model, isa=isa).run([x])[0], ours, atol=1e-5)
