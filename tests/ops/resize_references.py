"""Resize in float64 NumPy: one matrix [outputs, inputs] per axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from onnx_models import Array

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """How one axis is resized.

    Attributes:
        inputs: Its extent.
        outputs: Its extent in the result.
        scale: What output extents are divided by.
        width: outputs before they were rounded down; outputs if None.
        roi: Begin and end of the region of interest.
    """

    inputs: int
    outputs: int
    scale: float
    width: float | None = None
    roi: tuple[float, float] = (0.0, 1.0)

    def places(self, mode: str, dtype: type[np.floating[Any]] = np.float64) -> Array:
        """The input positions of all outputs by a coordinate_transformation_mode."""
        x = np.arange(self.outputs).astype(dtype)
        scale, half = dtype(self.scale), dtype(0.5)
        width = dtype(self.outputs if self.width is None else self.width)
        last = dtype(self.inputs - 1)
        if mode == "half_pixel" or (mode == "pytorch_half_pixel" and self.outputs > 1):
            return (x + half) / scale - half
        if mode == "half_pixel_symmetric":
            return dtype(self.inputs) / 2 * (1 - dtype(self.outputs) / width) + (x + half) / scale - half
        if mode == "asymmetric":
            return x / scale
        if mode == "tf_half_pixel_for_nn":
            return (x + half) / scale
        if mode == "tf_crop_and_resize":
            begin, end = (dtype(r) for r in self.roi)
            if self.outputs == 1:
                return np.full(1, half * (begin + end) * last)
            return begin * last + x * (end - begin) * last / dtype(self.outputs - 1)
        if mode == "align_corners" and self.outputs > 1:
            return x * last / (width - 1)
        return np.zeros(self.outputs, dtype)


def scaled(inputs: int, scale: float) -> Axis:
    """An axis by a scale, whose product is float32 as in ONNX Runtime."""
    width = np.float32(inputs) * np.float32(scale)
    return Axis(inputs, int(width), float(np.float32(scale)), float(width))


def sized(inputs: int, outputs: int) -> Axis:
    """An axis to so many elements."""
    return Axis(inputs, outputs, outputs / inputs)


def rounded(x: Array, how: str) -> Array:
    """By a nearest_mode. What float32 leaves of a tie is one: ONNX Runtime allows it 1e-6."""
    below = np.floor(x)
    tie = np.abs(x - below - np.float32(0.5)) < 1e-6
    if how.startswith("round"):
        return np.where(tie, below + (how == "round_prefer_ceil"), np.rint(x))
    return np.asarray({"floor": np.floor, "ceil": np.ceil}[how](x))


def kernel(mode: str, distance: Array, a: float) -> Floats:
    """The weight of an input element so far away."""
    x = np.abs(distance)
    if mode == "linear":
        return np.asarray(np.clip(1 - x, 0, None))
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.asarray(np.where(x <= 1, near, np.where(x < 2, far, 0)))


def weights(
    axis: Axis,
    mode: str,
    coordinates: str,
    nearest: str = "round_prefer_floor",
    a: float = -0.75,
    antialias: bool = False,
    exclude_outside: bool = False,
) -> Floats:
    """The matrix of an axis; a row of NaN is outside the region of interest."""
    made = np.zeros((axis.outputs, axis.inputs))
    if axis.scale == 1 and axis.roi == (0, 1):
        return np.eye(axis.inputs)
    x = axis.places(coordinates, np.float32 if mode == "nearest" or coordinates == "tf_crop_and_resize" else np.float64)
    stretch = max(1.0, 1 / axis.scale) if antialias else 1.0
    reach = 0 if mode == "nearest" else int(np.ceil(2 * stretch)) + 1
    for i, place in enumerate(x):
        if coordinates == "tf_crop_and_resize" and not 0 <= place <= axis.inputs - 1:
            made[i] = np.nan
            continue
        if mode == "nearest":
            made[i, int(np.clip(rounded(place, nearest), 0, axis.inputs - 1))] = 1
            continue
        at = np.arange(int(np.floor(place)) - reach, int(np.floor(place)) + reach + 1)
        w = kernel(mode, (at - place) / stretch, a)
        if antialias:
            w = w / w.sum()
        if exclude_outside:
            w = np.where((at >= 0) & (at < axis.inputs), w, 0)
            w = w / w.sum()
        np.add.at(made[i], np.clip(at, 0, axis.inputs - 1), w)
    return made


def resample(x: Array, matrices: Sequence[Floats], extrapolation: float = 0.0) -> Floats:
    """All axes of x, float64."""
    y = x.astype(np.float64)
    for axis, matrix in enumerate(matrices):
        y = np.moveaxis(np.tensordot(matrix, y, axes=([1], [axis])), 0, axis)
    return np.where(np.isnan(y), extrapolation, y)
