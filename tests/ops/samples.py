"""Inputs that the operator tests share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from onnx_models import Array

NUMBERS = (np.float32, np.float64, np.uint8, np.int8, np.int32, np.int64)
DTYPES = (*NUMBERS, np.bool_)  # every element type of the engine

# A scalar, one element, an odd channel count at the batches 1, 3 and 8, and one that is shared among threads unevenly.
SHAPES: tuple[tuple[int, ...], ...] = ((), (1,), (1, 17), (3, 5, 7, 11), (8, 13, 3), (3, 32771))


def values(rng: np.random.Generator, shape: Sequence[int], dtype: npt.DTypeLike = np.float32) -> Array:
    """Floats of a normal distribution (a few of them zero), or integers or bools of the whole range of the dtype."""
    kind = np.dtype(dtype)
    if kind == np.bool_:
        return np.asarray(rng.integers(0, 2, shape), np.bool_)
    if np.issubdtype(kind, np.floating):
        drawn = rng.normal(0.0, 2.0, shape)
        return np.asarray(np.where(rng.random(shape) < 0.05, 0.0, drawn), kind)
    info = np.iinfo(kind)
    return np.asarray(rng.integers(info.min, info.max, shape, kind, endpoint=True), kind)


def name_of(dtype: npt.DTypeLike, shape: Sequence[int]) -> str:
    """Part of a case's name: "float32-3x5"."""
    return f"{np.dtype(dtype).name}-{'x'.join(map(str, shape)) or 'scalar'}"
