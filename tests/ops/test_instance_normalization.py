from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError, UnsupportedError


def normalised(x: Array, scale: Array, bias: Array, epsilon: float) -> Array:
    wide = x.astype(np.float64)
    axes = tuple(range(2, x.ndim))
    along = (-1, *[1] * (x.ndim - 2))
    centred = wide - wide.mean(axes, keepdims=True)
    variance = (centred**2).mean(axes, keepdims=True)
    y = centred / np.sqrt(variance + np.float64(np.float32(epsilon)))
    return np.asarray(y * scale.astype(np.float64).reshape(along) + bias.astype(np.float64).reshape(along))


def case(name: str, shape: tuple[int, ...], epsilon: float = 1e-5, offset: float = 0.0, **settings: Any) -> Case:
    rng = np.random.default_rng(len(name))
    dtype = settings.pop("dtype", np.float32)
    theirs = settings.pop("onnxruntime", True)
    x = (values(rng, shape, dtype) + offset).astype(dtype)
    parts = {"scale": rng.normal(1, 0.5, shape[1]).astype(dtype), "bias": rng.normal(0, 1, shape[1]).astype(dtype)}
    model = one_node(
        "InstanceNormalization", {"x": x}, constants=parts, output_dtype=dtype, epsilon=epsilon, **settings
    )
    y = normalised(x, parts["scale"], parts["bias"], epsilon) if x.size else x.astype(np.float64)
    return Case(name, model, {"x": x}, {"y": y}, length=None, onnxruntime=theirs)


def cases() -> Iterator[Case]:
    for channels in (1, 3, 17, 33):
        yield case(f"channels{channels}", (3, channels, 5, 7))
    for batch in (1, 3, 8):
        yield case(f"batch{batch}", (batch, 13, 6), symbolic_batch=True)
    yield case("rank5", (3, 5, 2, 3, 4))
    yield case("rank2", (3, 5), onnxruntime=False)  # it wants a spatial axis
    yield case("one-pixel", (3, 5, 1))
    yield case("many-tasks", (3, 33, 41, 43))
    yield case("epsilon", (3, 5, 4), epsilon=0.5)
    yield case("far-from-zero", (3, 5, 40), offset=100.0)
    yield case("opset7", (3, 5, 4, 3), opset=7)
    yield case("float64", (3, 5, 4, 3), dtype=np.float64, onnxruntime=False)
    yield case("empty", (0, 5, 4, 3), onnxruntime=False)
    yield case("no-pixels", (2, 5, 0, 3), onnxruntime=False)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_instance_normalization(case: Case) -> None:
    check(case)


def test_what_is_refused() -> None:
    x = {"x": np.zeros((2, 5, 3), np.float32)}
    five, four = np.ones(5, np.float32), np.ones(4, np.float32)

    def refused(message: str, scale: Array, bias: Array, error: type[Exception] = ModelError, **settings: Any) -> None:
        model = one_node("InstanceNormalization", x, constants={"scale": scale, "bias": bias}, **settings)
        check_refused(model, x, error, message, "InstanceNormalization")

    refused(r"scale has shape \[4\], expected \[5\]", four, five)
    refused(r"bias has shape \[4\], expected \[5\]", five, four)
    refused("input 2 is double|input 2 is float64", five, five.astype(np.float64))
    refused("epsilon is nan", five, five, epsilon=float("nan"))
    x = {"x": np.zeros(5, np.float32)}
    refused("expected a batch and channels", five, five)
    x = {"x": np.zeros((2, 5, 3), np.int32)}
    refused("input 0 is int32", five, five, UnsupportedError, output_dtype=np.int32)
