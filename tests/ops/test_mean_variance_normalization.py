from typing import Any

import numpy as np
import pytest

from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import name_of, values
from sanderling.errors import ModelError, UnsupportedError

OP = "MeanVarianceNormalization"


def normalised(x: Array, axes: tuple[int, ...]) -> Array:
    wide = x.astype(np.float64)
    return np.asarray((wide - wide.mean(axes, keepdims=True)) / (wide.std(axes, keepdims=True) + 1e-9))


def cases() -> list[Case]:
    made = []
    for dtype in (np.float32, np.float64):
        x = values(np.random.default_rng(1), (3, 5, 7, 11), dtype)
        for axes in (None, (0, 2, 3), (1,), (-1, 0), (0, 1, 2, 3)):
            given = {} if axes is None else {"axes": axes}
            model = one_node(OP, {"x": x}, output_dtype=dtype, opset=9 if dtype is np.float32 else 13, **given)
            expected = {"y": normalised(x, axes or (0, 2, 3))}
            made.append(Case(f"{name_of(dtype, x.shape)}-{axes}", model, {"x": x}, expected, length=8,
                onnxruntime=axes in (None, (0, 2, 3)) and dtype is np.float32))  # fmt: skip
    for batch in (1, 3, 8):
        x = values(np.random.default_rng(batch), (batch, 13, 4))
        model = one_node(OP, {"x": x}, symbolic_batch=True, axes=[1])
        made.append(Case(f"batch{batch}", model, {"x": x}, {"y": normalised(x, (1,))}, length=8, onnxruntime=False))
    for name, x in (("empty", np.zeros((2, 0), np.float32)), ("still", np.full((2, 3), 1.5, np.float32))):
        made.append(Case(name, one_node(OP, {"x": x}, axes=[1]), {"x": x}, {"y": 0.0 * x}, onnxruntime=False))
    return made


@pytest.mark.parametrize("case", cases(), ids=str)
def test_mean_variance_normalization(case: Case) -> None:
    check(case)


def test_refused() -> None:
    x: dict[str, Any] = {"x": np.zeros((2, 3), np.float32)}
    check_refused(one_node(OP, x), x, ModelError, "axis 2 is outside", OP)
    check_refused(one_node(OP, x, axes=[1, -1]), x, ModelError, "axis 1 is named twice", OP)
    x = {"x": np.zeros((2, 3), np.int32)}
    check_refused(one_node(OP, x, axes=[0]), x, UnsupportedError, "int32", OP)
