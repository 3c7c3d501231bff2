import numpy as np
import pytest

from code_node_cases import BYTES, centred, check_codes, codes, node, quantized
from runner import check_refused
from sanderling.errors import ModelError

ORDER = ["x", "xs", "xz", "ys", "yz"]


def function(x):
    return np.asarray(1 / (1 + np.exp(-x)))


@pytest.mark.parametrize("dtype", BYTES)
def test_qlinear_sigmoid(dtype):
    rng = np.random.default_rng(0)
    for shape in ((), (1,), (3, 5, 7), (300,), (0, 3)):
        x = codes(rng, shape, dtype)
        p = {"xs": np.float32(0.05), "xz": codes(rng, (), dtype), "ys": np.float32(0.0041), "yz": codes(rng, (), dtype)}
        p = {name: np.asarray(value) for name, value in p.items()}
        real = centred(x, p["xz"]).astype(np.float32) * p["xs"]
        for settings in ({},):
            steps = function(real.astype(np.float64), **settings).astype(np.float32) / p["ys"]
            expected = quantized(np.asarray(steps), p["yz"], dtype)
            check_codes(
                "QLinearSigmoid", {"x": x}, p, expected, ORDER, onnxruntime=x.size > 0, **settings, lowered=["QLookup"]
            )


def test_without_zero_points():
    x = np.arange(256, dtype=np.uint8)
    p = {"xs": np.array(0.02, np.float32), "ys": np.array(0.0041, np.float32)}
    real = x.astype(np.float32) * p["xs"]
    expected = quantized(function(real.astype(np.float64)).astype(np.float32) / p["ys"], 0, np.uint8)
    # ONNX Runtime 1.32 aborts the process when it makes its table without a zero point.
    check_codes("QLinearSigmoid", {"x": x}, p, expected, ["x", "xs", "", "ys"], onnxruntime=False)


def test_what_is_refused():
    values = {"x": np.zeros(3, np.uint8), "xs": np.float32(1), "xz": np.int8(0), "ys": np.float32(1)}
    values = {name: np.asarray(value) for name, value in values.items()}
    model = node("QLinearSigmoid", values, output_dtype=np.uint8)
    check_refused(model, values, ModelError, "they must be the same", "com.microsoft.QLinearSigmoid")
