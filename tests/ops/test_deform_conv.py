from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError, UnsupportedError
from window_references import Sliding, convolve


def looked_up(plane: Array, at: Array) -> Array:
    """Linear interpolation of plane [extents] at positions [axes, ...]; 0 outside."""
    total = np.zeros(at.shape[1:])
    below = np.floor(at).astype(int)
    for corner in product((0, 1), repeat=plane.ndim):
        pixel = below + np.asarray(corner).reshape(-1, *[1] * (at.ndim - 1))
        weight = np.prod(1 - np.abs(at - pixel), 0)
        bound = np.asarray(plane.shape).reshape(-1, *[1] * (at.ndim - 1))
        inside = ((pixel >= 0) & (pixel < bound)).all(0)
        total += np.where(inside, weight * plane[tuple(np.clip(pixel, 0, bound - 1))], 0.0)
    return total


def deformed(
    x: Array,
    w: Array,
    offset: Array,
    bias: Array | None,
    mask: Array | None,
    sliding: Sliding,
    group: int,
    offset_group: int,
) -> Array:
    axes, kernel = x.ndim - 2, w.shape[2:]
    those = sliding.axes(x.shape[2:])
    outputs = [axis.outputs for axis in those]
    taps = int(np.prod(kernel))
    moved = offset.astype(np.float64).reshape(x.shape[0], offset_group, taps, axes, *outputs)
    shares = (
        np.ones((x.shape[0], offset_group, taps, *outputs))
        if mask is None
        else mask.reshape(x.shape[0], offset_group, taps, *outputs)
    )
    base = np.stack(np.meshgrid(*(np.arange(a.outputs) * a.stride - a.begin for a in those), indexing="ij"))
    seen = np.zeros((x.shape[0], x.shape[1], taps, *outputs))
    for n, c, t in np.ndindex(x.shape[0], x.shape[1], taps):
        g = c // (x.shape[1] // offset_group)
        tap = np.asarray(np.unravel_index(t, kernel)) * [a.dilation for a in those]
        at = base + tap.reshape(-1, *[1] * axes) + moved[n, g, t]
        seen[n, c, t] = looked_up(x[n, c].astype(np.float64), at) * shares[n, g, t]
    parts = zip(
        np.split(seen, group, 1), np.split(w.astype(np.float64).reshape(*w.shape[:2], taps), group, 0), strict=True
    )
    y = np.concatenate([np.einsum("nct...,oct->no...", a, b) for a, b in parts], 1)
    return y if bias is None else y + bias.reshape(-1, *[1] * axes)


def case(
    name: str,
    shape: tuple[int, ...],
    filters: int,
    sliding: Sliding,
    *,
    group: int = 1,
    offset_group: int = 1,
    bias: bool = True,
    mask: bool = True,
    dtype: Any = np.float32,
    still: bool = False,
) -> Case:
    rng = np.random.default_rng(len(name))
    x, w = values(rng, shape, dtype), values(rng, (filters, shape[1] // group, *sliding.kernel), dtype)
    outputs = [axis.outputs for axis in sliding.axes(shape[2:])]
    taps, axes = offset_group * int(np.prod(sliding.kernel)), len(sliding.kernel)
    inputs = {"x": x, "w": w, "offset": rng.uniform(-3, 3, (shape[0], taps * axes, *outputs)).astype(dtype)}
    if still:
        inputs["offset"] *= 0
    if bias:
        inputs["b"] = values(rng, (filters,), dtype)
    if mask:
        inputs["mask"] = rng.uniform(0, 1, (shape[0], taps, *outputs)).astype(dtype)
    order = [n if n in inputs else "" for n in ("x", "w", "offset", "b", "mask")]
    attributes = sliding.attributes() | {"group": group, "offset_group": offset_group}
    model = one_node("DeformConv", inputs, order=order, output_dtype=dtype, **attributes)
    y = deformed(x, w, inputs["offset"], inputs.get("b"), inputs.get("mask"), sliding, group, offset_group)
    if still:
        np.testing.assert_allclose(y, convolve(x, w, inputs.get("b"), sliding, group), atol=1e-9)
    return Case(name, model, inputs, {"y": y}, length=None, onnxruntime=dtype == np.float32 and axes == 2)


def cases() -> Iterator[Case]:
    padded = Sliding((3, 3), pads=(1, 1, 1, 1))
    yield case("plain", (2, 3, 5, 6), 4, Sliding((2, 3)))
    yield case("padded", (1, 3, 7, 6), 4, padded)
    yield case("strides", (2, 3, 9, 8), 4, Sliding((3, 2), (2, 3), pads=(1, 0, 2, 1)))
    yield case("dilated", (1, 2, 9, 8), 3, Sliding((3, 2), dilations=(2, 3)))
    yield case("groups", (2, 4, 6, 5), 6, padded, group=2)
    yield case("offset-groups", (2, 4, 6, 5), 3, padded, offset_group=2)
    yield case("both-groups", (1, 4, 6, 5), 6, padded, group=2, offset_group=4)
    yield case("no-bias", (1, 2, 6, 5), 3, padded, bias=False)
    yield case("no-mask", (1, 2, 6, 5), 3, padded, mask=False)
    yield case("neither", (1, 2, 6, 5), 3, padded, mask=False, bias=False)
    yield case("still", (1, 2, 6, 5), 3, padded, mask=False, still=True)
    yield case("line", (2, 3, 9), 4, Sliding((3,), (2,)))
    yield case("volume", (1, 2, 4, 5, 3), 3, Sliding((2, 3, 2)))
    yield case("float64", (1, 2, 6, 5), 3, padded, dtype=np.float64)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_deform_conv(case: Case) -> None:
    check(case)


def refused(message: str, error: type[Exception] = ModelError, dtype: Any = np.float32, **settings: Any) -> None:
    shapes: dict[str, tuple[int, ...]] = {"x": (1, 2, 4, 4), "w": (2, 2, 2, 2), "offset": (1, 8, 3, 3)}
    shapes |= {name: settings.pop(name) for name in ("x", "w", "offset", "b", "mask") if name in settings}
    inputs = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    order = [n if n in inputs else "" for n in ("x", "w", "offset", "b", "mask")]
    model = one_node("DeformConv", inputs, order=order, output_dtype=dtype, **settings)
    check_refused(model, inputs, error, message, "DeformConv")


def test_what_is_refused() -> None:
    refused("offset has shape", offset=(1, 7, 3, 3))
    refused("mask has shape", mask=(1, 4, 3, 4))
    refused("the bias has shape", b=(3,))
    refused("both need the same rank", w=(2, 2, 2))
    refused("group is 0", group=0)
    refused("group is 2", group=2)
    refused("offset_group is 3", offset_group=3)
    refused("kernel_shape is not", kernel_shape=[3, 3])
    refused("input 0 is int32", UnsupportedError, np.int32)
