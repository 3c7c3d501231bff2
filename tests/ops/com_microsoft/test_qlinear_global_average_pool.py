import numpy as np
import pytest

from code_node_cases import BYTES, centred, check_codes, codes, node, quantized
from runner import check_refused
from sanderling.errors import ModelError

ORDER = ["x", "xs", "xz", "ys", "yz"]


@pytest.mark.parametrize("channels_last", [0, 1])
@pytest.mark.parametrize("dtype", BYTES)
def test_qlinear_global_average_pool(dtype, channels_last):
    rng = np.random.default_rng(0)
    for shape in ((2, 3, 8, 9), (1, 17, 7, 7), (3, 1, 1, 1), (2, 5, 11)):
        x = codes(rng, shape, dtype)
        p = {"xs": np.float32(0.05), "xz": codes(rng, (), dtype), "ys": np.float32(0.013), "yz": codes(rng, (), dtype)}
        p = {name: np.asarray(value) for name, value in p.items()}
        axes = tuple(range(2, x.ndim))
        count = np.prod(shape[2:])
        sums = centred(x, p["xz"]).sum(axes, keepdims=True).astype(np.float32)
        ratio = np.float32(np.float64(p["xs"]) / (np.float64(p["ys"]) * count))
        expected = quantized(sums * ratio, p["yz"], dtype)
        settings = {}
        if channels_last:
            x, expected = np.moveaxis(x, 1, -1), np.moveaxis(expected, 1, -1)
            settings["channels_last"] = 1
        check_codes(
            "QLinearGlobalAveragePool",
            {"x": x},
            p,
            expected,
            ORDER,
            **settings,
            lowered=[] if channels_last else ["QAveragePool"],
        )


def test_what_is_refused():
    values = {"x": np.zeros((2, 3), np.uint8), "xs": np.float32(1), "xz": np.uint8(0), "ys": np.float32(1)}
    values = {name: np.asarray(value) for name, value in values.items()}
    model = node("QLinearGlobalAveragePool", values, output_dtype=np.uint8)
    check_refused(model, values, ModelError, "at least one spatial axis", "com.microsoft.QLinearGlobalAveragePool")
