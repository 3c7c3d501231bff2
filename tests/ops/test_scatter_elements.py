from typing import Any

import numpy as np
import pytest

from index_cases import check_bad_indices
from move_cases import OTHER_DTYPES
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import DTYPES, values
from sanderling.errors import ModelError
from scatter_cases import REDUCE, scattered_elements, some_indices


def cases() -> list[Case]:
    rng = np.random.default_rng(0)
    data = values(rng, (5, 6, 7))
    made = []
    for axis in (-3, -1, 0, 1, 2):
        for reduction in REDUCE:
            shape = [5, 6, 7]
            shape[axis] = 3
            indices = some_indices(axis + 3, data.shape, shape, axis, twice=reduction != "none")
            case = (f"axis{axis}-{reduction}", data, indices, values(rng, shape), axis, reduction)
            made += scattered_elements("ScatterElements", *case, exact=False, opset=18)
    more = some_indices(1, data.shape, (5, 20, 7), 1, twice=True)
    made += scattered_elements("ScatterElements", "more", data, more, values(rng, (5, 20, 7)), 1, "add", exact=False)
    small = some_indices(2, data.shape, (2, 3, 4), 1, twice=False)
    made += scattered_elements("ScatterElements", "smaller", data, small, values(rng, (2, 3, 4)), 1, opset=11)
    made += scattered_elements(
        "ScatterElements", "int32", data, small.astype(np.int32), values(rng, (2, 3, 4)), 1, opset=13
    )
    empty = np.zeros((5, 0, 7), np.int64)
    made += scattered_elements("ScatterElements", "empty", data, empty, np.zeros((5, 0, 7), np.float32), 1)
    for dtype in DTYPES:
        x, updates = values(rng, (5, 3), dtype), values(rng, (4, 3), dtype)
        for reduction in REDUCE:
            indices = some_indices(5, x.shape, (4, 3), 0, twice=reduction != "none")
            # ONNX Runtime lacks some pairs; NumPy's integers wrap around, as ours.
            case = (f"{dtype.__name__}-{reduction}", x, indices, updates, 0, reduction)
            made += scattered_elements("ScatterElements", *case, onnxruntime=False, exact=False)
    for dtype in OTHER_DTYPES:
        x, updates = (rng.integers(1, 3, shape).astype(dtype) for shape in ((5, 3), (2, 3)))
        indices = some_indices(6, x.shape, (2, 3), 0, twice=False)
        made += scattered_elements("ScatterElements", np.dtype(dtype).name, x, indices, updates, 0, onnxruntime=False)
    return made


@pytest.mark.parametrize("case", cases(), ids=str)
def test_scatter_elements(case: Case) -> None:
    check(case)


def test_an_index_outside() -> None:
    for index in (4, -5, np.iinfo(np.int64).max, np.iinfo(np.int64).min):
        inputs = {
            "x": np.zeros((2, 4), np.float32),
            "indices": np.array([[0, 1], [index, 1]], np.int64),
            "updates": np.zeros((2, 2), np.float32),
        }
        check_bad_indices("ScatterElements", inputs, rf"element 2 .*index {index}, .*\[-4, 4\)", axis=1)


def test_refused() -> None:
    def refused(message: str, indices: Array, updates: Array, **settings: Any) -> None:
        x = {"x": np.zeros((2, 4), np.float32), "i": indices, "u": updates}
        check_refused(one_node("ScatterElements", x, **settings), x, ModelError, message, "ScatterElements")

    zeros = np.zeros((2, 3), np.float32)
    refused(r"\[3, 4\], data has shape \[2, 4\]; only along axis 1", np.zeros((3, 4), np.int64), zeros, axis=1)
    refused(r"updates have shape \[2, 3\], indices have shape \[2, 4\]", np.zeros((2, 4), np.int64), zeros)
    refused("input 2 is float64", np.zeros((2, 3), np.int64), zeros.astype(np.float64))
    refused("reduction is 'add', opset 13", np.zeros((2, 3), np.int64), zeros, opset=13, reduction="add")
    refused("axis 2 is outside", np.zeros((2, 3), np.int64), zeros, axis=2)
