import numpy as np
import pytest

from code_node_cases import BYTES, centred, check_codes, codes, node, quantized
from runner import check_refused
from sanderling.errors import ModelError

ORDER = ["x", "xs", "xz", "ys", "yz"]


def softmax(real, axis):
    power = np.exp(real - real.max(axis, keepdims=True, initial=-np.inf))
    return power / power.sum(axis, keepdims=True)


@pytest.mark.parametrize("dtype", BYTES)
def test_qlinear_softmax(dtype):
    rng = np.random.default_rng(0)
    for shape, opset, axis in [((3, 5, 7), 13, 1), ((3, 5, 7), 13, None), ((3, 5, 7), 11, 2), ((3, 5, 7), 11, None),
                               ((300,), 13, 0), ((0, 3), 13, 1), ((2, 1), 13, -1)]:  # fmt: skip
        x = codes(rng, shape, dtype)
        p = {"xs": np.float32(0.05), "xz": codes(rng, (), dtype), "ys": np.float32(1 / 256)}
        p |= {"yz": np.array(-128 if dtype is np.int8 else 0, dtype)}
        p = {name: np.asarray(value) for name, value in p.items()}
        real = centred(x, p["xz"]).astype(np.float64) * p["xs"]
        if opset >= 13:
            probability = softmax(real, -1 if axis is None else axis)
        else:
            rows = int(np.prod(shape[: -1 if axis is None else axis]))
            probability = softmax(real.reshape(rows, -1), 1).reshape(shape)
        expected = quantized(probability.astype(np.float32) / p["ys"], p["yz"], dtype)
        settings = {"opset": 13, "more": {"opset": opset} | ({} if axis is None else {"axis": axis})}
        theirs = x.size > 0 and probability.max() < 1  # ONNX Runtime's code of 1 wraps around
        check_codes("QLinearSoftmax", {"x": x}, p, expected, ORDER, onnxruntime=theirs, **settings, lowered=["Softmax"])


def test_what_is_refused():
    values = {"x": np.zeros((2, 3), np.uint8), "xs": np.float32(1), "xz": np.uint8(0), "ys": np.float32(1)}
    values = {name: np.asarray(value) for name, value in values.items()}
    for more, message in (({}, "no attribute 'opset'"), ({"opset": 13, "axis": 2}, "axis 2 is outside")):
        model = node("QLinearSoftmax", values, output_dtype=np.uint8, more=more)
        check_refused(model, values, ModelError, message, "com.microsoft.QLinearSoftmax")
