"""The result of `sanderling.quantize`: standard QDQ, right on two engines, small, and honest in its report."""

import json
import os

import numpy as np
import onnxruntime as ort
import pytest
from tests.quantize.networks import Builder, constants, decibels, literal, operators, residual, rows_of, session_of

import onnx
import sanderling
from onnx import numpy_helper
from sanderling.errors import InputError, UnsupportedError


@pytest.fixture(scope="module")
def float_model():
    return residual()


@pytest.fixture(scope="module")
def rows():
    return rows_of([3, 12, 12])


@pytest.fixture(scope="module")
def qmodel(float_model, rows):
    return sanderling.quantize(float_model, rows)


def test_the_result_is_sound_onnx(qmodel, float_model):
    model = onnx.load_from_string(qmodel.bytes)
    onnx.checker.check_model(model, full_check=True)
    before = onnx.load_from_string(float_model)
    assert list(model.graph.input) == list(before.graph.input)
    assert list(model.graph.output) == list(before.graph.output)
    assert isinstance(qmodel, sanderling.Model)


def test_weights_biases_and_zero_points(qmodel):
    model = onnx.load_from_string(qmodel.bytes)
    values = constants(qmodel.bytes)
    made = {node.output[0]: node for node in model.graph.node}
    products = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(products) == 6
    for node in products:
        x, w, b = (made[name] for name in node.input)
        assert {x.op_type, w.op_type, b.op_type} == {"DequantizeLinear"}
        weights, w_scale, w_zero = (values[name] for name in w.input)
        assert weights.dtype == np.int8
        assert w_scale.shape == w_zero.shape == weights.shape[:1]
        assert w_zero.dtype == np.int8
        assert not w_zero.any()
        assert weights.min() >= -127
        x_scale, x_zero = values[x.input[1]], values[x.input[2]]
        assert (x_scale.dtype, x_zero.dtype, x_scale.shape) == (np.float32, np.uint8, ())
        bias, b_scale = (values[name] for name in b.input)
        assert bias.dtype == np.int32
        np.testing.assert_allclose(b_scale, x_scale.astype(np.float64) * w_scale, rtol=1e-7)


def test_movements_and_concat_share_codes(qmodel):
    values = constants(qmodel.bytes)
    quantizers = [node for node in onnx.load_from_string(qmodel.bytes).graph.node if node.op_type == "QuantizeLinear"]
    codes = {node.input[0]: (values[node.input[1]].item(), values[node.input[2]].item()) for node in quantizers}
    assert codes["total"] == codes["pooled"]
    assert codes["mean"] == codes["flat"]
    assert codes["gated"] == codes["average"] == codes["both"]
    assert (
        len({codes[name] for name in ("x", "stem", "deep", "grouped", "total", "wide", "gated", "narrow", "squeezed")})
        == 9
    )


def test_activations_are_fused_before_their_codes(qmodel):
    """The tensors before a Relu, and inside x * sigmoid(x), have no codes of their own."""
    quantized = {n.input[0] for n in onnx.load_from_string(qmodel.bytes).graph.node if n.op_type == "QuantizeLinear"}
    assert quantized == set(
        [
            "x",
            "stem",
            "deep",
            "grouped",
            "total",
            "pooled",
            "wide",
            "gated",
            "average",
            "both",
            "narrow",
            "squeezed",
            "mean",
            "flat",
        ]
    )
    assert not operators(qmodel.bytes).keys() & {"BatchNormalization"}
    report = {layer.operator for layer in qmodel.report.layers}
    assert {"Conv+Relu", "Add+Relu", "Sigmoid+Mul", "Conv", "Gemm", "Concat", "Tanh", "AveragePool"} <= report


def test_the_last_product_and_what_follows_stay_float(qmodel):
    model = onnx.load_from_string(qmodel.bytes)
    made = {node.output[0]: node.op_type for node in model.graph.node}
    assert made["logits"] == "Gemm"
    assert made["y"] == "Softmax"
    layers = {layer.name: layer for layer in qmodel.report.layers}
    assert layers["logits"].dtype == "int8"
    assert layers["y"].dtype == "float32"
    assert layers["y"].why == "Softmax has no int8 form"


def test_native_runs_it_in_integers(qmodel):
    run = sanderling.Session(qmodel).info()["operators"]
    assert run["QConv"] == 5
    assert run["QGemm"] == 1
    assert run["Quantize"] == 1
    assert not run.keys() & {"Conv", "Gemm", "Dequantize", "Mul", "Add", "Tanh", "AveragePool", "GlobalAveragePool"}


@pytest.mark.parametrize("seed", range(4))
def test_native_and_literal_agree_and_both_are_near_float(seed):
    data, x = residual(seed), rows_of([3, 12, 12], seed=seed + 10)
    quantized = sanderling.quantize(data, rows_of([3, 12, 12], seed=seed))
    ours = sanderling.Session(quantized).run({"x": x})
    theirs, real = literal(quantized.bytes, x), literal(data, x)
    for name in ("logits", "y"):
        assert decibels(real[name], ours[name]) > 25
        # They differ where a value is within float rounding of a tie, which is rare: far less than quantizing costs.
        assert decibels(theirs[name], ours[name]) > decibels(real[name], ours[name]) + 8
    assert (ours["logits"].argmax(1) == real["logits"].argmax(1)).mean() > 0.9


