"""Convolution and pooling of [N, C, spatial...] tensors in float64 NumPy, one kernel tap at a time, and their cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from onnx_models import Array

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sliding:
    """How a window slides, as ONNX's attributes say it; an attribute that is None is left out of the node.

    Attributes:
        kernel: One extent per spatial axis.
        strides: 1 each if None.
        dilations: 1 each if None.
        pads: The begins, then the ends; 0 each if None.
        auto_pad: Takes the place of pads.
        ceil_mode: Round the number of output positions up.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...] | None = None
    dilations: tuple[int, ...] | None = None
    pads: tuple[int, ...] | None = None
    auto_pad: str | None = None
    ceil_mode: bool = False

    @classmethod
    def random(cls, rng: np.random.Generator, axes: int, *, pool: bool = False) -> Sliding:
        """Kernels of 1 to 5 taps, strides and dilations of 1 to 3, uneven pads smaller than what the kernel spans.

        Dilations of 1 are left out of the node. Pads of a pool are smaller than the number of its taps, as ONNX Runtime
        demands.
        """
        kernel = tuple(int(k) for k in rng.integers(1, 6 if axes == 1 else 4, axes))
        strides = tuple(int(s) for s in rng.integers(1, 4, axes))
        dilations = tuple(int(d) for d in rng.choice([1, 1, 2, 3], axes))
        dilated = dilations if max(dilations) > 1 else None
        spans = kernel if pool else [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        pads = tuple(int(rng.integers(0, span)) for span in [*spans, *spans])
        return cls(kernel, strides, dilated, pads, ceil_mode=pool and bool(rng.integers(0, 2)))

    def attributes(self, *, pool: bool = False) -> dict[str, Any]:
        """Those of the node; a convolution takes its kernel from the weights."""
        made: dict[str, Any] = {"kernel_shape": self.kernel} if pool else {}
        for name in ("strides", "dilations", "pads", "auto_pad"):
            if getattr(self, name) is not None:
                made[name] = getattr(self, name)
        if self.ceil_mode:
            made["ceil_mode"] = 1
        return made

    def axis(self, a: int, extent: int) -> Axis:
        """What the attributes mean for spatial axis `a` of an input that has `extent` pixels along it."""
        count = len(self.kernel)
        stride = self.strides[a] if self.strides else 1
        dilation = self.dilations[a] if self.dilations else 1
        span = (self.kernel[a] - 1) * dilation + 1
        begin, end = (self.pads[a], self.pads[count + a]) if self.pads else (0, 0)
        if self.auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            outputs = -(-extent // stride)
            total = max((outputs - 1) * stride + span - extent, 0)
            begin = total // 2 if self.auto_pad == "SAME_UPPER" else -(-total // 2)
            end = total - begin
        else:
            if self.auto_pad == "VALID":
                begin = end = 0
            room = extent + begin + end - span
            outputs = (-(-room // stride) if self.ceil_mode else room // stride) + 1
            if self.ceil_mode and (outputs - 1) * stride >= extent + begin:
                outputs -= 1  # it would start beyond the input and its first pad
        return Axis(self.kernel[a], stride, dilation, begin, end, outputs)

    def axes(self, extents: Sequence[int]) -> list[Axis]:
        """`axis` of all."""
        return [self.axis(a, extent) for a, extent in enumerate(extents)]


@dataclass(frozen=True)
class Axis:
    """One spatial axis: its kernel taps, and where they look in the padded input."""

    kernel: int
    stride: int
    dilation: int
    begin: int
    end: int
    outputs: int

    def where(self, tap: int) -> slice:
        """The padded input positions that tap `tap` sees at all output positions."""
        first = tap * self.dilation
        return slice(first, first + (self.outputs - 1) * self.stride + 1, self.stride)

    def padding(self, extent: int) -> tuple[int, int]:
        """Pixels before and after the input, enough for the last window of ceil_mode too."""
        reached = (self.outputs - 1) * self.stride + (self.kernel - 1) * self.dilation + 1
        return self.begin, max(self.end, reached - extent - self.begin)


def taps(x: Array, sliding: Sliding, padding: Any) -> Iterator[tuple[tuple[int, ...], Array]]:
    """(tap, what it sees at all output positions), row-major over the kernel; `padding` where it sees no input."""
    axes = sliding.axes(x.shape[2:])
    widths = [(0, 0), (0, 0), *(axis.padding(extent) for axis, extent in zip(axes, x.shape[2:], strict=True))]
    padded = np.pad(x, widths, constant_values=padding)
    for tap in np.ndindex(*sliding.kernel):
        yield tap, padded[(..., *(axis.where(t) for axis, t in zip(axes, tap, strict=True)))]


def convolve(x: Array, weights: Array, bias: Array | None, sliding: Sliding, group: int = 1) -> Floats:
    """Conv of x [N, C, ...], weights [O, C / group, ...], bias [O]."""
    outputs = weights.shape[0] // group
    parts = np.split(x.astype(np.float64), group, axis=1)
    filters = np.split(weights.astype(np.float64), group, axis=0)
    made = []
    for part, those in zip(parts, filters, strict=True):
        total: Any = 0.0
        for tap, seen in taps(part, sliding, 0.0):
            total = total + np.moveaxis(np.tensordot(seen, those[(..., *tap)], axes=([1], [1])), -1, 1)
        assert total.shape[1] == outputs
        made.append(total)
    y = np.concatenate(made, axis=1)
    if bias is not None:
        y = y + bias.astype(np.float64).reshape(-1, *[1] * len(sliding.kernel))
    return np.asarray(y, np.float64)


def average(x: Array, sliding: Sliding, count_include_pad: bool = False) -> Floats:
    """AveragePool; with count_include_pad the pads count as zeros, but not what ceil_mode adds beyond them."""
    axes = sliding.axes(x.shape[2:])
    inside = np.ones((1, 1, *x.shape[2:]))
    if count_include_pad:
        inside = np.pad(inside, [(0, 0), (0, 0), *((axis.begin, axis.end) for axis in axes)], constant_values=1.0)
        widths = [axis.padding(extent) for axis, extent in zip(axes, x.shape[2:], strict=True)]
        more = [(0, after - axis.end) for axis, (_, after) in zip(axes, widths, strict=True)]
        inside = np.pad(inside, [(0, 0), (0, 0), *more])
        seen = [
            inside[(..., *(axis.where(t) for axis, t in zip(axes, tap, strict=True)))]
            for tap in np.ndindex(*sliding.kernel)
        ]
    else:
        seen = [values for _, values in taps(inside, sliding, 0.0)]
    total = sum(values for _, values in taps(x.astype(np.float64), sliding, 0.0))
    return np.asarray(total / sum(seen), np.float64)


def maximum(x: Array, sliding: Sliding, storage_order: int = 0) -> tuple[Array, npt.NDArray[np.int64]]:
    """MaxPool: the largest, and the index of the first that is as large in the flattened input."""
    floats = np.issubdtype(x.dtype, np.floating)
    lowest = -np.inf if floats else np.iinfo(x.dtype).min
    spatial = x.shape[2:]
    if storage_order == 0:
        pixels = np.arange(np.prod(spatial)).reshape(spatial)
    else:
        pixels = np.arange(np.prod(spatial)).reshape(spatial[::-1]).transpose()
    planes = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *[1] * len(spatial))
    index = planes * int(np.prod(spatial)) + pixels
    values = np.stack([seen for _, seen in taps(x, sliding, lowest)])
    places = np.stack([seen for _, seen in taps(index, sliding, -1)])
    # A tap on padding is never the first of the largest.
    order = np.where(places >= 0, values.astype(np.float64), -np.inf)
    first = np.argmax(np.where(places >= 0, order, -np.inf), axis=0)[None]
    return np.take_along_axis(values, first, 0)[0], np.take_along_axis(places, first, 0)[0].astype(np.int64)


@dataclass(frozen=True)
class Pool:
    """One case of a pool: an input shape and how the window slides over it.

    Attributes:
        name: Unique.
        shape: Of the input.
        sliding: How the window slides.
        onnxruntime: ONNX Runtime takes it too.
    """

    name: str
    shape: tuple[int, ...]
    sliding: Sliding
    onnxruntime: bool = True


def pools() -> Iterator[Pool]:
    """Hand-picked and random windows over one, two and three axes, odd channel counts, batches 1, 3 and 8."""
    two = (2, 2)
    yield Pool("halves", (1, 17, 8, 8), Sliding(two, two))
    yield Pool("odd-input", (3, 5, 7, 9), Sliding(two, two))
    yield Pool("overlap", (8, 3, 9, 9), Sliding((3, 3), two, pads=(1, 1, 1, 1)))
    yield Pool("strides-left-out", (1, 1, 6, 5), Sliding((3, 2)))
    yield Pool("uneven-pads", (3, 31, 7, 6), Sliding((3, 4), (2, 1), pads=(2, 0, 1, 3)))
    yield Pool("valid", (1, 33, 8, 7), Sliding((3, 3), two, auto_pad="VALID"))
    yield Pool("same-upper", (3, 65, 8, 7), Sliding((3, 3), two, auto_pad="SAME_UPPER"))
    yield Pool("same-lower", (3, 5, 8, 7), Sliding((2, 4), (2, 3), auto_pad="SAME_LOWER"))
    yield Pool("ceil", (1, 3, 8, 8), Sliding((3, 3), two, ceil_mode=True))
    yield Pool("ceil-pads", (3, 17, 7, 8), Sliding((3, 3), (3, 2), pads=(1, 1, 1, 1), ceil_mode=True))
    yield Pool("ceil-drops-a-window", (1, 5, 4, 4), Sliding((1, 1), (3, 3), pads=(0, 0, 0, 0), ceil_mode=True))
    yield Pool("dilated", (3, 17, 9, 10), Sliding((3, 2), dilations=(2, 3)))
    beyond = Sliding((2, 3), dilations=(3, 2), pads=(3, 2, 2, 4))
    yield Pool("pads-of-more-than-the-taps", (3, 5, 9, 8), beyond, onnxruntime=False)
    yield Pool("whole", (8, 31, 5, 6), Sliding((5, 6)))
    yield Pool("line", (3, 17, 19), Sliding((4,), (3,), pads=(1, 2)))
    yield Pool("line-ceil", (1, 3, 10), Sliding((3,), (2,), ceil_mode=True))
    yield Pool("volume", (3, 5, 4, 5, 6), Sliding((2, 3, 2), (1, 2, 2), pads=(0, 1, 1, 1, 0, 0)))
    yield Pool("many-tasks", (8, 65, 33, 31), Sliding((3, 3), (1, 1), pads=(1, 1, 1, 1)))
    for seed in range(12):
        rng = np.random.default_rng(seed)
        axes = 1 + seed % 3
        extents = tuple(int(e) for e in rng.integers(9, 14, axes))
        shape = (int(rng.choice([1, 3, 8])), int(rng.choice([1, 3, 5, 17, 31, 33])), *extents)
        yield Pool(f"random{seed}", shape, Sliding.random(rng, axes, pool=True))
