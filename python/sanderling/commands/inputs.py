"""What a command feeds a model: rows from a file, or random ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sanderling._model import TensorSpec
from sanderling.commands.output import read_arrays
from sanderling.errors import InputError

Array = npt.NDArray[Any]


def concrete_shapes(
    specs: Sequence[TensorSpec], batch: int, given: Mapping[str, Sequence[int]] | None = None
) -> dict[str, list[int]]:
    """Extents of each input: those given, else `batch` for a first dimension chosen at run time and 1 for others.

    Raises:
        InputError: A name is not an input, or the extents given do not fit its dimensions.
    """
    given = dict(given or {})
    shapes: dict[str, list[int]] = {}
    for spec in specs:
        dims = spec.shape or ()
        wanted = given.pop(spec.name, None)
        if wanted is None:
            shapes[spec.name] = [d if isinstance(d, int) else (batch if i == 0 else 1) for i, d in enumerate(dims)]
            continue
        if len(wanted) != len(dims) or any(isinstance(d, int) and d != w for d, w in zip(dims, wanted, strict=False)):
            raise InputError(f"[shape] {list(wanted)} does not fit input {spec.name!r} of shape {list(dims)}")
        shapes[spec.name] = [int(extent) for extent in wanted]
    if given:
        names = [spec.name for spec in specs]
        raise InputError(f"[shape] the model has no input {next(iter(given))!r}, it has {names}")
    return shapes


def make_inputs(
    specs: Sequence[TensorSpec], data: Path | None, shapes: Mapping[str, Sequence[int]]
) -> dict[str, Array]:
    """Arrays by name: the rows of `data` repeated or cut to the first extent, or seeded random ones."""
    if data is not None:
        arrays = read_arrays(data, [spec.name for spec in specs])
        return {
            name: np.ascontiguousarray(np.resize(array, (shapes[name][0], *array.shape[1:])))
            for name, array in arrays.items()
        }
    rng = np.random.default_rng(0)
    inputs = {}
    for spec in specs:
        dtype = np.dtype(spec.dtype or "float32")
        shape = shapes[spec.name]
        values = rng.standard_normal(shape) if dtype.kind == "f" else rng.integers(0, 2, shape)
        inputs[spec.name] = np.asarray(values, dtype)
    return inputs
