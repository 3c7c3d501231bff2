"""What each exporter writes for one quantized layer: it runs in integers, and gives what literal QDQ gives."""

import numpy as np
import pytest
from qdq_builder import BOTH, SCALES, Builder

from onnx import TensorProto, helper


def trained_weight(b, shape, axis, *, codes=None, folded_clip=False):
    """Q-DQ of float weights, symmetric per output channel, as NNCF, TensorRT and PyTorch's QAT leave them."""
    real = b.rng.normal(0, 0.1, shape).astype(np.float32)
    other = tuple(i for i in range(len(shape)) if i != axis)
    names = [
        b.constant("w_f", real),
        b.constant("w_s", (np.abs(real).max(other) / 127).astype(np.float32)),
        b.constant("w_z", np.zeros(shape[axis], np.int8)),
    ]
    q = b.add("QuantizeLinear", names, "w_q", axis=axis)
    if folded_clip:
        q = b.add("Clip", [q, b.constant("w_low", np.int8(-127)), b.constant("w_high", np.int8(127))], "w_c")
    return b.add("DequantizeLinear", [q, *names[1:]], "w", axis=axis)


def again(b, real, name, count):
    """`count` pairs of Q and DQ with the same numbers, one for each reader."""
    results = []
    for i in range(count):
        b.quantize(real, name, *SCALES[name])
        b.nodes[-1].output[0] = f"{name}q{i}"
        results.append(b.add("DequantizeLinear", [f"{name}q{i}", f"{name}_s", f"{name}_z"], f"{name}_r{i}"))
    return results


@BOTH
def test_qat_of_pytorch_with_a_reduced_range(dtype):
    """torch.onnx.export of FakeQuantize: codes 0 to 127 by a Clip between Q and DQ; weights likewise."""
    b = Builder(["n", 3, 8, 8], dtype)
    low, high = (0, 127) if dtype == np.uint8 else (-64, 63)
    bounds = [b.constant("low", np.array(low, dtype)), b.constant("high", np.array(high, dtype))]

    def narrow(real, name):
        b.quantize(real, name, *SCALES[name])
        clipped = b.add("Clip", [f"{name}q", *bounds], f"{name}c")
        return b.add("DequantizeLinear", [clipped, f"{name}_s", f"{name}_z"], f"{name}_r")

    w = trained_weight(b, (6, 3, 3, 3), 0, folded_clip=True)
    c = b.add("Conv", [narrow("x", "x"), w, b.bias(6, np.float32)], "c")
    m = narrow(b.add("Relu", [c], "r"), "m")
    b.add("Identity", [narrow(b.add("Sigmoid", [m], "s"), "y")], "y")
    b.check(["QConv", "QLookup"])


@BOTH
def test_linear_layers_of_pt2e(dtype):
    """int8 weights with a DequantizeLinear per row, then Transpose; a pair of Q and DQ for each reader."""
    b = Builder(["n", 5, 16], dtype)
    first, second = again(b, "x", "x", 2)
    w = b.weight((7, 16), channels=1)
    turned = b.add("Transpose", [w], "w_t", perm=[1, 0])
    y = b.add("Add", [b.add("MatMul", [first, turned], "p"), b.bias(7, np.float32)], "s")
    ends = [b.constant(n, np.array([v])) for n, v in (("from", 0), ("to", 7), ("axis", 2))]
    residual = b.add("Slice", [second, *ends], "t")
    m = b.between(y)
    b.finish(b.add("Add", [m, residual], "sum"))
    b.check(["QGemm", "QAdd", "Slice"])


@BOTH
@pytest.mark.parametrize("depthwise", [False, True])
def test_nncf(dtype, depthwise):
    """Q-DQ on float weights that are then reshaped; the input of two branches is quantized in each of them."""
    b = Builder(["n", 4, 6, 6], dtype)
    left, right = again(b, "x", "x", 2)
    w = trained_weight(b, (4, 1 if depthwise else 4, 9), 0)
    w = b.add("Reshape", [w, b.constant("kernel", np.array([4, 1 if depthwise else 4, 3, 3]))], "w4")
    c = b.add("Conv", [left, w, b.bias(4, np.float32)], "c", pads=[1, 1, 1, 1], group=4 if depthwise else 1)
    m = b.between(b.add("Relu", [c], "r"))
    b.finish(b.add("Add", [m, b.add("MaxPool", [right], "p", kernel_shape=[3, 3], pads=[1, 1, 1, 1])], "sum"))
    b.check(["QConv", "QAdd", "MaxPool"])


