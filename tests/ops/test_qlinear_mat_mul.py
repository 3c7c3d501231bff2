import numpy as np
import pytest

from code_node_cases import BYTES, centred, check_codes, codes, requantized, scale
from onnx_models import one_node
from runner import check_refused
from sanderling.errors import ModelError, UnsupportedError

ORDER = ["a", "as", "az", "b", "bs", "bz", "ys", "yz"]


@pytest.mark.parametrize("y_type", BYTES)
@pytest.mark.parametrize("b_type", BYTES)
@pytest.mark.parametrize("a_type", BYTES)
def test_qlinear_mat_mul(a_type, b_type, y_type):
    rng = np.random.default_rng(0)
    for a_shape, b_shape in [((5, 7), (7, 3)), ((1, 65), (65, 33)), ((2, 3, 7), (7, 4)), ((2, 5, 7), (2, 7, 4))]:
        for each in (False, True):
            columns = (b_shape[-1],) if each else ()
            a, b = codes(rng, a_shape, a_type), codes(rng, b_shape, b_type)
            p = {"as": scale(rng), "az": codes(rng, (), a_type)}
            p |= {"b": b, "bs": scale(rng, columns), "bz": codes(rng, columns, b_type)}
            p |= {"ys": np.float32(2) * np.float32(a_shape[-1] ** 0.5), "yz": codes(rng, (), y_type)}
            p["ys"] = np.asarray(p["ys"] * p["as"] * p["bs"].mean() * 40, np.float32)
            expected = requantized(
                centred(a, p["az"]) @ centred(b, p["bz"]), p["as"], p["bs"], p["ys"], p["yz"], y_type
            )
            theirs = a_type == b_type == y_type == np.uint8 and not each
            check_codes("QLinearMatMul", {"a": a}, p, expected, ORDER, domain="", onnxruntime=theirs)


def test_parameters_per_row():
    rng = np.random.default_rng(1)
    a, b = codes(rng, (2, 5, 7)), codes(rng, (7, 4), np.int8)
    for rows in ((5,), (5, 1), (2, 5, 1)):
        p = {"as": scale(rng, rows), "az": codes(rng, rows), "b": b, "bs": scale(rng), "bz": codes(rng, (), np.int8)}
        p |= {"ys": np.float32(0.5), "yz": np.uint8(9)}
        along = (5, 1) if len(rows) == 1 else rows
        sums = centred(a, p["az"].reshape(along)) @ centred(b, p["bz"])
        expected = requantized(sums, p["bs"], p["as"].reshape(along), p["ys"], p["yz"], np.uint8)
        check_codes("QLinearMatMul", {"a": a}, p, expected, ORDER, domain="", onnxruntime=False)


def test_what_is_refused():
    def refused(message, error=ModelError, **changed):
        values = {"a": np.zeros((2, 3), np.uint8), "as": np.float32(1), "az": np.uint8(0)}
        values |= {"b": np.zeros((3, 4), np.uint8), "bs": np.float32(1), "bz": np.uint8(0)}
        values |= {"ys": np.float32(1), "yz": np.uint8(0)} | changed
        values = {name: np.asarray(value) for name, value in values.items()}
        model = one_node("QLinearMatMul", values, order=ORDER, output_dtype=np.uint8)
        check_refused(model, values, error, message, "QLinearMatMul")

    refused("columns of a must be as many", b=np.zeros((2, 4), np.uint8))
    refused("input 1 is float64", UnsupportedError, **{"as": np.float64(1)})
    refused(r"the scale \(input 6\) has shape \[4\]", ys=np.ones(4, np.float32))
    refused("input 7 is int32", UnsupportedError, yz=np.int32(0))
    refused(r"input 4 has shape \[3\], expected one value or one per column", bs=np.ones(3, np.float32))