def test_onnx_runtime_fuses_it(qmodel, tmp_path):
    session_of(qmodel.bytes, ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED, tmp_path / "fused.onnx")
    counts = operators((tmp_path / "fused.onnx").read_bytes())
    assert counts["QLinearConv"] == 5
    assert counts["QGemm"] == 1
    assert counts["QLinearAdd"] == 1
    assert counts["QLinearConcat"] == 1
    assert "Conv" not in counts


def test_weights_dominate_the_size():
    b = Builder([256])
    b.gemm(b.add("Relu", b.gemm("x", 256, 512)), 512, 64, output="y")
    data = b.model("y")
    quantized = sanderling.quantize(data, rows_of([256]))
    assert len(quantized.bytes) < 0.3 * len(data)
    assert (quantized.report.bytes_before, quantized.report.bytes_after) == (len(data), len(quantized.bytes))


def test_the_same_rows_give_the_same_bytes(float_model, rows, qmodel):
    assert sanderling.quantize(float_model, rows).bytes == qmodel.bytes
    assert sanderling.quantize(float_model, {"x": rows}).bytes == qmodel.bytes
    # Neither the order of the rows nor how they are cut into batches can matter; the float sums may round differently.
    batches = (rows[::-1][i : i + 7] for i in range(0, len(rows), 7))
    again = sanderling.quantize(float_model, batches)
    ours, theirs = sanderling.Session(again).run({"x": rows}), sanderling.Session(qmodel).run({"x": rows})
    assert decibels(theirs["logits"], ours["logits"]) > 30


def test_quantizing_twice_is_refused(qmodel, rows):
    with pytest.raises(InputError, match="quantized already: it has DequantizeLinear, QuantizeLinear"):
        sanderling.quantize(qmodel, rows)


def test_a_model_without_products_is_refused():
    b = Builder([4])
    b.add("Relu", "x", output="y")
    with pytest.raises(UnsupportedError, match="no Conv, Gemm or MatMul"):
        sanderling.quantize(b.model("y"), rows_of([4]))


def test_save_replaces_the_file_at_once(qmodel, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    assert qmodel.save(path) == path
    assert path.read_bytes() == qmodel.bytes
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()
    sanderling.load(path)
    with pytest.raises(InputError, match="cannot write"):
        qmodel.save(tmp_path / "none" / "model.onnx")


def _umask():
    umask = os.umask(0)
    os.umask(umask)
    return umask


def test_the_report(qmodel, float_model, rows):
    report = qmodel.report
    layers = {layer.name: layer for layer in report.layers}
    assert report.int8_layers + report.float_layers == len(report.layers)
    assert report.calibration_rows == len(rows)
    text = str(report)
    assert "Conv+Relu" in text
    assert f"{report.int8_layers} layers int8, 1 float32" in text
    parsed = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert parsed["int8_layers"] == report.int8_layers
    assert [layer["name"] for layer in parsed["layers"]] == [layer.name for layer in report.layers]
    # The figures again, from the files: the quantized logits against the float ones on the same rows.
    sample = rows[np.linspace(0, len(rows) - 1, 64).round().astype(int)]
    ours = sanderling.Session(qmodel).run({"x": sample})["logits"]
    real = sanderling.Session(float_model).run({"x": sample})["logits"]
    assert layers["logits"].output_sqnr_db == pytest.approx(decibels(real, ours), abs=0.1)
    weights = {t.name: numpy_helper.to_array(t) for t in onnx.load_from_string(float_model).graph.initializer}
    codes = constants(qmodel.bytes)
    gemm = next(name for name, array in weights.items() if array.shape == (5, 9))
    restored = codes[f"{gemm}/q"] * codes[f"{gemm}/scale"][:, None]
    assert layers["logits"].weight_sqnr_db == pytest.approx(decibels(weights[gemm], restored), abs=0.1)
    relu = next(layer for layer in report.layers if layer.operator == "Add+Relu")
    assert relu.output_range[0] == 0
    assert 0 <= relu.clip_percent < 5


def test_onnx_missing_says_what_to_install(float_model, rows, monkeypatch):
    monkeypatch.setattr("sanderling.quantization._quantize.find_spec", lambda name: None)
    with pytest.raises(UnsupportedError, match=r'pip install "sanderling\[quantize\]"'):
        sanderling.quantize(float_model, rows)


def test_importing_sanderling_does_not_import_onnx():
    import subprocess
    import sys

    code = "import sanderling, sys; sanderling.quantize; assert 'onnx' not in sys.modules, 'onnx'"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_target(float_model, rows):
    with pytest.raises(InputError, match="target is 'npu', this build has 'auto' and 'cpu'"):
        sanderling.quantize(float_model, rows, target="npu")
