from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from onnx_models import Array, one_node
from resize_references import Axis, resample, scaled, sized, weights
from runner import Case, check, check_refused
from samples import DTYPES, values
from sanderling import _core
from sanderling.errors import ModelError, UnsupportedError

COORDINATES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_half_pixel_for_nn",
)
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def inputs_of(scales: Any = None, sizes: Any = None, roi: Any = None) -> tuple[dict[str, Array], list[str]]:
    constants: dict[str, Array] = {}
    if roi is not None:
        constants["roi"] = np.asarray(roi, np.float32)
    if scales is not None:
        constants["scales"] = np.asarray(scales, np.float32)
    if sizes is not None:
        constants["sizes"] = np.asarray(sizes, np.int64)
    return constants, ["x", *(n if n in constants else "" for n in ("roi", "scales", "sizes"))]


def case(
    name: str,
    x: Array,
    *,
    scales: Sequence[float] | None = None,
    sizes: Sequence[int] | None = None,
    mode: str = "nearest",
    coordinates: str = "half_pixel",
    nearest: str = "round_prefer_floor",
    opset: int = 19,
    onnxruntime: bool = True,
    symbolic_batch: bool = False,
    **attributes: Any,
) -> Case:
    constants, order = inputs_of(scales, sizes)
    if mode == "nearest":
        attributes["nearest_mode"] = nearest
    model = one_node(
        "Resize",
        {"x": x},
        constants=constants,
        order=order,
        output_dtype=x.dtype,
        opset=opset,
        symbolic_batch=symbolic_batch,
        more={"mode": mode, "coordinate_transformation_mode": coordinates, **attributes},
    )
    if scales is not None:
        axes = [scaled(n, s) for n, s in zip(x.shape, scales, strict=True)]
        if coordinates == "align_corners" and (opset < 19 or "nearest_mode" in attributes):
            axes = [replace(axis, width=None) for axis in axes]
    else:
        assert sizes is not None
        axes = [sized(n, m) for n, m in zip(x.shape, sizes, strict=True)]
    matrices = [
        weights(
            axis,
            mode,
            coordinates,
            nearest,
            float(np.float32(attributes.get("cubic_coeff_a", -0.75))),
            bool(attributes.get("antialias", 0)),
            bool(attributes.get("exclude_outside", 0)),
        )
        for axis in axes
    ]
    y = resample(x, matrices)
    if x.dtype.kind != "f":
        y = y.astype(x.dtype)
    # ONNX Runtime computes coordinates in float32.
    return Case(name, model, {"x": x}, {"y": y}, exact=mode == "nearest", length=None, onnxruntime=onnxruntime)


