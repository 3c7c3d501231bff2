import numpy as np
import pytest

from move_cases import in_every_dtype, in_other_dtypes
from onnx import helper
from onnx_models import Array, model_of
from runner import Case, check
from samples import values


def cases() -> list[Case]:
    return [
        *in_every_dtype("Identity", (3, 5), lambda a: a),
        *in_other_dtypes("Identity", (3, 5), lambda a: a, opset=25),
        *in_every_dtype("Identity", (), lambda a: a),
    ]


@pytest.mark.parametrize("case", cases(), ids=str)
def test_identity(case: Case) -> None:
    check(case)


def test_several_outputs_show_one_value() -> None:
    x = values(np.random.default_rng(0), (3, 5))
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Identity", ["r"], ["i"]),
        helper.make_node("Identity", ["i"], ["j"]),
        helper.make_node("Identity", ["x"], ["k"]),
    ]
    model = model_of(nodes, {"x": (np.float32, x.shape)}, dict.fromkeys("rijk", np.float32))
    positive: Array = np.maximum(x, 0)
    check(Case("several", model, {"x": x}, {"r": positive, "i": positive, "j": positive, "k": x}, exact=True))


def test_a_constant_as_output() -> None:
    x, c = np.ones(2, np.float32), values(np.random.default_rng(0), (3, 5), np.int64)
    nodes = [helper.make_node("Identity", ["c"], ["y"]), helper.make_node("Identity", ["x"], ["z"])]
    model = model_of(nodes, {"x": (np.float32, (2,))}, {"y": np.int64, "z": np.float32}, {"c": c})
    check(Case("constant", model, {"x": x}, {"y": c, "z": x}, exact=True))
