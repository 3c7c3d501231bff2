"""The same as ONNX's own QuantizeLinear, which has more cases."""

import ml_dtypes
import numpy as np
import pytest

from code_node_cases import check_codes, codes, node, quantized, scale
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
def test_quantize_linear(dtype):
    rng = np.random.default_rng(0)
    for shape, along in (((3, 5, 7), ()), ((), ()), ((3, 5, 40), (5,)), ((0, 3), ())):
        x = values(rng, shape)
        p = {"scale": scale(rng, along), "zero": codes(rng, along, dtype)}
        wide = [v.reshape(-1, 1) if along else v for v in p.values()]
        expected = quantized(np.asarray(x / wide[0]), wide[1], dtype)
        check_codes("QuantizeLinear", {"x": x}, p, expected, ["x", "scale", "zero"], steps=0)


def test_four_bits():
    x = np.linspace(-3, 3, 33, dtype=np.float32)
    constants = {"scale": np.array(0.3, np.float32), "zero": np.array(1, ml_dtypes.int4)}
    expected = np.clip(np.rint(x / np.float32(0.3)) + 1, -8, 7).astype(ml_dtypes.int4)
    model = node("QuantizeLinear", {"x": x}, constants, output_dtype=ml_dtypes.int4)
    check(Case("int4", model, {"x": x}, {"y": expected}, onnxruntime=False))


def test_what_is_refused():
    inputs = {"x": np.zeros((2, 3), np.float32), "s": np.ones(4, np.float32), "z": np.zeros(4, np.uint8)}
    model = node("QuantizeLinear", inputs, output_dtype=np.uint8)
    check_refused(
        model, inputs, ModelError, r"scale has shape \[4\], expected \[3\]", "QuantizeLinear"
    )  # as it is lowered