def cases() -> Iterator[Case]:
    rng = np.random.default_rng(0)
    image = values(rng, (3, 5, 7, 9))
    for coordinates in COORDINATES:
        for nearest in NEAREST:
            kept = {"coordinates": coordinates, "nearest": nearest}
            yield case(f"nearest-up-{coordinates}-{nearest}", image, sizes=(3, 5, 16, 13), **kept)
            yield case(f"nearest-down-{coordinates}-{nearest}", image, sizes=(3, 5, 3, 4), **kept)
        for mode in ("linear", "cubic"):
            settings: dict[str, Any] = {"mode": mode, "coordinates": coordinates}
            yield case(f"{mode}-up-{coordinates}", image, sizes=(3, 5, 16, 13), **settings)
            yield case(f"{mode}-down-{coordinates}", image, sizes=(3, 5, 3, 4), **settings)
            yield case(f"{mode}-one-{coordinates}", image, sizes=(3, 5, 1, 1), **settings)
            # ONNX Runtime aligns the corners of the output's whole pixels, onnx's cases of its fractional width.
            theirs = coordinates != "align_corners"
            yield case(f"{mode}-scales-{coordinates}", image, scales=(1, 1, 1.3, 0.6), onnxruntime=theirs, **settings)
    for mode in ("nearest", "linear", "cubic"):
        for opset in (13, 18, 20):
            # PyTorch's exporters write nearest_mode into every Resize.
            whole: dict[str, Any] = {"coordinates": "align_corners", "opset": opset}
            whole |= {"nearest": "floor"} if mode == "nearest" else {"nearest_mode": "floor"} if opset > 18 else {}
            for scales in ((1, 1, 0.5, 1.3), (1, 1, 1.05, 0.15)):
                yield case(f"{mode}-corners-{scales}-{opset}", image, scales=scales, mode=mode, **whole)
    for a in (-0.5, -0.75):
        for outside in (0, 1):
            extra = {"cubic_coeff_a": a, "exclude_outside": outside}
            yield case(f"cubic{a}-{outside}", image, scales=(1, 1, 0.8, 1.7), mode="cubic", **extra)
    for mode in ("linear", "cubic"):
        for outside in (0, 1):
            extra = {"antialias": 1, "exclude_outside": outside}
            yield case(f"antialias-{mode}-{outside}", image, sizes=(3, 5, 3, 4), mode=mode, **extra)
            yield case(f"antialias-up-{mode}-{outside}", image, scales=(1, 1, 2, 0.4), mode=mode, **extra)
    large = values(rng, (3, 5, 61, 67))
    for mode in ("nearest", "linear", "cubic"):
        yield case(f"large-{mode}", large, scales=(1, 1, 2, 2), mode=mode)
        yield case(f"large-{mode}-one-axis", large, scales=(1, 1, 1, 2), mode=mode)
        yield case(f"large-{mode}-opset11", large, scales=(1, 1, 2, 2), mode=mode, opset=13)
        yield case(f"channels-last-{mode}", values(rng, (3, 7, 9, 5)), scales=(1, 2, 3, 1), mode=mode)
        yield case(f"line-{mode}", values(rng, (17,)), scales=(2.5,), mode=mode, onnxruntime=mode == "nearest")
        theirs = mode != "cubic"
        volume = values(rng, (1, 3, 4, 5, 6))
        yield case(f"rank5-{mode}", volume, scales=(1, 1, 2, 0.5, 1.5), mode=mode, onnxruntime=theirs)

        yield case(f"all-axes-{mode}", values(rng, (3, 4, 5)), sizes=(5, 7, 2), mode=mode, onnxruntime=theirs)
        yield case(f"identity-{mode}", image, scales=(1, 1, 1, 1), mode=mode)
        yield case(f"one-pixel-{mode}", values(rng, (1, 1, 1, 1)), sizes=(1, 1, 5, 4), mode=mode)
        for batch in (1, 3):
            x = values(rng, (batch, 2, 5, 5))
            yield case(f"batch{batch}-{mode}", x, scales=(1, 1, 2, 2), mode=mode, symbolic_batch=True)
        for dtype in (np.float64, np.uint8, np.int8, np.int16, np.uint32, np.int64):
            x = values(rng, (1, 2, 5, 7), dtype)
            if dtype is np.int64:
                x %= 1 << 40
            yield (
                case(f"{np.dtype(dtype).name}-{mode}", x, scales=(1, 1, 2, 0.7), mode=mode, onnxruntime=False)
                if (dtype is np.float64 or mode == "nearest")
                else integer_case(np.dtype(dtype).name, x, mode)
            )
    for dtype in DTYPES:
        x = values(rng, (1, 2, 3, 4), dtype)
        if dtype is np.int64:
            x %= 1 << 40  # what float64 holds
        yield case(f"moves-{np.dtype(dtype).name}", x, sizes=(1, 2, 5, 4), onnxruntime=False)
    yield case("empty", np.zeros((0, 2, 3, 4), np.float32), scales=(1, 1, 2, 2), mode="linear", onnxruntime=False)
    yield case("empty-output", image, sizes=(3, 5, 0, 4), mode="linear", onnxruntime=False)


