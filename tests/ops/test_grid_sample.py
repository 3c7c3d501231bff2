from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError

PADDINGS = ("zeros", "border", "reflection")


def reflect(x: Array, low: float, high: float) -> Array:
    """By a triangle wave between the borders."""
    if high == low:
        return np.full_like(x, low)
    phase = np.mod(x - low, 2 * (high - low))
    return low + (high - low) - np.abs(phase - (high - low))


def cubic(distance: Array) -> Array:
    d, a = np.abs(distance), -0.75
    near, far = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def sampled(x: Array, grid: Array, mode: str, padding: str, align: bool) -> Array:
    """All axes at once: a dense weight per axis and pixel, [N, positions, extent]."""
    axes = x.ndim - 2
    flat = grid.reshape(grid.shape[0], int(np.prod(grid.shape[1:-1])), axes)[..., ::-1]
    made: Array = x.astype(np.float64)
    weights = []
    for axis, extent in enumerate(x.shape[2:]):
        g = flat[..., axis]
        size = g.dtype.type(extent)
        at = (g + 1) / 2 * (size - 1) if align else ((g + 1) * size - 1) / 2
        if mode == "nearest":
            at = np.rint(at)
        at = at.astype(np.float64)
        low, high = (0.0, extent - 1.0) if align else (-0.5, extent - 0.5)
        beyond = (at < low) | (at > high)
        if padding == "border" and mode != "cubic":  # whose neighbours are clamped alone
            at = np.where(beyond, np.clip(at, 0, extent - 1), at)
        elif padding == "reflection":
            at = np.where(beyond, reflect(at, low, high), at)
        below = np.floor(at).astype(int)
        w = np.zeros((*at.shape, extent))
        for step in range(-1, 3):
            pixel = below + step
            distance = pixel - at
            share = {"linear": lambda d: np.clip(1 - np.abs(d), 0, None), "cubic": cubic}.get(
                mode, lambda d: (d == 0) * 1.0
            )(distance)
            inside = (pixel >= 0) & (pixel < extent)
            if padding == "border":
                pixel, inside = np.clip(pixel, 0, extent - 1), np.ones_like(inside)
            elif padding == "reflection":
                there = reflect(pixel.astype(np.float64), low, high).astype(int)
                pixel, inside = np.where(inside, pixel, np.clip(there, 0, extent - 1)), np.ones_like(inside)
            n, p = np.nonzero(inside)
            np.add.at(w, (n, p, pixel[n, p]), share[n, p])
        weights.append(w)
    letters = "abcdef"[:axes]
    made = np.einsum(f"nm{letters},{','.join(f'np{a}' for a in letters)}->nmp", made, *weights)
    return made.reshape(*x.shape[:2], *grid.shape[1:-1])


def case(
    name: str,
    shape: tuple[int, ...],
    outputs: tuple[int, ...],
    *,
    mode: str = "linear",
    padding: str = "zeros",
    align: int = 0,
    dtype: Any = np.float32,
    grid_dtype: Any = np.float32,
    opset: int = 20,
    onnxruntime: bool = True,
    symbolic_batch: bool = False,
) -> Case:
    rng = np.random.default_rng(len(name))
    x = values(rng, shape, dtype)
    if dtype is np.int64:
        x %= 1 << 40  # what float64 holds
    grid = rng.uniform(-2.2, 2.2, (shape[0], *outputs, len(outputs))).astype(grid_dtype)
    old = {"linear": "bilinear", "cubic": "bicubic"} if opset < 20 else {}
    attributes = {"mode": old.get(mode, mode), "padding_mode": padding, "align_corners": align}
    inputs = {"x": x, "grid": grid}
    model = one_node(
        "GridSample", inputs, output_dtype=dtype, opset=opset, symbolic_batch=symbolic_batch, more=attributes
    )
    y = sampled(x, grid, mode, padding, bool(align))
    if x.dtype.kind != "f":
        y = np.clip(y, np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)
    theirs = onnxruntime and dtype == np.float32
    return Case(name, model, inputs, {"y": y}, length=None, onnxruntime=theirs)


