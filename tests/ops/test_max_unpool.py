from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError, UnsupportedError
from window_references import Sliding, maximum


def case(
    name: str, shape: tuple[int, ...], sliding: Sliding, *, larger: tuple[int, ...] | None = None, **settings: Any
) -> Case:
    """What MaxPool has made of an image of `shape`, put back; `larger`: how much longer each axis shall be."""
    dtype = settings.pop("dtype", np.float32)
    image = values(np.random.default_rng(len(name)), shape, dtype)
    x, index = maximum(image, sliding)
    y: Array = np.zeros(image.size, dtype)
    y[index.ravel()] = x.ravel()
    y = y.reshape(shape)
    constants = {}
    if larger is not None:
        constants["shape"] = np.asarray(shape, np.int64) + np.asarray(larger)
        y = np.pad(y, [(0, more) for more in larger])
    attributes = sliding.attributes(pool=True)
    model = one_node(
        "MaxUnpool", {"x": x, "i": index}, constants=constants, output_dtype=dtype, **attributes, **settings
    )
    # ONNX Runtime counts indices in the larger shape.
    theirs = dtype == np.float32 and larger is None and x.size > 0
    return Case(name, model, {"x": x, "i": index}, {"y": y}, exact=True, onnxruntime=theirs)


def cases() -> Iterator[Case]:
    two = Sliding((2, 2), (2, 2))
    yield case("halves", (3, 5, 8, 6), two)
    yield case("overlap", (1, 3, 7, 9), Sliding((3, 3), (2, 2)))
    yield case("pads", (3, 3, 6, 8), Sliding((2, 2), (2, 2), pads=(1, 1, 1, 1)))
    yield case("line", (3, 3, 9), Sliding((3,), (3,)))
    yield case("volume", (1, 3, 4, 6, 4), Sliding((2, 3, 2), (2, 3, 2)))
    yield case("opset9", (3, 5, 8, 6), two, opset=9)
    yield case("float64", (3, 5, 8, 6), two, dtype=np.float64)
    yield case("larger", (3, 5, 8, 6), two, larger=(0, 0, 1, 3))
    yield case("same-shape", (3, 5, 8, 6), two, larger=(0, 0, 0, 0))
    yield case("empty", (0, 5, 8, 6), two)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_max_unpool(case: Case) -> None:
    check(case)


def refused(message: str, *, index: int = 0, shape: list[int] | None = None, **settings: Any) -> None:
    x = {"x": np.zeros((1, 1, 2, 2), settings.pop("dtype", np.float32)), "i": np.full((1, 1, 2, 2), index, np.int64)}
    x |= settings.pop("inputs", {})
    error = settings.pop("error", ModelError)
    constants = {} if shape is None else {"shape": np.asarray(shape, np.int64)}
    attributes = {"kernel_shape": [2, 2], "strides": [2, 2]} | settings
    model = one_node("MaxUnpool", x, constants=constants, output_dtype=x["x"].dtype, more=attributes)
    check_refused(model, x, error, message, "MaxUnpool")


def test_what_is_refused() -> None:
    refused(r"index 16 is outside \[0, 16\)", index=16)
    refused("index -1 is outside", index=-1)
    refused("indices have shape", inputs={"i": np.zeros((1, 1, 2, 1), np.int64)})
    refused("no axis may be shorter", shape=[1, 1, 3, 4])
    refused("no axis may be shorter", shape=[4, 4])
    refused("kernel_shape has 1 numbers", kernel_shape=[2])
    refused("negative|-", pads=[9, 9, 9, 9])
    refused("input 0 is int32", dtype=np.int32, error=UnsupportedError)
