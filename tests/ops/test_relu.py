import numpy as np
import pytest

from onnx import helper
from onnx_models import model_of, one_node
from runner import Case, check, check_refused
from samples import NUMBERS, SHAPES, name_of, values
from sanderling.errors import ModelError


def cases() -> list[Case]:
    made = []
    for dtype in NUMBERS:
        for shape in SHAPES:
            x = values(np.random.default_rng(len(shape)), shape, dtype)
            opset = 7 if np.issubdtype(dtype, np.floating) else 14
            model = one_node("Relu", {"x": x}, output_dtype=dtype, opset=opset)
            # ONNX has no Relu of uint8; here it is the identity.
            known = dtype is not np.uint8 and dtype is not np.int64
            made.append(
                Case(name_of(dtype, shape), model, {"x": x}, {"y": np.maximum(x, 0)}, exact=True, onnxruntime=known)
            )
    for batch in (1, 3, 8):
        x = values(np.random.default_rng(batch), (batch, 13))
        model = one_node("Relu", {"x": x}, symbolic_batch=True)
        made.append(Case(f"batch{batch}", model, {"x": x}, {"y": np.maximum(x, 0)}, exact=True))
    return made


@pytest.mark.parametrize("case", cases(), ids=str)
def test_relu(case: Case) -> None:
    check(case)


def test_nan_and_infinities_pass() -> None:
    x = np.array([np.inf, -np.inf, 1.0, -1.0, 0.0] * 7, np.float32)
    nodes = [helper.make_node("Sub", ["x", "x"], ["d"]), helper.make_node("Relu", ["d"], ["nan"])]
    nodes.append(helper.make_node("Relu", ["x"], ["y"]))
    model = model_of(nodes, {"x": (np.float32, x.shape)}, {"y": np.float32, "nan": np.float32})
    expected = {"y": np.maximum(x, 0), "nan": np.where(np.isinf(x), np.nan, 0.0)}
    check(Case("nan", model, {"x": x}, expected, exact=True))


def test_bool() -> None:
    x = np.zeros(3, np.bool_)
    check_refused(one_node("Relu", {"x": x}, output_dtype=np.bool_), {"x": x}, ModelError, "bool", "Relu")
