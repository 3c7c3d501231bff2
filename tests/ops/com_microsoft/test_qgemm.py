import numpy as np
import pytest

from code_node_cases import BYTES, centred, check_codes, codes, node, requantized, scale
from runner import check_refused
from sanderling.errors import ModelError

ORDER = ["a", "as", "az", "b", "bs", "bz", "c", "ys", "yz"]


@pytest.mark.parametrize("real", [False, True], ids=["codes", "real"])
@pytest.mark.parametrize("b_type", BYTES)
@pytest.mark.parametrize("a_type", BYTES)
def test_qgemm(a_type, b_type, real):
    rng = np.random.default_rng(0)
    rows, columns, depth = 5, 7, 33
    for ta, tb, each, c_shape, alpha in [
        (0, 0, False, (columns,), 1.0),
        (0, 1, True, (columns,), 1.0),
        (1, 1, False, (1, columns), 0.5),
        (0, 0, True, (1, columns), 2.0),
        (0, 1, False, (rows, columns), 1.0),
        (0, 1, False, None, 1.0),
    ]:
        a = codes(rng, (depth, rows) if ta else (rows, depth), a_type)
        b = codes(rng, (columns, depth) if tb else (depth, columns), b_type)
        along = (columns,) if each else ()
        p = {"as": scale(rng), "az": codes(rng, (), a_type), "b": b}
        p |= {"bs": scale(rng, along), "bz": codes(rng, along, b_type)}
        if c_shape:
            p["c"] = rng.integers(-20000, 20000, c_shape).astype(np.int32)
        p["ys"] = np.asarray(p["as"] * p["bs"].mean() * 400 * alpha, np.float32)
        p["yz"] = codes(rng, (), a_type)
        left = centred(a.T if ta else a, p["az"])
        zero = p["bz"][:, None] if each and tb else p["bz"]
        right = centred(b, zero)
        sums = left @ (right.T if tb else right) + p.get("c", 0)
        b_scale = np.float32(alpha) * p["bs"]
        if real:
            factor = (np.float64(p["as"]) * b_scale.astype(np.float64)).astype(np.float32)
            expected = sums.astype(np.float32) * factor
            del p["ys"], p["yz"]
        else:
            expected = requantized(sums, p["as"], b_scale, p["ys"], p["yz"], a_type)
        order = [name if name in p or name == "a" else "" for name in ORDER][: 7 if real else 9]
        # ONNX Runtime's uint8 by int8 saturates without VNNI, and it has no int8 by uint8.
        theirs = a_type == b_type == np.uint8 and not each
        settings = {"transA": ta, "transB": tb, "alpha": alpha}
        check_codes("QGemm", {"a": a}, p, np.asarray(expected), order, onnxruntime=theirs, **settings)


def test_what_is_refused():
    def refused(message, **changed):
        values = {"a": np.zeros((2, 3), np.uint8), "as": np.float32(1), "az": np.uint8(0)}
        values |= {"b": np.zeros((3, 4), np.uint8), "bs": np.float32(1), "bz": np.uint8(0)}
        values |= {"c": np.zeros(4, np.int32), "ys": np.float32(1), "yz": np.uint8(0)} | changed
        values = {name: np.asarray(value) for name, value in values.items() if value is not None}
        order = [name if name in values else "" for name in ORDER]
        model = node("QGemm", values, order=order, output_dtype=np.uint8)
        check_refused(model, values, ModelError, message, "com.microsoft.QGemm")

    refused("columns do not meet 2 rows", b=np.zeros((2, 4), np.uint8))
    refused("expected matrices", a=np.zeros(3, np.uint8))
    refused("does not broadcast", c=np.zeros(3, np.int32))
    refused("give both for codes", ys=None)
    refused("expected one value or .4.", bs=np.ones(3, np.float32))