def integer_case(name: str, x: Array, mode: str) -> Case:
    """Whole weights, so that what is truncated is exact."""
    constants, order = inputs_of(scales=(1, 1, 1, 2))
    attributes = {"mode": mode, "coordinate_transformation_mode": "asymmetric", "cubic_coeff_a": -0.5}
    model = one_node("Resize", {"x": x}, constants=constants, order=order, output_dtype=x.dtype, more=attributes)
    y = resample(x, [*map(np.eye, x.shape[:3]), weights(scaled(x.shape[3], 2), mode, "asymmetric", a=-0.5)])
    info = np.iinfo(x.dtype)
    y = np.clip(y, info.min, info.max).astype(x.dtype)
    return Case(f"{name}-{mode}", model, {"x": x}, {"y": y}, onnxruntime=False)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_resize(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("opset", [13, 18, 20])
def test_corners_as_torch_aligns_them(opset: int) -> None:
    """What torch's exporters write for interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=True)."""
    x = np.arange(35, dtype=np.float32).reshape(1, 1, 5, 7)
    constants, order = inputs_of(scales=(1, 1, 0.5, 0.5))
    more = {"coordinate_transformation_mode": "align_corners", "cubic_coeff_a": -0.75}
    more |= {"mode": "linear", "nearest_mode": "floor"}
    model = one_node("Resize", {"x": x}, constants=constants, order=order, opset=opset, more=more)
    check(Case("torch", model, {"x": x}, {"y": np.array([[[[0.0, 3, 6], [28, 31, 34]]]])}))


@pytest.mark.parametrize("axes", [[2, 3], [3, 2], [-1, -2]])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_axes(mode: str, axes: list[int]) -> None:
    x = values(np.random.default_rng(1), (2, 3, 5, 7))
    constants, order = inputs_of(sizes=(4, 9))
    model = one_node("Resize", {"x": x}, constants=constants, order=order, more={"mode": mode, "axes": axes})
    sizes = {axes[0] % 4: 4, axes[1] % 4: 9}
    matrices = [weights(sized(n, sizes.get(i, n)), mode, "half_pixel") for i, n in enumerate(x.shape)]
    check(Case("axes", model, {"x": x}, {"y": resample(x, matrices)}, length=None))


@pytest.mark.parametrize(("policy", "outputs"), [("stretch", (6, 5)), ("not_larger", (4, 5)), ("not_smaller", (6, 8))])
def test_aspect_ratio(policy: str, outputs: tuple[int, int]) -> None:
    x = values(np.random.default_rng(1), (2, 3, 7, 9))
    constants, order = inputs_of(sizes=(6, 5))
    more = {"mode": "linear", "axes": [2, 3], "keep_aspect_ratio_policy": policy}
    model = one_node("Resize", {"x": x}, constants=constants, order=order, more=more)
    scales = {"stretch": (6 / 7, 5 / 9), "not_larger": (5 / 9, 5 / 9), "not_smaller": (6 / 7, 6 / 7)}[policy]
    axes = [Axis(n, m, s) for n, m, s in zip((7, 9), outputs, scales, strict=True)]
    matrices = [np.eye(2), np.eye(3), *(weights(axis, "linear", "half_pixel") for axis in axes)]
    check(Case(policy, model, {"x": x}, {"y": resample(x, matrices)}, length=None))


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("sizes", [(3, 4), (9, 11), (1, 1)])
def test_crop(mode: str, sizes: tuple[int, int]) -> None:
    x = values(np.random.default_rng(1), (2, 3, 5, 7))
    regions = ((0.2, 0.7), (0.6, 1.2))
    constants, order = inputs_of(sizes=(2, 3, *sizes), roi=(0, 0, 0.2, 0.6, 1, 1, 0.7, 1.2))
    more = {"mode": mode, "coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 10.0}
    model = one_node("Resize", {"x": x}, constants=constants, order=order, more=more)
    axes = [
        Axis(n, m, m / n, roi=(float(np.float32(r[0])), float(np.float32(r[1]))))
        for n, m, r in zip((5, 7), sizes, regions, strict=True)
    ]
    matrices = [np.eye(2), np.eye(3), *(weights(axis, mode, "tf_crop_and_resize") for axis in axes)]
    check(Case("crop", model, {"x": x}, {"y": resample(x, matrices, 10.0)}, length=None))


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_opset_10(mode: str) -> None:
    x = values(np.random.default_rng(1), (2, 3, 5, 7))
    scales = np.asarray([1, 1, 0.6, 2], np.float32)
    model = one_node("Resize", {"x": x}, constants={"scales": scales}, opset=10, mode=mode)
    down = weights(scaled(5, 0.6), mode, "asymmetric", "ceil")
    matrices = [np.eye(2), np.eye(3), down, weights(scaled(7, 2), mode, "asymmetric", "floor")]
    check(Case(f"opset10-{mode}", model, {"x": x}, {"y": resample(x, matrices)}, length=None))


@pytest.mark.parametrize("given", ["scales", "sizes"])
def test_what_is_empty_is_left_out(given: str) -> None:
    """As exporters of opset 11 write it."""
    x = values(np.random.default_rng(1), (2, 3, 5, 7))
    constants, order = inputs_of(scales=[], sizes=[], roi=[])
    more, _ = inputs_of(scales=(1, 1, 2, 2)) if given == "scales" else inputs_of(sizes=(2, 3, 10, 14))
    model = one_node("Resize", {"x": x}, constants=constants | more, order=order, opset=11, mode="linear")
    matrices = [weights(sized(n, m), "linear", "half_pixel") for n, m in zip(x.shape, (2, 3, 10, 14), strict=True)]
    check(Case(given, model, {"x": x}, {"y": resample(x, matrices)}, length=None, onnxruntime=False))
    (step,) = _core.Session(_core.Model(model.SerializeToString())).profile([x])
    assert step[2] != "reference"  # which runs where inputs are empty, unless the operator says otherwise


def test_sizes_that_are_computed() -> None:
    x = values(np.random.default_rng(1), (2, 3, 5, 7))
    sizes = np.asarray([2, 3, 10, 8], np.int64)
    inputs = {"x": x, "sizes": sizes}
    model = one_node("Resize", inputs, order=["x", "", "", "sizes"], mode="linear")
    matrices = [weights(sized(n, int(m)), "linear", "half_pixel") for n, m in zip(x.shape, sizes, strict=True)]
    check(Case("computed", model, inputs, {"y": resample(x, matrices)}, length=None))


def refused(message: str, *, scales: Any = None, sizes: Any = None, roi: Any = None, **settings: Any) -> None:
    x = settings.pop("x", {"x": np.zeros((1, 2, 3, 4), np.float32)})
    error = settings.pop("error", ModelError)
    constants, order = inputs_of(scales, sizes, roi)
    dtype = next(iter(x.values())).dtype
    model = one_node("Resize", x, constants=constants, order=order, output_dtype=dtype, more=settings)
    check_refused(model, x, error, message, "Resize")


def test_what_is_refused() -> None:
    refused("has neither scales nor sizes")
    refused("has both scales and sizes", scales=(1, 1, 1, 1), sizes=(1, 2, 3, 4))
    refused("scales has 2 numbers, expected 4", scales=(1, 1))
    refused("sizes has 3 numbers, expected 4", sizes=(1, 1, 2))
    refused("a scale is 0", scales=(1, 1, 0, 1))
    refused("a scale is nan", scales=(1, 1, np.nan, 1))
    refused("a scale is inf", scales=(1, 1, np.inf, 1))
    refused("a size is -1", sizes=(1, 2, -1, 1))
    refused("mode is 'lanczos'", scales=(1, 1, 1, 1), mode="lanczos")
    refused("nearest_mode is 'up'", scales=(1, 1, 1, 1), nearest_mode="up")
    refused("coordinate_transformation_mode is 'x'", scales=(1, 1, 1, 1), coordinate_transformation_mode="x")
    refused("keep_aspect_ratio_policy is 'x'", sizes=(1, 1, 1, 1), keep_aspect_ratio_policy="x")
    refused("antialias is 1 with mode 'nearest'", scales=(1, 1, 1, 1), antialias=1)
    line = {"x": np.zeros((1, 1 << 21), np.float32)}
    settings = {"x": line, "mode": "linear", "antialias": 1, "error": UnsupportedError}
    refused("antialias is 1 where axis 1 shrinks", sizes=(1, 1), **settings)
    refused("axis 2 is named twice", scales=(1, 1), axes=[2, -2])
    refused("axis 4 is outside", scales=(1,), axes=[4])
    refused("roi has 0 numbers", scales=(1, 1, 1, 1), coordinate_transformation_mode="tf_crop_and_resize")
    refused("cubic_coeff_a is inf", scales=(1, 1, 1, 1), mode="cubic", cubic_coeff_a=float("inf"))
    empty = {"x": np.zeros((1, 2, 0, 4), np.float32)}
    refused("cannot make 5 elements of the empty axis 2", sizes=(1, 2, 5, 4), x=empty)
    flags = {"x": np.zeros((1, 2, 3, 4), np.bool_)}
    refused("input 0 is bool", scales=(1, 1, 2, 2), mode="linear", x=flags, error=UnsupportedError)


def test_a_region_of_nothing_but_nan() -> None:
    x = np.ones((1, 1, 3, 3), np.float32)
    constants, order = inputs_of(sizes=(1, 1, 2, 2), roi=(0, 0, np.nan, 0, 1, 1, np.inf, 1))
    more = {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 3.0}
    model = one_node("Resize", {"x": x}, constants=constants, order=order, more=more)
    check(Case("nan", model, {"x": x}, {"y": np.full((1, 1, 2, 2), 3.0)}, exact=True, onnxruntime=False))
