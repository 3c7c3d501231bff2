import numpy as np
import pytest

from code_node_cases import BYTES, centred, check_codes, codes, node, quantized
from runner import check_refused
from sanderling.errors import ModelError, UnsupportedError

ORDER = ["c", "a", "as", "az", "b", "bs", "bz", "zs", "zz"]


@pytest.mark.parametrize("dtype", BYTES)
def test_qlinear_where(dtype):
    rng = np.random.default_rng(0)
    shapes = [((3, 5), (3, 5), (3, 5)), ((2, 1, 4), (3, 1), (1, 1, 4)), ((), (7,), ()), ((2, 3), (), (0, 2, 3))]
    for condition, a, b in shapes:
        tensors = {"c": np.asarray(rng.random(condition) < 0.5), "a": codes(rng, a, dtype), "b": codes(rng, b, dtype)}
        p = {f"{n}s": np.array(rng.uniform(0.01, 0.06), np.float32) for n in "abz"}
        p |= {f"{n}z": codes(rng, (), dtype) for n in "abz"}
        p |= {"bs": p["zs"], "bz": p["zz"]}  # its codes pass as they are
        real = {n: centred(tensors[n], p[f"{n}z"]).astype(np.float32) * p[f"{n}s"] for n in "ab"}
        side = {n: quantized(np.asarray(real[n] / p["zs"]), p["zz"], dtype) for n in "ab"}
        expected = np.where(tensors["c"], side["a"], side["b"]).astype(dtype)
        check_codes("QLinearWhere", tensors, p, expected, ORDER, onnxruntime=expected.size > 0)


def test_what_is_refused():
    def refused(message, error=ModelError, **changed):
        values = {"c": np.zeros(3, np.bool_)} | {n: np.zeros(3, np.uint8) for n in "ab"}
        values |= {f"{n}s": np.float32(1) for n in "abz"} | {f"{n}z": np.uint8(0) for n in "abz"} | changed
        values = {name: np.asarray(value) for name, value in values.items()}
        model = node("QLinearWhere", values, output_dtype=np.uint8, order=ORDER)
        check_refused(model, values, error, message, "com.microsoft.QLinearWhere")

    refused("broadcast", a=np.zeros(2, np.uint8))
    refused("input 4 is int8, input 1 is uint8", b=np.zeros(3, np.int8))
    refused("the scale .input 5. has shape", bs=np.ones(2, np.float32))
    refused("input 0 is uint8", UnsupportedError, c=np.zeros(3, np.uint8))
