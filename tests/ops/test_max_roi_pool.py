from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError, UnsupportedError


def pooled(x: Array, rois: Array, size: tuple[int, int], scale: float) -> Array:
    y = np.zeros((len(rois), x.shape[1], *size))
    for r, roi in enumerate(rois.astype(np.float64)):
        x1, y1, x2, y2 = np.floor(roi[1:] * scale + 0.5).astype(int)
        high = np.float32(max(y2 - y1 + 1, 1)) / np.float32(size[0])
        wide = np.float32(max(x2 - x1 + 1, 1)) / np.float32(size[1])
        for i in range(size[0]):
            rows = slice(max(int(np.floor(i * high)) + y1, 0), max(int(np.ceil((i + 1) * high)) + y1, 0))
            for j in range(size[1]):
                columns = slice(max(int(np.floor(j * wide)) + x1, 0), max(int(np.ceil((j + 1) * wide)) + x1, 0))
                seen = x[int(roi[0]), :, rows, columns]
                if seen.size:
                    y[r, :, i, j] = seen.max((1, 2))
    return y


def case(name: str, size: tuple[int, int], scale: float = 1.0, dtype: Any = np.float32, regions: int = 6) -> Case:
    rng = np.random.default_rng(len(name))
    x = values(rng, (3, 5, 9, 11), dtype)
    corners = rng.uniform(-3, 13, (regions, 2, 2)) / scale
    images = rng.integers(0, 3, (regions, 1))
    rois = np.concatenate([images, corners.min(1), corners.max(1)], 1).astype(dtype)
    model = one_node("MaxRoiPool", {"x": x, "rois": rois}, output_dtype=dtype, pooled_shape=size, spatial_scale=scale)
    expected = {"y": pooled(x, rois, size, scale)}
    theirs = dtype == np.float32 and regions > 0
    return Case(name, model, {"x": x, "rois": rois}, expected, exact=True, onnxruntime=theirs)


def cases() -> Iterator[Case]:
    yield case("square", (3, 3))
    yield case("one", (1, 1))
    yield case("wide", (2, 5))
    yield case("more-than-pixels", (13, 14))
    yield case("scaled", (3, 4), 0.25)
    yield case("float64", (3, 4), dtype=np.float64)
    yield case("none", (3, 4), regions=0)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_max_roi_pool(case: Case) -> None:
    check(case)


def refused(message: str, *, image: float = 0, edge: float = 1, **settings: Any) -> None:
    dtype = settings.pop("dtype", np.float32)
    error = settings.pop("error", ModelError)
    rois = np.full(settings.pop("rois", (1, 5)), edge, dtype)
    rois[:, :1] = image
    inputs = {"x": np.zeros(settings.pop("x", (1, 2, 4, 4)), dtype), "rois": rois}
    model = one_node("MaxRoiPool", inputs, output_dtype=dtype, more={"pooled_shape": [2, 2]} | settings)
    check_refused(model, inputs, error, message, "MaxRoiPool")


def test_what_is_refused() -> None:
    refused("batch index 1 is outside", image=1)
    refused("batch index -1 is outside", image=-1)
    refused("outside what an image can have", edge=3e38)
    refused("pooled_shape has 1 numbers", pooled_shape=[2])
    refused("pooled_shape has 0", pooled_shape=[0, 2])
    refused("expected .N, C, H, W", x=(1, 2, 4))
    refused("rois has shape", rois=(1, 4))
    refused("input 0 is int32", dtype=np.int32, error=UnsupportedError)
    inputs = {"x": np.zeros((1, 2, 4, 4), np.float32), "rois": np.zeros((1, 5), np.float32)}
    check_refused(one_node("MaxRoiPool", inputs), inputs, ModelError, "pooled_shape is required", "MaxRoiPool")
