from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import NUMBERS, values
from sanderling.errors import ModelError


def case(
    name: str,
    images: int,
    channels: int,
    image: tuple[int, ...],
    block: tuple[int, ...],
    *,
    dtype: Any = np.float32,
    strides: tuple[int, ...] | None = None,
    dilations: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    onnxruntime: bool = False,  # it has float32 alone
) -> Case:
    count = len(image)
    ones = (1,) * count
    steps, gaps, room = strides or ones, dilations or ones, pads or (0,) * 2 * count
    blocks = [
        (e + room[a] + room[count + a] - (block[a] - 1) * gaps[a] - 1) // steps[a] + 1 for a, e in enumerate(image)
    ]
    x = values(np.random.default_rng(len(name)), (images, channels * int(np.prod(block)), int(np.prod(blocks))), dtype)
    seen = x.astype(np.float64 if x.dtype.kind == "f" else x.dtype).reshape(images, channels, *block, *blocks)
    padded = [e + room[a] + room[count + a] for a, e in enumerate(image)]
    canvas = np.zeros((images, channels, *padded), seen.dtype)
    for tap in np.ndindex(*block):
        where = tuple(
            slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, n, s in zip(tap, gaps, blocks, steps, strict=True)
        )
        canvas[(..., *where)] += seen[(slice(None), slice(None), *tap)]
    y: Array = canvas[(..., *(slice(room[a], room[a] + e) for a, e in enumerate(image)))]
    given = {"strides": strides, "dilations": dilations, "pads": pads}
    constants = {"image": np.asarray(image, np.int64), "block": np.asarray(block, np.int64)}
    attributes = {key: value for key, value in given.items() if value is not None}
    model = one_node("Col2Im", {"x": x}, constants=constants, output_dtype=dtype, **attributes)
    length = int(np.prod(block))
    return Case(name, model, {"x": x}, {"y": y}, length=length, magnitude=length * 10.0, onnxruntime=onnxruntime)


def cases() -> Iterator[Case]:
    yield case("apart", 3, 5, (6, 8), (2, 2), strides=(2, 2), onnxruntime=True)
    yield case("overlap", 1, 3, (7, 9), (3, 2), onnxruntime=True)
    yield case("pads", 3, 2, (7, 9), (3, 4), strides=(2, 3), pads=(1, 0, 2, 3), onnxruntime=True)
    yield case("dilated", 1, 3, (9, 9), (3, 2), dilations=(2, 3), onnxruntime=True)
    yield case("line", 2, 3, (9,), (4,), strides=(2,))
    yield case("volume", 2, 3, (5, 4, 6), (2, 1, 3), pads=(0, 0, 1, 1, 0, 1), onnxruntime=True)
    yield case("empty", 0, 3, (5, 4), (2, 1))
    for dtype in NUMBERS:
        yield case(f"{np.dtype(dtype).name}", 2, 2, (5, 4), (2, 3), dtype=dtype)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_col2im(case: Case) -> None:
    check(case)


def refused(message: str, shape: tuple[int, ...], image: list[int], block: list[int], **settings: Any) -> None:
    x = {"x": np.zeros(shape, settings.pop("dtype", np.float32))}
    error = settings.pop("error", ModelError)
    constants = {"image": np.asarray(image, np.int64), "block": np.asarray(block, np.int64)}
    model = one_node("Col2Im", x, constants=constants, output_dtype=x["x"].dtype, **settings)
    check_refused(model, x, error, message, "Col2Im")


def test_what_is_refused() -> None:
    refused("image_shape has 2 numbers and block_shape 1", (1, 4, 9), [4, 4], [2])
    refused("image_shape has -1", (1, 4, 9), [-1, 4], [2, 2])
    refused("not a multiple of the 4 elements", (1, 5, 9), [4, 4], [2, 2])
    refused("has 8 blocks, the image has room for 9", (1, 4, 8), [4, 4], [2, 2])
    refused("expected a batch", (4, 9), [4, 4], [2, 2])
    refused("a kernel of 5", (1, 20, 9), [4, 4], [5, 4])
    refused("input 0 is bool", (1, 4, 9), [4, 4], [2, 2], dtype=np.bool_)
