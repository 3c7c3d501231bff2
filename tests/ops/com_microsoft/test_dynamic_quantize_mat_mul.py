import numpy as np
import pytest

from code_node_cases import BYTES, centred, check_codes, codes, node, scale
from runner import check_refused
from samples import values
from sanderling.errors import ModelError

ORDER = ["a", "b", "bs", "bz", "bias"]


@pytest.mark.parametrize("b_type", BYTES)
def test_dynamic_quantize_mat_mul(b_type):
    rng = np.random.default_rng(0)
    for a_shape, b_shape in [((5, 7), (7, 3)), ((2, 3, 65), (65, 300)), ((2, 5, 7), (2, 7, 4)), ((1, 1), (1, 1))]:
        for each, biased, zeros in ((False, True, True), (True, False, True), (True, True, False)):
            along = (b_shape[-1],) if each else ()
            a, b = values(rng, a_shape), codes(rng, b_shape, b_type)
            p = {"b": b, "bs": scale(rng, along)}
            p |= {"bz": codes(rng, along, b_type)} if zeros else {}
            p |= {"bias": values(rng, b_shape[-1:])} if biased else {}
            low, high = np.float32(a.min(initial=0)), np.float32(a.max(initial=0))
            a_scale = (high - low) / np.float32(255)
            zero = np.clip(np.rint(-low / a_scale), 0, 255)
            quantized = np.clip(np.rint(a / a_scale) + zero, 0, 255)
            sums = centred(quantized, int(zero)) @ centred(b, p.get("bz", 0))
            expected = sums.astype(np.float32) * (a_scale * p["bs"]) + p.get("bias", np.float32(0))
            order = [name if name == "a" or name in p else "" for name in ORDER]
            # ONNX Runtime's uint8 by int8 saturates without VNNI; it takes no several b with zero points.
            theirs = b_type == np.uint8 and b.ndim == 2
            check_codes(
                "DynamicQuantizeMatMul",
                {"a": a},
                p,
                expected,
                order,
                onnxruntime=theirs,
                lowered=["DynamicQuantizeLinear", "com.microsoft.MatMulIntegerToFloat"],
            )


def test_what_is_refused():
    inputs = {"a": np.zeros((2, 3), np.float32), "b": np.zeros((3, 4), np.uint8), "bs": np.ones(3, np.float32)}
    model = node("DynamicQuantizeMatMul", inputs)
    check_refused(
        model, inputs, ModelError, "expected one value or .4.", "com.microsoft.MatMulIntegerToFloat"
    )  # which it becomes