def cases() -> Iterator[Case]:
    for mode in ("linear", "nearest", "cubic"):
        for padding in PADDINGS:
            for align in (0, 1):
                kept: dict[str, Any] = {"mode": mode, "padding": padding, "align": align}
                for opset in (16, 20):
                    name = f"{mode}-{padding}-{align}-{opset}"
                    yield case(name, (3, 5, 7, 9), (4, 6), opset=opset, **kept)
                if mode != "cubic":
                    yield case(f"volume-{mode}-{padding}-{align}", (2, 3, 4, 5, 6), (3, 2, 4), **kept)
                yield case(f"line-{mode}-{padding}-{align}", (2, 3, 9), (7,), onnxruntime=False, **kept)
                yield case(f"pixel-{mode}-{padding}-{align}", (2, 3, 1, 1), (3, 2), **kept)
    yield case("volume-cubic", (2, 3, 4, 5, 6), (3, 2, 4), mode="cubic", onnxruntime=False)
    yield case("large", (2, 17, 31, 37), (41, 43))
    for batch in (1, 3):
        yield case(f"batch{batch}", (batch, 5, 7, 9), (4, 6), symbolic_batch=True)
    yield case("float64-grid", (2, 3, 5, 6), (3, 4), grid_dtype=np.float64, onnxruntime=False)
    for dtype in (np.float64, np.uint8, np.int8, np.int32, np.int64):
        yield case(f"nearest-{np.dtype(dtype).name}", (2, 3, 5, 6), (3, 4), mode="nearest", dtype=dtype)
    yield case("linear-float64", (2, 3, 5, 6), (3, 4), dtype=np.float64)
    yield case("empty", (0, 3, 5, 6), (3, 4))


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_grid_sample(case: Case) -> None:
    check(case)


def test_integers_are_truncated() -> None:
    x = np.asarray([[[[-100, 100], [50, -51]]]], np.int8)
    grid = np.asarray([[[[0, 0], [0.3, 0.1]]]], np.float32)
    model = one_node("GridSample", {"x": x, "grid": grid}, output_dtype=np.int8, align_corners=1)
    y = np.trunc(sampled(x, grid, "linear", "zeros", True)).astype(np.int8)
    check(Case("truncated", model, {"x": x, "grid": grid}, {"y": y}, onnxruntime=False))


@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
@pytest.mark.parametrize("padding", PADDINGS)
def test_far_away(mode: str, padding: str) -> None:
    x = np.full((1, 1, 3, 3), 2.0, np.float32)
    grid = np.asarray([[[[1e30, 0], [0, -1e30], [3e38, -3e38]]]], np.float32)
    model = one_node("GridSample", {"x": x, "grid": grid}, mode=mode, padding_mode=padding)
    expected = np.full((1, 1, 1, 3), 0.0 if padding == "zeros" else 2.0)
    check(Case("far", model, {"x": x, "grid": grid}, {"y": expected}, onnxruntime=False))


def refused(message: str, x: tuple[int, ...], grid: tuple[int, ...], **settings: Any) -> None:
    inputs = {"x": np.zeros(x, settings.pop("dtype", np.float32)), "grid": np.zeros(grid, np.float32)}
    error = settings.pop("error", ModelError)
    model = one_node("GridSample", inputs, output_dtype=inputs["x"].dtype, more=settings)
    check_refused(model, inputs, error, message, "GridSample")


def test_what_is_refused() -> None:
    refused("mode is 'area'", (1, 1, 3, 3), (1, 2, 2, 2), mode="area")
    refused("padding_mode is 'wrap'", (1, 1, 3, 3), (1, 2, 2, 2), padding_mode="wrap")
    refused("and the grid", (1, 1, 3, 3), (1, 2, 2, 3))
    refused("and the grid", (1, 1, 3, 3), (2, 2, 2, 2))
    refused("and the grid", (1, 1, 3, 3), (1, 2, 2))
    refused("input 0 is bool", (1, 1, 3, 3), (1, 2, 2, 2), dtype=np.bool_)
