"""The passes as a whole: QDQ models of another quantizer run in integers and give what literal QDQ gives."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

import onnx
import sanderling
from onnx import TensorProto, helper, numpy_helper
from sanderling import _core

INTEGER = {"QConv", "QGemm", "QAdd", "QMul", "QLookup", "QAveragePool"}


def weight(rng, name, *shape):
    fan_in = int(np.prod(shape[1:]))
    return numpy_helper.from_array((rng.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32), name)


def network(seed=0, channels=13, normalized=True):
    """Convolutions of all kinds, a residual, a concat, pools, a gate, a classifier; odd channel counts on purpose."""
    rng = np.random.default_rng(seed)
    c = channels
    initializers = [
        weight(rng, "w0", c, 3, 3, 3),
        weight(rng, "w1", c, 1, 3, 3),
        weight(rng, "w2", c, c, 1, 1),
        weight(rng, "w3", 2 * c, c, 3, 3),
        weight(rng, "w4", 5, 4 * c),
        *(
            numpy_helper.from_array(rng.standard_normal(n).astype(np.float32) * 0.1, f"b{i}")
            for i, n in enumerate([c, c, c, 2 * c, 5])
        ),
        *(
            numpy_helper.from_array(v.astype(np.float32), n)
            for n, v in {
                "gamma": rng.uniform(0.5, 1.5, c),
                "beta": rng.standard_normal(c) * 0.1,
                "mean": rng.standard_normal(c) * 0.1,
                "var": rng.uniform(0.5, 1.5, c),
            }.items()
        ),
        numpy_helper.from_array(np.float32(0), "low"),
        numpy_helper.from_array(np.float32(6), "high"),
    ]
    n = helper.make_node
    nodes = [
        n("Conv", ["x", "w0", "b0"], ["c0"], pads=[1, 1, 1, 1], strides=[2, 2]),
        *([n("BatchNormalization", ["c0", "gamma", "beta", "mean", "var"], ["n0"])] if normalized else []),
        n("Relu", ["n0" if normalized else "c0"], ["r0"]),
        n("Conv", ["r0", "w1", "b1"], ["c1"], group=c, pads=[1, 1, 1, 1]),
        n("Clip", ["c1", "low", "high"], ["r1"]),
        n("Conv", ["r1", "w2", "b2"], ["c2"]),
        n("Add", ["c2", "r0"], ["s"]),
        n("Relu", ["s"], ["rs"]),
        n("MaxPool", ["rs"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
        n("Conv", ["m", "w3", "b3"], ["c3"], pads=[2, 2, 2, 2], dilations=[2, 2]),
        n("Sigmoid", ["c3"], ["g"]),
        n("Mul", ["c3", "g"], ["silu"]),
        n("AveragePool", ["silu"], ["a"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        n("Concat", ["silu", "a"], ["cat"], axis=1),
        n("GlobalAveragePool", ["cat"], ["gap"]),
        n("Flatten", ["gap"], ["flat"]),
        n("Gemm", ["flat", "w4", "b4"], ["logits"], transB=1),
        n("Softmax", ["logits"], ["y"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


class Rows(CalibrationDataReader):
    def __init__(self, rows):
        self.batches = iter([{"x": row[None]} for row in rows])

    def get_next(self):
        return next(self.batches, None)


KINDS = ["u8s8", "u8s8-channels", "u8u8", "u8u8-channels", "s8s8", "s8s8-channels"]


@pytest.fixture(scope="module", params=[f"{form}-{kind}" for form in ("QDQ", "QOperator") for kind in KINDS])
def quantized(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    form, kind, *channels = request.param.split("-")
    kinds = {"u8": QuantType.QUInt8, "s8": QuantType.QInt8}
    rows = np.random.default_rng(1).standard_normal((32, 3, 16, 16)).astype(np.float32)
    onnx.save(network(normalized=False), folder / "float.onnx")
    quantize_static(
        folder / "float.onnx",
        folder / "int8.onnx",
        Rows(rows),
        quant_format=QuantFormat[form],
        per_channel=bool(channels),
        activation_type=kinds[kind[:2]],
        weight_type=kinds[kind[2:]],
    )
    return request.param, (folder / "int8.onnx").read_bytes()


def saturates(kind):
    """ONNX Runtime's integer kernels of uint8 by int8 add pairs in int16 on a host without VNNI."""
    cpus = Path("/proc/cpuinfo")
    return kind.startswith("QOperator") and "u8u8" not in kind and "avx512_vnni" not in cpus.read_text()


def literal(data, x):
    """ONNX Runtime without its fusions: DequantizeLinear, the float operator, QuantizeLinear, as the file says."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


@pytest.mark.filterwarnings("ignore")
def test_a_quantized_network_runs_in_integers(quantized):
    operators = sanderling.Session(quantized[1]).info()["operators"]
    moves = {"MaxPool", "Concat", "Flatten", "Transpose"}
    assert set(operators) <= INTEGER | moves | {"Quantize", "Dequantize", "Softmax"}
    assert operators["QConv"] == 4
    assert operators["QGemm"] == 1
    assert operators["Quantize"] == 2  # the image, and the probabilities that this quantizer brings to codes and back


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("batch", [1, 3, 8])
def test_it_gives_what_literal_qdq_gives(quantized, batch):
    x = np.random.default_rng(batch).standard_normal((batch, 3, 16, 16)).astype(np.float32)
    if saturates(quantized[0]):
        pytest.skip("ONNX Runtime saturates here")
    ours, theirs = sanderling.Session(quantized[1]).run(x), literal(quantized[1], x)
    # One step of the logits' scale moves a probability by about its share; layers differ in rare ties only.
    assert np.abs(ours - theirs).max() < 0.02
    assert (ours.argmax(1) == theirs.argmax(1)).all()


@pytest.mark.filterwarnings("ignore")
def test_every_isa_gives_the_same_bits(quantized):
    x = np.random.default_rng(5).standard_normal((3, 3, 16, 16)).astype(np.float32)
    model = _core.Model(quantized[1])
    outputs = {isa: _core.Session(model, isa=isa).run([x])[0] for isa in [*_core.runnable_isas(), "reference"]}
    for isa, output in outputs.items():
        np.testing.assert_array_equal(output, outputs["scalar"], err_msg=isa)


def test_the_float_network_keeps_its_layout_inside():
    """Two transposes at most: in for the image, and out of the last spatial layer."""
    data = network().SerializeToString()
    session = sanderling.Session(data)
    operators = session.info()["operators"]
    assert operators.get("Transpose", 0) <= 2
    # All are in their convolutions, one with the residual before it.
    assert not {"Add", "Relu", "Clip", "BatchNormalization"} & set(operators)
    x = np.random.default_rng(2).standard_normal((3, 3, 16, 16)).astype(np.float32)
    np.testing.assert_allclose(session.run(x), literal(data, x), atol=1e-5)
