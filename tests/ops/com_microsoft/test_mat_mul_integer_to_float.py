import numpy as np
import pytest

from code_node_cases import BYTES, centred, check_codes, codes, node, scale
from runner import check_refused
from samples import values
from sanderling.errors import ModelError

ORDER = ["a", "b", "as", "bs", "az", "bz", "bias"]


@pytest.mark.parametrize("b_type", BYTES)
@pytest.mark.parametrize("a_type", BYTES)
def test_mat_mul_integer_to_float(a_type, b_type):
    rng = np.random.default_rng(0)
    for a_shape, b_shape in [((5, 7), (7, 3)), ((2, 3, 65), (65, 300)), ((2, 5, 7), (2, 7, 4)), ((0, 3), (3, 2))]:
        for each, biased, zeros in ((False, True, True), (True, False, True), (True, True, False)):
            along = (b_shape[-1],) if each else ()
            a, b = codes(rng, a_shape, a_type), codes(rng, b_shape, b_type)
            p = {"b": b, "as": scale(rng), "bs": scale(rng, along)}
            p |= {"az": codes(rng, (), a_type), "bz": codes(rng, along, b_type)} if zeros else {}
            p |= {"bias": values(rng, b_shape[-1:])} if biased else {}
            sums = centred(a, p.get("az", 0)) @ centred(b, p.get("bz", 0))
            expected = sums.astype(np.float32) * (p["as"] * p["bs"]) + p.get("bias", np.float32(0))
            # ONNX Runtime has no int8 by uint8, and its uint8 by int8 saturates without VNNI.
            theirs = a_type == b_type == np.uint8 and a.size > 0 and b.ndim == 2
            order = [name if name == "a" or name in p else "" for name in ORDER]
            check_codes("MatMulIntegerToFloat", {"a": a}, p, expected, order, onnxruntime=theirs)


def test_what_is_refused():
    inputs = {"a": np.zeros((2, 3), np.uint8), "b": np.zeros((3, 4), np.uint8)}
    inputs |= {"as": np.ones((), np.float32), "bs": np.ones(3, np.float32)}
    model = node("MatMulIntegerToFloat", inputs)
    check_refused(model, inputs, ModelError, "expected one value or .4.", "com.microsoft.MatMulIntegerToFloat")
    inputs |= {"bs": np.ones((), np.float32), "bias": np.zeros(3, np.float32)}
    model = node("MatMulIntegerToFloat", inputs, order=["a", "b", "as", "bs", "", "", "bias"])
    check_refused(model, inputs, ModelError, "the bias has shape .3.", "com.microsoft.MatMulIntegerToFloat")
