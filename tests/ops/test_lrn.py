from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError, UnsupportedError


def normalised(x: Array, size: int, alpha: float, beta: float, bias: float) -> Array:
    squares = x.astype(np.float64) ** 2
    total = np.zeros_like(squares)
    for c in range(x.shape[1]):
        total[:, c] = squares[:, max(0, c - (size - 1) // 2) : c + size // 2 + 1].sum(1)
    return np.asarray(x / (bias + alpha / size * total) ** beta)


def case(name: str, shape: tuple[int, ...], size: int, **settings: Any) -> Case:
    dtype = settings.pop("dtype", np.float32)
    theirs = settings.pop("onnxruntime", True)
    x = values(np.random.default_rng(len(name)), shape, dtype)
    given = {"alpha": 1e-4, "beta": 0.75, "bias": 1.0} | settings
    constants = {key: float(np.float32(given[key])) for key in ("alpha", "beta", "bias")}
    model = one_node("LRN", {"x": x}, output_dtype=dtype, size=size, **settings)
    y = normalised(x, size, **constants)
    # ONNX Runtime takes odd sizes of four axes.
    return Case(name, model, {"x": x}, {"y": y}, length=16, onnxruntime=theirs)


def cases() -> Iterator[Case]:
    for size in (1, 3, 5, 31):
        yield case(f"size{size}", (3, 17, 5, 7), size, alpha=0.5)
    for size in (2, 4):
        yield case(f"size{size}", (3, 17, 5, 7), size, alpha=0.5, onnxruntime=False)
    yield case("default", (3, 17, 5, 7), 5)
    yield case("all", (3, 5, 4, 3), 3, alpha=0.3, beta=0.4, bias=2.0)
    yield case("many-tasks", (3, 33, 41, 43), 5, alpha=0.1)
    yield case("line", (3, 5, 9), 3, alpha=0.1, onnxruntime=False)
    yield case("rank2", (3, 5), 3, alpha=0.1, onnxruntime=False)
    yield case("float64", (3, 5, 4, 3), 3, alpha=0.1, dtype=np.float64, onnxruntime=False)
    yield case("empty", (0, 5, 4, 3), 3, onnxruntime=False)
    for opset in (7, 13):
        yield case(f"opset{opset}", (3, 5, 4, 3), 3, opset=opset)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_lrn(case: Case) -> None:
    check(case)


def test_what_is_refused() -> None:
    x = {"x": np.zeros((2, 6, 3, 3), np.float32)}
    check_refused(one_node("LRN", x), x, ModelError, "size is 0, expected 1", "LRN")
    check_refused(one_node("LRN", x, size=3, alpha=float("inf")), x, ModelError, "alpha is inf", "LRN")
    line = {"x": np.zeros(6, np.float32)}
    check_refused(one_node("LRN", line, size=3), line, ModelError, "expected a batch and channels", "LRN")
    numbers = {"x": np.zeros((2, 6), np.int32)}
    model = one_node("LRN", numbers, size=3, output_dtype=np.int32)
    check_refused(model, numbers, UnsupportedError, "input 0 is int32", "LRN")
