import numpy as np
import pytest

from code_node_cases import BYTES, centred, check_codes, codes, node, quantized
from runner import check_refused
from sanderling.errors import ModelError
from window_references import Sliding, average

ORDER = ["x", "xs", "xz", "ys", "yz"]


@pytest.mark.parametrize("channels_last", [0, 1])
@pytest.mark.parametrize("dtype", BYTES)
def test_qlinear_average_pool(dtype, channels_last):
    rng = np.random.default_rng(0)
    for shape, sliding, padded in [
        ((2, 3, 8, 9), Sliding((2, 3), strides=(2, 1)), 0),
        ((1, 5, 7, 7), Sliding((3, 3), pads=(1, 1, 1, 1)), 0),
        ((1, 5, 7, 7), Sliding((3, 3), strides=(2, 2), pads=(1, 1, 1, 1)), 1),
        ((3, 2, 9, 5), Sliding((2, 2), strides=(2, 2), ceil_mode=True), 0),
        ((1, 4, 6, 6), Sliding((3, 3), strides=(2, 2), auto_pad="SAME_UPPER"), 0),
    ]:
        x = codes(rng, shape, dtype)
        p = {"xs": np.float32(0.05), "xz": codes(rng, (), dtype), "ys": np.float32(0.04), "yz": codes(rng, (), dtype)}
        p = {name: np.asarray(value) for name, value in p.items()}
        real = average(centred(x, p["xz"]), sliding, bool(padded)) * np.float64(p["xs"]) / np.float64(p["ys"])
        expected = quantized(np.round(real, 4), p["yz"], dtype)  # a tie of sums stays a tie
        if np.abs(np.abs(real % 1) - 0.5).min() < 1e-4:
            continue  # float32 may round it either way
        settings = sliding.attributes(pool=True) | {"count_include_pad": padded}
        if channels_last:
            x, expected = np.moveaxis(x, 1, -1), np.moveaxis(expected, 1, -1)
            settings["channels_last"] = 1
        # ONNX Runtime's channels-last pool with padding that counts divides by what lies on the input.
        check_codes(
            "QLinearAveragePool",
            {"x": x},
            p,
            expected,
            ORDER,
            onnxruntime=not padded,
            **settings,
            lowered=[] if channels_last else ["QAveragePool"],
        )


def test_what_is_refused():
    values = {"x": np.zeros((2, 3, 4, 4), np.uint8), "xs": np.float32(1), "xz": np.uint8(0), "ys": np.float32(1)}
    values = {name: np.asarray(value) for name, value in values.items()}
    model = node("QLinearAveragePool", values, output_dtype=np.uint8)
    check_refused(model, values, ModelError, "kernel_shape is required", "com.microsoft.QLinearAveragePool")
