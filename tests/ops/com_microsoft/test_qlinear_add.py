import numpy as np
import pytest

from binary_cases import PAIRS
from code_node_cases import BYTES, centred, check_codes, codes, node, quantized
from runner import check_refused
from sanderling.errors import ModelError

ORDER = ["a", "as", "az", "b", "bs", "bz", "ys", "yz"]


@pytest.mark.parametrize("dtype", BYTES)
def test_qlinear_add(dtype):
    rng = np.random.default_rng(0)
    for a_shape, b_shape in [*PAIRS, ((0, 3), (3,))]:
        a, b = codes(rng, a_shape, dtype), codes(rng, b_shape, dtype)
        p = {"as": np.float32(0.031), "az": codes(rng, (), dtype), "bs": np.float32(0.017), "bz": codes(rng, (), dtype)}
        p |= {"ys": np.float32(0.033), "yz": codes(rng, (), dtype)}
        p = {name: np.asarray(value) for name, value in p.items()}
        left, right = centred(a, p["az"]), centred(b, p["bz"])
        ratios = [np.float32(np.float64(p[s]) / np.float64(p["ys"])) for s in ("as", "bs")]
        steps = left.astype(np.float32) * ratios[0] + right.astype(np.float32) * ratios[1]
        expected = quantized(np.asarray(steps), p["yz"], dtype)
        check_codes("QLinearAdd", {"a": a, "b": b}, p, expected, ORDER, onnxruntime=expected.size > 0, lowered=["QAdd"])


def test_without_zero_points():
    rng = np.random.default_rng(1)
    a, b = codes(rng, (3, 5)), codes(rng, (3, 5))
    p = {"as": np.array(0.5, np.float32), "bs": np.array(0.25, np.float32), "ys": np.array(1, np.float32)}
    left, right = a.astype(np.int64), b.astype(np.int64)
    ratios = [np.float32(np.float64(p[s]) / np.float64(p["ys"])) for s in ("as", "bs")]
    steps = left.astype(np.float32) * ratios[0] + right.astype(np.float32) * ratios[1]
    expected = quantized(np.asarray(steps), 0, np.uint8)
    # ONNX Runtime fails to infer the type without zero points.
    check_codes(
        "QLinearAdd",
        {"a": a, "b": b},
        p,
        expected,
        ["a", "as", "", "b", "bs", "", "ys"],
        onnxruntime=False,
    )


def test_what_is_refused():
    def refused(message, **changed):
        values = {"a": np.zeros((2, 3), np.uint8), "b": np.zeros((2, 3), np.uint8)}
        values |= {name: np.float32(1) if name[1] == "s" else np.uint8(0) for name in ORDER if len(name) == 2} | changed
        values = {name: np.asarray(value) for name, value in values.items()}
        model = node("QLinearAdd", values, order=ORDER, output_dtype=np.uint8)
        check_refused(model, values, ModelError, message, "com.microsoft.QLinearAdd")

    refused("cannot be broadcast", b=np.zeros((2, 4), np.uint8))
    refused("input 3 is int8, input 0 is uint8", b=np.zeros((2, 3), np.int8))
    refused("expected a single value", ys=np.ones(2, np.float32))
    refused("they must be the same", yz=np.int8(0))
