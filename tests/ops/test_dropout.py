import numpy as np
import pytest

from elementwise_cases import FLOATS
from onnx import helper
from onnx_models import Array, model_of, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError, UnsupportedError


def dropout(dtype: type, opset: int, mask: bool, constants: dict[str, Array], mask_dtype: type = np.bool_) -> Case:
    x = values(np.random.default_rng(0), (3, 5, 7), np.float32).astype(dtype)
    node = helper.make_node("Dropout", ["x", *constants], ["y", "mask"][: 1 + mask], name="node")
    outputs: dict[str, type] = {"y": dtype} | ({"mask": mask_dtype} if mask else {})
    model = model_of([node], {"x": (x.dtype, x.shape)}, outputs, constants, opset)
    expected = {"y": x} | ({"mask": np.ones(x.shape, mask_dtype)} if mask else {})
    # Before opset 12 ONNX does not say what the mask holds; ONNX Runtime has no mask of floats, and none of ones.
    known = opset >= 12 or not mask
    return Case(
        f"{np.dtype(dtype).name}-{opset}-{mask}-{len(constants)}", model, {"x": x}, expected, True, onnxruntime=known
    )


RATIO = {"ratio": np.array(0.75, np.float32)}
MODE = RATIO | {"mode": np.array(False)}


@pytest.mark.parametrize(
    "case",
    [
        *(dropout(dtype, opset, mask, {}) for dtype in FLOATS for opset in (10, 12, 22) for mask in (False, True)),
        *(dropout(dtype, 7, mask, {}, dtype) for dtype in FLOATS for mask in (False, True)),
        dropout(np.float32, 13, True, RATIO),
        dropout(np.float32, 13, False, MODE),
        dropout(np.float32, 13, True, MODE),
    ],
    ids=str,
)
def test_dropout(case: Case) -> None:
    check(case)


def test_mode_given_at_run_time() -> None:
    inputs = {"x": np.ones((2, 3), np.float32), "mode": np.array(False)}
    model = one_node("Dropout", inputs, order=["x", "", "mode"])
    check(Case("mode", model, inputs, {"y": inputs["x"]}))
    inputs["mode"] = np.array(True)
    check_refused(model, inputs, UnsupportedError, "training_mode is true.*inference only", "Dropout")


def test_ratio_as_an_input_of_older_opsets() -> None:
    x = {"x": np.ones((2, 3), np.float32)}
    model = one_node("Dropout", x, constants=RATIO, opset=10)
    check_refused(model, x, ModelError, "as an attribute, the node has 2 inputs", "Dropout")
