"""What operators pack of constant weights is kept in the plan's file, and a session from it packs nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from plans import node

import onnx
from onnx import helper
from onnx_models import model_of
from sanderling import _core

FLOAT = np.float32
KEY = bytes(range(32))
RNG = np.random.default_rng(0)


def floats(*shape: int) -> Any:
    return RNG.normal(0, 0.3, shape).astype(FLOAT)


def codes(*shape: int, dtype: Any = np.int8) -> Any:
    return RNG.integers(0, 100, shape, dtype)


def recurrent(op: str, gates: int) -> onnx.ModelProto:
    constants = {"w": floats(2, gates * 40, 7), "r": floats(2, gates * 40, 40), "b": floats(2, 2 * gates * 40)}
    inputs = ["x", "w", "r", "b"]
    if op == "LSTM":
        constants["p"] = floats(2, 120)
        inputs += ["", "", "", "p"]
    made = node(op, inputs, ["y"], hidden_size=40, direction="bidirectional")
    return model_of([made], {"x": (FLOAT, (5, 2, 7))}, {"y": FLOAT}, constants, opset=17)


def attention() -> onnx.ModelProto:
    made = node("Attention", ["x", "w", "b"], ["y"], domain="com.microsoft", num_heads=2)
    constants = {"w": floats(16, 48), "b": floats(48)}
    model = model_of([made], {"x": (FLOAT, (2, 5, 16))}, {"y": FLOAT}, constants, opset=17)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model


def integer(op: str, weights: Any, shape: tuple[int, ...], **attributes: Any) -> onnx.ModelProto:
    made = node(op, ["x", "w", "z"], ["y"], **attributes)
    return model_of([made], {"x": (np.uint8, shape)}, {"y": np.int32}, {"w": weights, "z": np.uint8(3)}, opset=17)


def transposed() -> onnx.ModelProto:
    made = node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])
    return model_of([made], {"x": (FLOAT, (1, 32, 6, 6))}, {"y": FLOAT}, {"w": floats(32, 8, 3, 3)}, opset=17)


MODELS = {
    "LSTM": recurrent("LSTM", 4),
    "GRU": recurrent("GRU", 3),
    "RNN": recurrent("RNN", 1),
    "Attention": attention(),
    "MatMulInteger": integer("MatMulInteger", codes(9, 300), (4, 9)),
    "MatMulInteger of uint8": integer("MatMulInteger", codes(9, 5, dtype=np.uint8), (4, 9)),
    "ConvInteger": integer("ConvInteger", codes(10, 6, 3, 3), (1, 6, 8, 8)),
    "ConvInteger in groups": integer("ConvInteger", codes(300, 6, 3, 3), (1, 12, 8, 8), group=2),
    "ConvTranspose": transposed(),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_session_from_the_file_packs_nothing(name, tmp_path):
    model = MODELS[name]
    ((x_name, dtype, shape),) = [
        (
            i.name,
            helper.tensor_dtype_to_np_dtype(i.type.tensor_type.elem_type),
            [d.dim_value for d in i.type.tensor_type.shape.dim],
        )
        for i in model.graph.input
    ]
    x = {x_name: floats(*shape) if dtype == FLOAT else codes(*shape, dtype=dtype)}
    for isa in _core.runnable_isas():
        plan = _core.Model(model.SerializeToString()).compile(isa)
        expected = _core.Session(plan).run(dict(x))["y"]
        assert plan.has_made_tensors, f"{isa}: nothing was packed, or nothing is kept"
        path = tmp_path / isa
        with path.open("wb") as file:
            plan.write(file.fileno(), KEY)
        with path.open("rb") as file:
            read = _core.Plan.read(file.fileno(), KEY, isa)
        again = _core.Session(read, threads=2).run(dict(x))["y"]
        assert not read.has_made_tensors, isa
        if name.startswith(("MatMul", "ConvInteger")):
            np.testing.assert_array_equal(again, expected)
        else:
            np.testing.assert_allclose(again, expected, atol=1e-5)
