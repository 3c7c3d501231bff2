from typing import Any

import numpy as np
import pytest

from index_cases import check_bad_indices, index_cases
from move_cases import OTHER_DTYPES
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import DTYPES, values
from sanderling.errors import ModelError, UnsupportedError
from scatter_cases import REDUCE


def scattered(
    name: str, data: Array, indices: Array, updates: Array, reduction: str = "none", **settings: Any
) -> list[Case]:
    expected = data.copy()
    with np.errstate(all="ignore"):
        for at in np.ndindex(indices.shape[:-1]):
            place = tuple(indices[at].tolist())
            expected[place] = REDUCE[reduction](expected[place], updates[at])
    attributes = {} if reduction == "none" else {"reduction": reduction}
    inputs = {"data": data, "indices": indices, "updates": updates}
    return index_cases(name, "ScatterND", inputs, expected, **attributes, **settings)


def tuples(seed: int, data: Array, shape: tuple[int, ...], *, twice: bool) -> Array:
    """Index tuples; ONNX defines no order of updates, so that without a reduction none may come twice."""
    rng, extents = np.random.default_rng(seed), data.shape[: shape[-1]]
    count = int(np.prod(shape[:-1]))
    flat = rng.choice(int(np.prod(extents)), count, replace=twice)
    found = np.stack(np.unravel_index(flat, extents), -1).reshape(shape).astype(np.int64)
    return np.where(rng.random(shape) < 0.3, found - np.array(extents), found)


def cases() -> list[Case]:
    rng = np.random.default_rng(0)
    data = values(rng, (7, 4, 5))
    made = []
    for shape in ((1,), (3,), (6, 1), (2, 3, 2), (5, 3), (0, 1)):
        slices = data.shape[shape[-1] :]
        for reduction in REDUCE:
            indices = tuples(1, data, shape, twice=reduction != "none")
            updates = values(rng, (*shape[:-1], *slices))
            made += scattered(f"{shape}-{reduction}", data, indices, updates, reduction, opset=18, exact=False)
    made += scattered("early", data, tuples(2, data, (2, 3, 2), twice=False), values(rng, (2, 3, 5)), opset=11)
    indices = tuples(3, data, (4, 1), twice=False)
    # ONNX Runtime takes tuples of int64 only.
    made += scattered("int32", data, indices.astype(np.int32), values(rng, (4, 4, 5)), onnxruntime=False)
    large = values(rng, (9, 400, 300))
    made += scattered("long", large, tuples(4, large, (2, 1), twice=False), values(rng, (2, 400, 300)))
    for dtype in DTYPES:
        x, updates = values(rng, (5, 3), dtype), values(rng, (4, 3), dtype)
        for reduction in REDUCE:
            indices = tuples(5, x, (4, 1), twice=reduction != "none")
            # ONNX Runtime lacks some pairs; NumPy's integers wrap around, as ours.
            made += scattered(
                f"{dtype.__name__}-{reduction}", x, indices, updates, reduction, onnxruntime=False, exact=False
            )
    for dtype in OTHER_DTYPES:
        x, updates = (rng.integers(1, 3, shape).astype(dtype) for shape in ((5, 3), (2, 3)))
        made += scattered(np.dtype(dtype).name, x, tuples(6, x, (2, 1), twice=False), updates, onnxruntime=False)
    nan = np.array([np.nan, 1, -np.inf], np.float32)
    for reduction in ("min", "max"):
        made += scattered(
            f"nan-{reduction}", nan, np.array([[0], [1], [2]]), nan[[1, 0, 2]], reduction, onnxruntime=False
        )
    return made


@pytest.mark.parametrize("case", cases(), ids=str)
def test_scatter_nd(case: Case) -> None:
    check(case)


def test_the_last_of_several_counts() -> None:
    """On any number of threads; ONNX leaves it open."""
    data = np.zeros((2, 200_000), np.float32)
    updates = values(np.random.default_rng(0), (9, 200_000))
    indices = np.array([[1]] * 9, np.int64)
    for case in scattered("last", data, indices, updates, onnxruntime=False):
        check(case)
    for case in scattered("sum", data, indices, updates, "add", onnxruntime=False):
        check(case)


def test_an_index_outside() -> None:
    for index in (4, -5, np.iinfo(np.int64).max, np.iinfo(np.int64).min):
        inputs = {
            "x": np.zeros((9, 4), np.float32),
            "indices": np.array([[0, 1], [8, index]], np.int64),
            "updates": np.zeros(2, np.float32),
        }
        check_bad_indices("ScatterND", inputs, rf"element 3 .*index {index}, .*\[-4, 4\)")


def test_refused() -> None:
    def refused(
        message: str,
        indices: tuple[int, ...] = (2, 1),
        updates: Array | None = None,
        error: type[Exception] = ModelError,
        dtype: Any = np.float32,
        **settings: Any,
    ) -> None:
        x = {"x": np.zeros((3, 4), dtype), "i": np.zeros(indices, np.int64)}
        x["u"] = np.zeros((2, 4), dtype) if updates is None else updates
        check_refused(one_node("ScatterND", x, output_dtype=dtype, **settings), x, error, message, "ScatterND")

    refused(r"updates have shape \[2, 4\], expected \[3, 4\]", (3, 1))
    refused(r"updates have shape \[2, 4\], expected \[2\]", (2, 2))
    refused("tuples of 3", (2, 3))
    refused("float64.*float32", updates=np.zeros((2, 4)))
    refused("reduction is 'mean', opset 16 has none, add, mul, min, max$", opset=16, reduction="mean")
    refused("reduction is 'add', opset 13 has none$", opset=13, reduction="add")
    refused("reduction is 'mean'", reduction="mean")
    refused("input 0 is int4", error=UnsupportedError, dtype=OTHER_DTYPES[-3], reduction="add")
