"""The same as ONNX's own DequantizeLinear, which has more cases."""

import ml_dtypes
import numpy as np
import pytest

from code_node_cases import check_codes, codes, node, scale
from runner import Case, check, check_refused
from sanderling.errors import ModelError


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
def test_dequantize_linear(dtype):
    rng = np.random.default_rng(0)
    for shape, along in (((3, 5, 7), ()), ((), ()), ((3, 5, 40), (5,)), ((0, 3), ())):
        x = codes(rng, shape, dtype)
        p = {"scale": scale(rng, along), "zero": codes(rng, along, dtype)}
        wide = [v.reshape(-1, 1) if along else v for v in p.values()]
        expected = (x.astype(np.int64) - wide[1]).astype(np.float32) * wide[0]
        check_codes("DequantizeLinear", {"x": x}, p, np.asarray(expected, np.float32), ["x", "scale", "zero"])


def test_four_bits():
    x = np.arange(16, dtype=np.uint8).astype(ml_dtypes.uint4)
    constants = {"scale": np.array(0.3, np.float32), "zero": np.array(7, ml_dtypes.uint4)}
    expected = (x.astype(np.float32) - np.float32(7)) * np.float32(0.3)
    model = node("DequantizeLinear", {"x": x}, constants, output_dtype=np.float32)
    check(Case("uint4", model, {"x": x}, {"y": expected}, exact=True, onnxruntime=False))


def test_what_is_refused():
    inputs = {"x": np.zeros((2, 3), np.uint8), "s": np.ones(3, np.float32), "z": np.zeros(3, np.int8)}
    model = node("DequantizeLinear", inputs)
    check_refused(
        model, inputs, ModelError, "input 2 is int8, input 0 is uint8", "DequantizeLinear"
    )  # as it is lowered
