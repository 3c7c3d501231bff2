from typing import Any

import numpy as np
import pytest

from onnx_models import one_node
from runner import Case, check, check_refused
from samples import name_of, values
from sanderling.errors import ModelError, UnsupportedError


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (7, 7), (3, 5, 5), (2, 3, 4, 4), (2, 0, 0), (0, 3, 3)], ids=str)
def test_det(shape: tuple[int, ...], dtype: type) -> None:
    x = values(np.random.default_rng(3), shape, dtype)
    expected = np.asarray(np.linalg.det(x.astype(np.float64)))
    # ONNX Runtime eliminates in float32, and not in stacks of stacks.
    known = dtype is np.float32 and x.size > 0 and len(shape) < 4 and shape != (7, 7)
    for opset in (11, 22):
        model = one_node("Det", {"x": x}, output_dtype=dtype, opset=opset)
        check(Case(name_of(dtype, shape), model, {"x": x}, {"y": expected}, onnxruntime=known and opset == 11))


def test_pivots() -> None:
    """Zeros on the diagonal, singular matrices, a symbolic batch."""
    x = np.array([[[0, 1], [1, 0]], [[1, 2], [2, 4]], [[0, 0], [0, 0]], [[1e-30, 1], [1, 1]]], np.float32)
    model = one_node("Det", {"x": x}, symbolic_batch=True)
    for batch in (4, 1, 3):
        check(Case(f"{batch}", model, {"x": x[:batch]}, {"y": np.array([-1.0, 0, 0, -1])[:batch]}))


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)], ids=str)
def test_not_square(shape: tuple[int, ...]) -> None:
    x = {"x": np.zeros(shape, np.float32)}
    check_refused(one_node("Det", x), x, ModelError, "expected square matrices", "Det")


def test_integers() -> None:
    x: dict[str, Any] = {"x": np.zeros((2, 2), np.int32)}
    check_refused(one_node("Det", x), x, UnsupportedError, "int32", "Det")