@pytest.mark.parametrize("bias", [False, True])
def test_tensorrt(bias):
    """Symmetric int8, Q and DQ at the inputs of convolutions only, and on the residual but not on the sum."""
    scales = dict(SCALES)
    try:
        SCALES.update({name: (scale, 128) for name, (scale, _) in scales.items()})
        b = Builder(["n", 4, 6, 6], np.int8)
        real = trained_weight(b, (4, 4, 3, 3), 0)
        left, right = again(b, "x", "x", 2)
        inputs = [left, real, *([b.constant("b", b.rng.normal(0, 1, 4).astype(np.float32))] if bias else [])]
        summed = b.add("Add", [b.add("Conv", inputs, "c", pads=[1, 1, 1, 1]), right], "sum")
        b.finish(b.add("Relu", [summed], "r"))
        operators = b.compare()
    finally:
        SCALES.update(scales)
    assert {"QConv", "Quantize"} <= operators
    assert "Conv" not in operators


def test_a_convolution_that_no_codes_follow_takes_its_relu():
    b = Builder(["n", 3, 6, 6])
    w = b.weight((5, 3, 3, 3), channels=1)
    b.add("Relu", [b.add("Conv", [b.start(), w, b.bias(5)], "c")], "y")
    operators = b.compare()
    assert operators == {"Quantize", "QConv", "Transpose"}


@BOTH
@pytest.mark.parametrize("depthwise", [False, True])
def test_tflite_by_tf2onnx(dtype, depthwise):
    """NHWC between transposes, weights OHWI or 1HWC with theirs, int32 bias, Relu6 as the range of the codes."""
    b = Builder(["n", 8, 7, 4], dtype)
    x = b.add("Transpose", [b.start()], "x_t", perm=[0, 3, 1, 2])
    if depthwise:
        w = b.weight((1, 3, 3, 4), np.int8 if dtype == np.int8 else np.uint8, zero=3, axis=3)
        w = b.add("Reshape", [w, b.constant("kernel", np.array([3, 3, 4, 1]))], "w4")
        w = b.add("Transpose", [w], "w_t", perm=[2, 3, 0, 1])
    else:
        w = b.weight((4, 3, 3, 4), np.int8 if dtype == np.int8 else np.uint8, zero=0 if dtype == np.int8 else 99)
        w = b.add("Transpose", [w], "w_t", perm=[0, 3, 1, 2])
    c = b.add("Conv", [x, w, b.bias(4)], "c", auto_pad="SAME_UPPER", strides=[2, 2], group=4 if depthwise else 1)
    scale = SCALES["y"]
    try:
        SCALES["y"] = (6 / 255, 0)
        b.finish(b.add("Transpose", [c], "y_t", perm=[0, 2, 3, 1]))
        b.check(["QConv"])
        operators = b.compare()
    finally:
        SCALES["y"] = scale
    assert "Transpose" not in operators  # NHWC is what the kernels read


@BOTH
@pytest.mark.parametrize(
    "move", ["Reshape", "Transpose", "Flatten", "MaxPool", "Slice", "Relu Reshape", "Reshape Relu"]
)
def test_codes_that_come_after_a_movement(dtype, move):
    """NNCF and others quantize what a layer gives only behind the Reshape or pool that follows it."""
    b = Builder(["n", 4, 6, 6], dtype)
    y = b.add("Conv", [b.start(), b.weight((4, 4, 3, 3), channels=1), b.bias(4)], "c", pads=[1, 1, 1, 1])
    constants = {"Reshape": [np.array([0, 2, -1])], "Slice": [np.array([1]), np.array([5]), np.array([2])]}
    settings = {"Transpose": {"perm": [0, 2, 1, 3]}, "MaxPool": {"kernel_shape": [2, 2], "strides": [2, 2]}}
    for i, op in enumerate(move.split()):
        names = [b.constant(f"m{i}{j}", value) for j, value in enumerate(constants.get(op, []))]
        y = b.add(op, [y, *names], f"move{i}", **settings.get(op, {}))
    b.finish(y)
    b.check(["QConv"])


