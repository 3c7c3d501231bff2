from typing import Any

import numpy as np
import pytest

from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import name_of, values
from sanderling.errors import ModelError, UnsupportedError


def normalised(x: Array, axis: int, p: int) -> Array:
    wide = x.astype(np.float64)
    norm = np.abs(wide).sum(axis, keepdims=True) if p == 1 else np.sqrt(np.square(wide).sum(axis, keepdims=True))
    return np.asarray(np.divide(wide, norm, out=np.zeros_like(wide), where=norm != 0))


def cases() -> list[Case]:
    made = []
    for dtype in (np.float32, np.float64):
        for shape in ((1,), (7,), (3, 1, 5), (3, 5, 7, 11), (2, 20011)):
            x = values(np.random.default_rng(1), shape, dtype)
            x[0] = 0
            for axis in range(-len(shape), len(shape)):
                for p in (1, 2):
                    opset = (7, 22)[axis % 2] if dtype is np.float32 else 22
                    model = one_node("LpNormalization", {"x": x}, output_dtype=dtype, opset=opset, axis=axis, p=p)
                    name = f"{name_of(dtype, shape)}-axis{axis}-p{p}"
                    known = opset == 7 and x.shape[axis] < 1000  # ONNX Runtime sums in float32
                    made.append(Case(name, model, {"x": x}, {"y": normalised(x, axis, p)}, onnxruntime=known))
    for batch in (1, 3, 8):
        x = values(np.random.default_rng(batch), (batch, 13))
        model = one_node("LpNormalization", {"x": x}, symbolic_batch=True)
        made.append(Case(f"batch{batch}", model, {"x": x}, {"y": normalised(x, -1, 2)}, length=13))
    empty = np.zeros((2, 0), np.float32)
    model = one_node("LpNormalization", {"x": empty})
    made.append(Case("empty", model, {"x": empty}, {"y": empty}, onnxruntime=False))
    return made


@pytest.mark.parametrize("case", cases(), ids=str)
def test_lp_normalization(case: Case) -> None:
    check(case)


def test_refused() -> None:
    x: dict[str, Any] = {"x": np.zeros((2, 3), np.float32)}
    check_refused(one_node("LpNormalization", x, axis=2), x, ModelError, "axis 2 is outside", "LpNormalization")
    check_refused(one_node("LpNormalization", x, p=3), x, ModelError, "p is 3, ONNX has 1 and 2", "LpNormalization")
    check_refused(one_node("LpNormalization", {"x": np.zeros(())}), {"x": np.zeros(())}, ModelError, "axis -1",
        "LpNormalization")  # fmt: skip
    x = {"x": np.zeros((2, 3), np.int32)}
    check_refused(one_node("LpNormalization", x), x, UnsupportedError, "int32", "LpNormalization")
