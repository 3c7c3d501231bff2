from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError, UnsupportedError


def grid_of(theta: Array, size: tuple[int, ...], align: int) -> Array:
    lines = []
    for extent in size[2:]:
        if align:
            lines.append(np.linspace(-1, 1, extent) if extent != 1 else np.zeros(1))
        else:
            lines.append((2 * np.arange(extent) + 1) / extent - 1)
    positions = np.stack([*reversed(np.meshgrid(*lines, indexing="ij")), np.ones(size[2:])], -1)
    return np.einsum("nij,...j->n...i", theta.astype(np.float64), positions)


def case(size: tuple[int, ...], align: int, *, dtype: Any = np.float32, known: bool = True) -> Case:
    axes = len(size) - 2
    inputs = {"theta": values(np.random.default_rng(axes), (size[0], axes, axes + 1), dtype)}
    sizes = {"size": np.asarray(size, np.int64)}
    model = one_node(
        "AffineGrid",
        inputs if known else inputs | sizes,
        constants=sizes if known else {},
        output_dtype=dtype,
        align_corners=align,
    )
    name = f"{'x'.join(map(str, size))}-{align}-{np.dtype(dtype).name}-{known}"
    theirs = dtype == np.float32 and min(size) > 1
    y = grid_of(inputs["theta"], size, align)
    given = inputs if known else inputs | sizes
    return Case(name, model, given, {"y": y}, length=8, magnitude=30.0, onnxruntime=theirs)


def cases() -> Iterator[Case]:
    for align in (0, 1):
        yield case((2, 3, 5, 7), align)
        yield case((2, 3, 4, 5, 6), align)
        yield case((2, 1, 1, 3), align)
        yield case((2, 3, 5, 7), align, dtype=np.float64)
        yield case((2, 3, 5, 7), align, known=False)
        yield case((0, 3, 5, 7), align)
        yield case((2, 3, 0, 7), align)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_affine_grid(case: Case) -> None:
    check(case)


def refused(message: str, theta: tuple[int, ...], size: list[int], **settings: Any) -> None:
    inputs = {"theta": np.zeros(theta, settings.pop("dtype", np.float32))}
    error = settings.pop("error", ModelError)
    model = one_node("AffineGrid", inputs, constants={"size": np.asarray(size, np.int64)}, **settings)
    check_refused(model, inputs, error, message, "AffineGrid")


def test_what_is_refused() -> None:
    refused("size has 3 numbers", (1, 2, 3), [1, 3, 4])
    refused("theta has shape", (1, 2, 3), [1, 3, 4, 5, 6])
    refused("theta has shape", (1, 2, 3), [2, 3, 4, 5])
    refused("theta has shape", (1, 2, 3), [-1, 3, 4, 5])
    refused("-4", (1, 2, 3), [1, 3, -4, 5])
    refused("input 0 is int32", (1, 2, 3), [1, 3, 4, 5], dtype=np.int32, error=UnsupportedError)