@BOTH
def test_layers_that_are_concatenated_before_their_codes(dtype):
    b = Builder(["n", 4, 6, 6], dtype)
    x = b.start()
    w = b.weight((4, 4, 1, 1), channels=1)
    pooled = b.add("MaxPool", [b.add("Conv", [x, w, b.bias(4)], "c")], "p", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    relu = b.add("Relu", [b.add("Conv", [x, w], "d")], "r")
    b.finish(b.add("Concat", [pooled, relu, x, b.add("Sigmoid", [x], "s")], "cat", axis=1))
    b.check(["QConv", "Concat", "QLookup"])


def test_a_long_chain_of_movements():
    b = Builder(["n", 4, 6])
    y = b.add("MatMul", [b.start(), b.weight((6, 5), channels=1, axis=1)], "c")
    for i in range(500):
        y = b.add("Transpose", [y], f"t{i}", perm=[0, 2, 1])
    b.finish(y)
    assert "QGemm" in b.compare()


UP = [
    ((2, 2), {"strides": [2, 2]}),  # a U-Net's
    ((4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ((3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
    ((3, 3), {"strides": [2, 2]}),
    ((5, 4), {"strides": [2, 2], "pads": [3, 0, 2, 2]}),
    ((3, 3), {"pads": [1, 1, 1, 1]}),  # stride 1
    ((4, 5), {"strides": [3, 3], "pads": [0, 1, 3, 2], "output_padding": [2, 0]}),
    ((6, 6), {"strides": [4, 4], "auto_pad": "VALID"}),
    ((3,), {"strides": [2], "pads": [1, 0], "output_padding": [1]}),
    ((8,), {"strides": [4], "pads": [2, 2]}),
]


@BOTH
@pytest.mark.parametrize(("kernel", "settings"), UP, ids=[str(i) for i in range(len(UP))])
@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize(("w_type", "zero"), [(np.int8, 0), (np.uint8, 77)])
def test_transposed_convolutions(dtype, kernel, settings, group, w_type, zero):
    b = Builder(["n", 6, *([5, 7] if len(kernel) == 2 else [7])], dtype)
    w = b.weight((6, 5, *kernel), w_type, channels=1, zero=zero, axis=1)
    bias = b.bias(5) if group == 1 else b.bias(10, np.float32)
    y = b.add("ConvTranspose", [b.start(), w, bias], "c", group=group, **settings)
    b.finish(b.add("Relu", [y], "r"))
    b.check(["QConv"])


def test_a_transposed_convolution_that_no_codes_follow():
    b = Builder(["n", 6, 5, 7])
    w = b.weight((6, 5, 2, 2), channels=1, axis=1)
    b.add("ConvTranspose", [b.start(), w, b.bias(5)], "y", strides=[2, 2])
    operators = b.compare()
    assert "QConv" in operators
    assert "ConvTranspose" not in operators


@pytest.mark.parametrize(
    "settings",
    [
        {"strides": [2, 1]},
        {"dilations": [2, 2]},
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"strides": [2, 2], "output_shape": [10, 14]},
        {"strides": [8, 8]},
    ],
    ids=str,
)
def test_transposed_convolutions_without_phases_stay_in_float(settings):
    b = Builder(["n", 6, 5, 7])
    w = b.weight((6, 5, 3, 3), channels=1, axis=1)
    b.finish(b.add("ConvTranspose", [b.start(), w, b.bias(5)], "c", **settings))
    assert "ConvTranspose" in b.compare()


@pytest.mark.parametrize("codes", ["int4", "uint4"])
def test_weights_of_4_bits(codes):
    b = Builder(["n", 4, 6, 6])
    w = b.weight((5, 4, 3, 3), channels=1)
    dtype = helper.tensor_dtype_to_np_dtype(TensorProto.INT4 if codes == "int4" else TensorProto.UINT4)
    low, high = (-8, 7) if codes == "int4" else (0, 15)
    b.constants["w_q"] = b.rng.integers(low, high, (5, 4, 3, 3), endpoint=True).astype(dtype)
    b.constants["w_z"] = np.full(5, 0 if codes == "int4" else 7, dtype)
    b.constants["w_s"] *= 16
    b.finish(b.add("Conv", [b.start(), w, b.bias(5)], "c"))
    b.check(["QConv"], opset=21)


@BOTH
def test_attention(dtype):
    """Both products of attention are of activations; what is between them is in float, as the file says."""
    b = Builder(["n", 2, 9, 16], dtype)
    x = b.start()
    keys = b.add("Transpose", [b.between(b.add("Tanh", [x], "t"))], "k", perm=[0, 1, 3, 2])
    scores = b.add("Softmax", [b.add("MatMul", [x, keys], "scores")], "p", axis=-1)
    b.quantize(scores, "p", 1 / 255, 0)
    b.finish(b.add("MatMul", [b.dequantize("p"), x], "a"))
    operators = b.compare()
    assert "QMatMul" in operators
    assert "MatMul" not in operators


@BOTH
@pytest.mark.parametrize("reshape", ["Squeeze", "Unsqueeze", "Flatten", "Identity"])
def test_weights_that_move_after_their_dequantize_linear(dtype, reshape):
    b = Builder(["n", 12], dtype)
    shapes = {"Squeeze": (7, 1, 12), "Unsqueeze": (12,), "Flatten": (7, 3, 4), "Identity": (7, 12)}
    w = b.weight(shapes[reshape], channels=len(shapes[reshape]) > 1)
    axes = (
        [b.constant("axes", np.array([{"Squeeze": 1, "Unsqueeze": 0}[reshape]]))]
        if "squeeze" in reshape.lower()
        else []
    )
    w = b.add(reshape, [w, *axes], "w2")
    b.finish(b.add("Gemm", [b.start(), w], "g", transB=1))
    b.check(["QGemm"])


def test_weights_whose_channels_are_taken_apart_stay_right():
    b = Builder(["n", 14])
    w = b.add("Reshape", [b.weight((14, 6), channels=1), b.constant("s", np.array([6, 14]))], "w2")
    b.finish(b.add("Gemm", [b.start(), w], "g", transB=1))
    assert "Gemm" in b.compare()


@BOTH
@pytest.mark.parametrize("bias", [None, np.int32, np.float32, "scalar"])
@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 1.0), (1.0, 0.25), (2.0, 3.0), (1.0, 0.0)])
def test_gemm_with_factors(dtype, bias, alpha, beta):
    b = Builder([5, 33], dtype)
    w = b.weight((7, 33), channels=1)
    c = [] if bias is None else [b.constant("c", np.float32(0.7)) if bias == "scalar" else b.bias(7, bias)]
    y = b.add("Gemm", [b.start(), w, *c], "g", transB=1, alpha=alpha, beta=beta)
    b.finish(y)
    b.check(["QGemm"])


@BOTH
@pytest.mark.parametrize("alpha", [1.0, 1.5])
def test_gemm_of_a_transposed_input(dtype, alpha):
    b = Builder([33, 5], dtype)
    w = b.weight((33, 7), channels=1, axis=1)
    b.finish(b.add("Gemm", [b.start(), w, b.bias(7)], "g", transA=1, alpha=alpha))
    b.check(["QGemm"])


@pytest.mark.parametrize("alpha", [-1.0, 0.0])
def test_gemm_with_a_factor_that_is_no_scale_stays_in_float(alpha):
    b = Builder([5, 33])
    w = b.weight((7, 33), channels=1)
    b.finish(b.add("Gemm", [b.start(), w, b.bias(7)], "g", transB=1, alpha=alpha))
    assert "Gemm" in b.compare()


@BOTH
@pytest.mark.parametrize(
    ("codes", "scale", "zero"),
    [
        (np.int32, "own", None),  # another scale than x_scale * w_scale
        (np.int32, "own", 0),
        (np.int32, "one", None),  # one scale for all channels
        (np.int8, "own", 3),  # a bias of 8 bits, with a zero point
        (np.uint8, "one", 120),
    ],
)
def test_a_bias_with_numbers_of_its_own(dtype, codes, scale, zero):
    b = Builder(["n", 3, 6, 6], dtype)
    w = b.weight((5, 3, 3, 3), channels=1)
    info = np.iinfo(codes)
    values = b.rng.integers(max(info.min, -500), min(info.max, 500), 5).astype(codes)
    scales = b.rng.uniform(0.001, 0.003, 5 if scale == "own" else ()).astype(np.float32)
    names = [b.constant("b_q", values), b.constant("b_s", scales)]
    if zero is not None:
        names.append(b.constant("b_z", np.full(scales.shape, zero, codes)))
    b.finish(b.add("Conv", [b.start(), w, b.add("DequantizeLinear", names, "b", axis=0)], "c"))
    b.check(["QConv"])


@BOTH
@pytest.mark.parametrize("w_type", [np.int8, np.uint8])
@pytest.mark.parametrize("op", ["Conv", "Gemm"])
def test_a_zero_point_per_channel(dtype, w_type, op):
    shape = (6, 4, 3, 3) if op == "Conv" else (6, 4)
    b = Builder(["n", 4, 6, 6] if op == "Conv" else ["n", 4], dtype)
    w = b.weight(shape, w_type, channels=1)
    info = np.iinfo(w_type)
    b.constants["w_z"] = b.rng.integers(info.min, info.max, 6, w_type)
    b.finish(b.add(op, [b.start(), w, b.bias(6)], "c", **({"transB": 1} if op == "Gemm" else {})))
    b.check([f"Q{op}"])


@BOTH
def test_one_dequantize_linear_for_several_readers(dtype):
    b = Builder(["n", 4, 6, 6], dtype)
    x = b.start()
    w = b.weight((4, 4, 1, 1), channels=1)
    first = b.between(b.add("Conv", [x, w], "c"))
    second = b.add("Conv", [first, w], "d")  # the same weights twice
    b.quantize(second, "e", 0.07, 111)
    sums = b.add("Add", [b.dequantize("e"), first], "sum")
    b.finish(b.add("Relu", [sums], "r"))
    operators = b.compare()
    assert "QConv" in operators
    # The sum is a part of the convolution before it.
    assert not {"Conv", "Add", "QAdd", "Relu"} & operators


WIDE = [("uint16", "com.microsoft", 17), ("int16", "com.microsoft", 17), ("uint16", "", 21), ("int16", "", 21)]


@pytest.mark.parametrize(("codes", "domain", "opset"), WIDE)
@pytest.mark.parametrize("op", ["Conv", "MatMul", "Add", "Sigmoid", "MaxPool", "Concat"])
def test_activations_of_16_bits(codes, domain, opset, op):
    """Layers whose codes are wider than a byte stay in float: not a step is lost."""
    b = Builder(["n", 4, 6, 6], np.dtype(codes))
    zero = 0 if codes == "int16" else 32000
    wide = {"x": (0.0003, zero), "m": (0.0004, zero), "y": (0.0005, zero)}
    scales = dict(SCALES)
    try:
        SCALES.update(wide)
        x = b.start()
        if op == "Conv":
            y = b.add(op, [x, b.weight((5, 4, 3, 3), channels=1), b.bias(5)], "f")
        elif op == "MatMul":
            y = b.add(op, [x, b.weight((6, 3), channels=1, axis=1)], "f")
        elif op in ("Add", "Concat"):
            y = b.add(op, [x, b.between(b.add("Tanh", [x], "t"))], "f", **({"axis": 1} if op == "Concat" else {}))
        else:
            y = b.add(op, [x], "f", **({"kernel_shape": [2, 2]} if op == "MaxPool" else {}))
        b.finish(y)
        for node in b.nodes:
            if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                node.domain = domain
        b.compare(opset=opset)
    finally:
        SCALES.update(scales)


@BOTH
def test_16_bits_beside_8(dtype):
    """A sum in 16 bits between layers of 8 bits: only the sum is in float."""
    b = Builder(["n", 4, 6, 6], dtype)
    c = b.add("Conv", [b.start(), b.weight((4, 4, 1, 1), channels=1), b.bias(4)], "c")
    scale, zero = b.constant("s16", np.float32(0.0005)), b.constant("z16", np.uint16(30000))
    q = b.add("QuantizeLinear", [c, scale, zero], "q16")
    r = b.add("DequantizeLinear", [q, scale, zero], "r16")
    b.finish(b.add("Add", [r, "x_r"], "sum"))
    operators = b.compare(opset=21)
    assert "QConv" in operators
    assert "Conv" not in operators
