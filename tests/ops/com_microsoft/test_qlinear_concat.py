import numpy as np
import pytest

from code_node_cases import BYTES, centred, check_codes, codes, node, quantized
from runner import check_refused
from sanderling.errors import ModelError


@pytest.mark.parametrize("dtype", BYTES)
def test_qlinear_concat(dtype):
    rng = np.random.default_rng(0)
    for shapes, axis in (([(3, 5)], 0), ([(3, 5), (3, 2), (3, 1)], 1), ([(2, 3, 4), (2, 0, 4), (2, 7, 4)], -2)):
        p = {"ys": np.array(0.03, np.float32), "yz": codes(rng, (), dtype)}
        order, tensors, parts = ["ys", "yz"], {}, []
        for i, shape in enumerate(shapes):
            tensors[f"x{i}"] = codes(rng, shape, dtype)
            same = i == 1  # its codes pass as they are
            p[f"s{i}"] = p["ys"] if same else np.array(rng.uniform(0.01, 0.06), np.float32)
            p[f"z{i}"] = p["yz"] if same else codes(rng, (), dtype)
            order += [f"x{i}", f"s{i}", f"z{i}"]
            real = centred(tensors[f"x{i}"], p[f"z{i}"]).astype(np.float32) * p[f"s{i}"]
            parts.append(quantized(np.asarray(real / p["ys"]), p["yz"], dtype))
        check_codes("QLinearConcat", tensors, p, np.concatenate(parts, axis), order, axis=axis, lowered=["Concat"])


def test_what_is_refused():
    def refused(message, drop=0, axis=1, **changed):
        values = {"ys": np.float32(1), "yz": np.uint8(0), "a": np.zeros((2, 3), np.uint8), "as": np.float32(1)}
        values |= {"az": np.uint8(0), "b": np.zeros((2, 3), np.uint8), "bs": np.float32(1), "bz": np.uint8(0)} | changed
        values = {name: np.asarray(value) for name, value in list(values.items())[: len(values) - drop]}
        more = {} if axis is None else {"axis": axis}
        model = node("QLinearConcat", values, output_dtype=np.uint8, more=more)
        check_refused(model, values, ModelError, message, "com.microsoft.QLinearConcat")

    refused("only extents along axis 1 may differ", b=np.zeros((3, 3), np.uint8))
    refused("has 7 inputs", drop=1)
    refused("has no axis", axis=None)
    refused("axis 2 is outside", axis=2)
    refused("input 5 is int8, input 1 is uint8", b=np.zeros((2, 3), np.int8), bz=np.int8(0))
