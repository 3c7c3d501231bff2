from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError, UnsupportedError


def line(start: float, length: float, bins: int, ratio: int, extent: int) -> tuple[list[list[Array]], int]:
    """Per bin the dense weights [extent] of each sample; none of a sample that is off the image."""
    size = length / bins
    samples = ratio or int(np.ceil(max(size, 0)))
    made = []
    for i in range(bins):
        made.append([])
        for j in range(samples):
            at = start + i * size + (j + 0.5) * size / samples
            w = np.zeros(extent)
            if -1 <= at <= extent:
                at = min(max(at, 0.0), extent - 1.0)
                low = min(int(at), max(extent - 2, 0))
                w[low] = 1 - (at - low)
                if low + 1 < extent:
                    w[low + 1] = at - low
            made[-1].append(w)
    return made, samples


def aligned(
    x: Array, rois: Array, images: Array, size: tuple[int, int], ratio: int, scale: float, half: bool, mode: str
) -> Array:
    wide = x.astype(np.float64)
    y = np.zeros((len(rois), x.shape[1], *size))
    for r, (roi, image) in enumerate(zip(rois.astype(np.float64), images, strict=True)):
        x1, y1, x2, y2 = roi * np.float64(np.float32(scale)) - (0.5 if half else 0.0)
        extents = [y2 - y1, x2 - x1] if half else [max(y2 - y1, 1.0), max(x2 - x1, 1.0)]
        rows, high = line(y1, extents[0], size[0], ratio, x.shape[2])
        columns, across = line(x1, extents[1], size[1], ratio, x.shape[3])
        for i in range(size[0]):
            for j in range(size[1]):
                terms = [np.einsum("chw,h,w->chw", wide[image], a, b) for a in rows[i] for b in columns[j]]
                if not terms:
                    continue
                all_terms = np.stack(terms)
                if mode == "avg":
                    y[r, :, i, j] = all_terms.sum((0, 2, 3)) / max(high * across, 1)
                else:
                    y[r, :, i, j] = largest(all_terms, rows[i], columns[j])
    return y


def largest(terms: Array, rows: list[Array], columns: list[Array]) -> Array:
    """Over the corners of all samples; those with weight 0 count as 0, as a sample off the image does."""
    whole = [not (np.count_nonzero(a) == 2 and np.count_nonzero(b) == 2) for a in rows for b in columns]
    best = np.full(terms.shape[1], -np.inf)
    for term, zero in zip(terms, whole, strict=True):
        used = np.abs(term).max(0) != 0
        corner = np.where(used, term, -np.inf).max((1, 2))
        best = np.maximum(best, np.maximum(corner, 0.0) if zero else corner)
    return best


def case(
    name: str,
    *,
    size: tuple[int, int] = (3, 4),
    ratio: int = 2,
    scale: float = 1.0,
    half: bool = True,
    mode: str = "avg",
    dtype: Any = np.float32,
    opset: int = 16,
    regions: int = 5,
) -> Case:
    rng = np.random.default_rng(len(name))
    x = values(rng, (3, 5, 9, 11), dtype)
    corners = rng.uniform(-3, 13, (regions, 2, 2)) / scale
    rois = np.concatenate([corners.min(1), corners.max(1)], 1).astype(dtype)
    images = rng.integers(0, 3, regions)
    attributes: dict[str, Any] = {"output_height": size[0], "output_width": size[1], "sampling_ratio": ratio}
    attributes |= {"spatial_scale": scale, "mode": mode}
    if opset >= 16 and not half:
        attributes["coordinate_transformation_mode"] = "output_half_pixel"
    inputs = {"x": x, "rois": rois, "images": images}
    model = one_node("RoiAlign", inputs, output_dtype=dtype, opset=opset, more=attributes)
    y = aligned(x, rois, images, size, ratio, scale, half and opset >= 16, mode)
    theirs = dtype == np.float32 and regions > 0
    return Case(name, model, inputs, {"y": y}, length=None, onnxruntime=theirs)


def cases() -> Iterator[Case]:
    for mode in ("avg", "max"):
        for half in (False, True):
            for ratio in (0, 1, 2, 3):
                yield case(f"{mode}-{half}-{ratio}", mode=mode, half=half, ratio=ratio)
        yield case(f"{mode}-scaled", mode=mode, scale=0.25)
        yield case(f"{mode}-opset10", mode=mode, opset=10)
        yield case(f"{mode}-one-bin", mode=mode, size=(1, 1), ratio=0)
    yield case("float64", dtype=np.float64)
    yield case("none", regions=0)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_roi_align(case: Case) -> None:
    check(case)


def refused(message: str, **settings: Any) -> None:
    dtype = settings.pop("dtype", np.float32)
    shapes = {"x": (1, 2, 4, 4), "rois": (1, 4)} | settings.pop("shapes", {})
    inputs = {"x": np.zeros(shapes["x"], dtype), "rois": np.full(shapes["rois"], settings.pop("edge", 1), dtype)}
    inputs["images"] = np.full(settings.pop("regions", 1), settings.pop("image", 0), np.int64)
    error = settings.pop("error", ModelError)
    model = one_node("RoiAlign", inputs, output_dtype=dtype, more=settings)
    check_refused(model, inputs, error, message, "RoiAlign")


def test_what_is_refused() -> None:
    refused(r"batch index 1 is outside \[0, 1\)", image=1)
    refused("batch index -1 is outside", image=-1)
    refused("expected .N, C, H, W", shapes={"x": (1, 2, 4)})
    refused("rois has shape", shapes={"rois": (1, 5)})
    refused("batch_indices has shape", regions=2)
    refused("mode is 'sum'", mode="sum")
    refused("coordinate_transformation_mode is 'x'", coordinate_transformation_mode="x")
    refused("output_height is 0", output_height=0)
    refused("sampling_ratio is -1", sampling_ratio=-1)
    refused("has no pixels", shapes={"x": (1, 2, 0, 4)})
    refused("input 0 is int32", dtype=np.int32, error=UnsupportedError)
    inputs = {"x": np.zeros((1, 2, 4, 4), np.float32), "rois": np.asarray([[0, 0, 3e38, 1]], np.float32)}
    inputs["images"] = np.zeros(1, np.int64)
    check_refused(one_node("RoiAlign", inputs), inputs, ModelError, "larger than 16384 pixels per bin", "RoiAlign")
