from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError, UnsupportedError
from window_references import Pool, Sliding, pools, taps


def norms(x: Array, sliding: Sliding, p: int) -> Array:
    total = sum(seen for _, seen in taps(np.abs(x.astype(np.float64)) ** p, sliding, 0.0))
    return np.asarray(total, np.float64) ** (1 / p)


def case(pool: Pool, p: int = 2, *, dtype: Any = np.float32, onnxruntime: bool = False, **settings: Any) -> Case:
    x = values(np.random.default_rng(len(pool.name)), pool.shape, dtype)
    attributes = pool.sliding.attributes(pool=True) | ({"p": p} if p != 2 else {})
    model = one_node("LpPool", {"x": x}, output_dtype=dtype, **attributes, **settings)
    name = f"{pool.name}-{p}-{np.dtype(dtype).name}"
    return Case(name, model, {"x": x}, {"y": norms(x, pool.sliding, p)}, length=None, onnxruntime=onnxruntime)


def cases() -> Iterator[Case]:
    for i, pool in enumerate(pools()):
        if pool.name != "many-tasks":
            yield case(pool, 1 + i % 3)
    square = Sliding((2, 2), (2, 2), pads=(1, 1, 0, 0))
    for p in (1, 2, 3, 7):
        yield case(Pool("square", (3, 5, 7, 8), square), p, onnxruntime=True)
    for opset in (7, 11, 18):
        yield case(Pool(f"opset{opset}", (3, 5, 7, 7), square), opset=opset, onnxruntime=True)
    for batch in (1, 3):
        yield case(Pool(f"batch{batch}", (batch, 5, 7, 7), square), symbolic_batch=True)
    yield case(Pool("float64", (3, 5, 7, 7), square), dtype=np.float64)
    yield case(Pool("empty", (0, 5, 7, 7), square))


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_lp_pool(case: Case) -> None:
    check(case)


def test_what_is_refused() -> None:
    x = {"x": np.zeros((1, 2, 5, 5), np.float32)}
    check_refused(one_node("LpPool", x, kernel_shape=[2, 2], p=0), x, ModelError, "p is 0, expected 1", "LpPool")
    check_refused(one_node("LpPool", x), x, ModelError, "kernel_shape is required", "LpPool")
    numbers = {"x": np.zeros((1, 2, 5, 5), np.int32)}
    model = one_node("LpPool", numbers, kernel_shape=[2, 2], output_dtype=np.int32)
    check_refused(model, numbers, UnsupportedError, "input 0 is int32", "LpPool")
