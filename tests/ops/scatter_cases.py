"""What tests of Scatter, ScatterElements and ScatterND share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from index_cases import index_cases
from onnx_models import Array
from runner import Case

REDUCE: dict[str, Any] = {
    "none": lambda x, u: u,
    "add": lambda x, u: x + u,
    "mul": lambda x, u: x * u,
    "min": np.minimum,
    "max": np.maximum,
}
"""What an update becomes with the element that is there."""


def scattered_elements(
    op: str, name: str, data: Array, indices: Array, updates: Array, axis: int, reduction: str = "none", **settings: Any
) -> list[Case]:
    """Cases of ScatterElements or of the Scatter that it was."""
    expected = data.copy()
    with np.errstate(all="ignore"):
        for at in np.ndindex(indices.shape):
            place = list(at)
            place[axis] = int(indices[at])
            expected[tuple(place)] = REDUCE[reduction](expected[tuple(place)], updates[at])
    attributes = {} if reduction == "none" else {"reduction": reduction}
    inputs = {"data": data, "indices": indices, "updates": updates}
    return index_cases(name, op, inputs, expected, axis=axis, **attributes, **settings)


def some_indices(seed: int, data: Sequence[int], shape: Sequence[int], axis: int, *, twice: bool) -> Array:
    """Indices for a tensor of shape `data`.

    ONNX defines no order of updates, so that without a reduction none may come `twice`.
    """
    rng, extent = np.random.default_rng(seed), data[axis]
    moved = [n for i, n in enumerate(shape) if i != axis % len(shape)]
    rows = [rng.choice(extent, shape[axis], replace=twice) for _ in range(int(np.prod(moved)))]
    found = np.moveaxis(np.array(rows, np.int64).reshape(*moved, shape[axis]), -1, axis)
    return np.where(rng.random(found.shape) < 0.3, found - extent, found)
