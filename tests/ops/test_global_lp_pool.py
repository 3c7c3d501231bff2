from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnx_models import one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError


def case(shape: tuple[int, ...], p: int, dtype: Any = np.float32, **settings: Any) -> Case:
    x = values(np.random.default_rng(p), shape, dtype)
    model = one_node("GlobalLpPool", {"x": x}, output_dtype=dtype, p=p, **settings)
    total = (np.abs(x.astype(np.float64)) ** p).sum(tuple(range(2, x.ndim)), keepdims=True)
    name = f"{'x'.join(map(str, shape))}-{p}-{np.dtype(dtype).name}"
    return Case(name, model, {"x": x}, {"y": total ** (1 / p)}, length=None, onnxruntime=dtype == np.float32)


def cases() -> Iterator[Case]:
    for p in (1, 2, 3):
        for shape in ((1, 1, 1), (3, 5, 7), (3, 5, 7, 9), (1, 2, 3, 4, 5)):
            yield case(shape, p)
    yield case((3, 5, 7, 9), 2, np.float64)
    yield case((3, 5, 7, 9), 2, opset=7)
    yield case((3, 5, 7, 9), 2, symbolic_batch=True)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_global_lp_pool(case: Case) -> None:
    check(case)


def test_what_is_refused() -> None:
    x = {"x": np.zeros((1, 2, 5, 5), np.float32)}
    check_refused(one_node("GlobalLpPool", x, p=-1), x, ModelError, "p is -1, expected 1", "GlobalLpPool")
    line = {"x": np.zeros((1, 2), np.float32)}
    check_refused(one_node("GlobalLpPool", line), line, ModelError, "at least one spatial axis", "GlobalLpPool")
