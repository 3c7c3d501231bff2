import numpy as np
import pytest

from index_cases import check_bad_indices, drawn_indices, index_cases
from move_cases import OTHER_DTYPES
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import DTYPES, values
from sanderling.errors import ModelError


def gathered(name: str, data: Array, indices: Array, axis: int = 0, **settings: object) -> list[Case]:
    index = list(np.indices(indices.shape))
    index[axis] = indices
    inputs = {"data": data, "indices": indices}
    return index_cases(name, "GatherElements", inputs, data[tuple(index)], axis=axis, **settings)  # type: ignore[arg-type]


def cases() -> list[Case]:
    data = values(np.random.default_rng(0), (5, 6, 7))
    made = []
    for axis in (-3, -1, 0, 1, 2):
        for extent in (1, 4, 20):
            shape = [5, 6, 7]
            shape[axis] = extent
            made += gathered(f"axis{axis}-{extent}", data, drawn_indices(extent, data.shape[axis], shape), axis)
    made += gathered("smaller", data, drawn_indices(1, 6, (2, 9, 3)), 1, opset=11)
    made += gathered("int32", data, drawn_indices(1, 7, (5, 6, 2), np.int32), 2, opset=13)
    made += gathered("vector", data[0, 0], drawn_indices(1, 7, (30,)))
    made += gathered("empty", data, np.zeros((5, 0, 7), np.int64), 1)
    large = values(np.random.default_rng(1), (30, 40, 50))
    for axis in range(3):
        made += gathered(f"large{axis}", large, drawn_indices(axis, large.shape[axis], (30, 40, 50)), axis)
    made += gathered("long", values(np.random.default_rng(1), (100_000,)), drawn_indices(1, 100_000, (99_999,)))
    for dtype in DTYPES:
        x = values(np.random.default_rng(5), (5, 3), dtype)
        made += gathered(np.dtype(dtype).name, x, drawn_indices(5, 3, (5, 4)), 1)
    for dtype in OTHER_DTYPES:
        x = np.random.default_rng(6).integers(1, 3, (5, 3)).astype(dtype)
        made += gathered(np.dtype(dtype).name, x, drawn_indices(6, 5, (4, 3)), onnxruntime=False)
    return made


@pytest.mark.parametrize("case", cases(), ids=str)
def test_gather_elements(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("index", [4, -5, np.iinfo(np.int64).max, np.iinfo(np.int64).min])
def test_an_index_outside(index: int) -> None:
    inputs = {"x": np.zeros((2, 4), np.float32), "indices": np.array([[0, 1], [index, 1]], np.int64)}
    check_bad_indices("GatherElements", inputs, rf"element 2 .*index {index}, .*\[-4, 4\)", axis=1)


def test_refused() -> None:
    def refused(indices: Array, message: str, **attributes: int) -> None:
        x = {"x": np.zeros((2, 4), np.float32), "indices": indices}
        check_refused(one_node("GatherElements", x, **attributes), x, ModelError, message, "GatherElements")  # type: ignore[arg-type]

    refused(np.zeros((2, 5), np.int64), r"\[2, 5\], data has shape \[2, 4\]; only along axis 0")
    refused(np.zeros(2, np.int64), r"\[2\], data has shape")
    refused(np.zeros((2, 4), np.uint8), "input 1 is uint8")
    refused(np.zeros((2, 4), np.int64), "axis -3 is outside", axis=-3)
