import numpy as np
import pytest

from index_cases import check_bad_indices, index_cases
from move_cases import OTHER_DTYPES
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import DTYPES, values
from sanderling.errors import ModelError


def tuples(seed: int, data: Array, shape: tuple[int, ...], batch_dims: int = 0) -> Array:
    """Index tuples along the last axis of `shape`."""
    extents = data.shape[batch_dims : batch_dims + shape[-1]]
    drawn = [np.random.default_rng((seed, i)).integers(-e, e, shape[:-1]) for i, e in enumerate(extents)]
    return np.stack(drawn, -1).astype(np.int64) if drawn else np.zeros(shape, np.int64)


def gathered(name: str, data: Array, indices: Array, batch_dims: int = 0, **settings: object) -> list[Case]:
    size = indices.shape[-1]
    expected = np.zeros((*indices.shape[:-1], *data.shape[batch_dims + size :]), data.dtype)
    for at in np.ndindex(indices.shape[:-1]):
        expected[at] = data[(*at[:batch_dims], *indices[at].tolist())]
    attributes = {"batch_dims": batch_dims} if batch_dims else {}
    inputs = {"data": data, "indices": indices}
    return index_cases(name, "GatherND", inputs, expected, **attributes, **settings)  # type: ignore[arg-type]


def cases() -> list[Case]:
    data = values(np.random.default_rng(0), (3, 4, 5, 6))
    made = []
    for shape in ((1,), (2,), (4,), (7, 3), (2, 3, 4), (2, 3, 1), (0, 2)):
        made += gathered(f"{shape}", data, tuples(1, data, shape), opset=11)
    for batch_dims, shape in ((1, (3, 1)), (1, (3, 2, 3)), (2, (3, 4, 2)), (2, (3, 4, 7, 1)), (3, (3, 4, 5, 1))):
        made += gathered(f"batch{batch_dims}-{shape}", data, tuples(2, data, shape, batch_dims), batch_dims, opset=12)
    # ONNX Runtime takes tuples of int64 only; of none, nowhere.
    narrow = tuples(3, data, (5, 2)).astype(np.int32)
    made += gathered("int32", data, narrow, onnxruntime=False)
    made += gathered("no-index", data, np.zeros((2, 0), np.int64), onnxruntime=False)
    large = values(np.random.default_rng(4), (40, 50, 60))
    for size in (1, 2, 3):
        made += gathered(f"large{size}", large, tuples(4, large, (300, size)), opset=13)
    made += gathered("many", large, tuples(4, large, (40_000, 3)), opset=13)
    for dtype in DTYPES:
        x = values(np.random.default_rng(5), (5, 3), dtype)
        made += gathered(np.dtype(dtype).name, x, tuples(5, x, (4, 2)), opset=13, onnxruntime=dtype != np.bool_)
    for dtype in OTHER_DTYPES:
        x = np.random.default_rng(6).integers(1, 3, (5, 3)).astype(dtype)
        made += gathered(np.dtype(dtype).name, x, tuples(6, x, (4, 1)), onnxruntime=False)
    return made


@pytest.mark.parametrize("case", cases(), ids=str)
def test_gather_nd(case: Case) -> None:
    check(case)


def test_an_index_outside() -> None:
    for index in (4, -5, np.iinfo(np.int64).max, np.iinfo(np.int64).min):
        inputs = {"x": np.zeros((9, 4), np.float32), "indices": np.array([[0, 1], [8, index]], np.int64)}
        check_bad_indices("GatherND", inputs, rf"element 3 .*index {index}, .*\[-4, 4\)")


def test_refused() -> None:
    def refused(shape: tuple[int, ...], message: str, **attributes: int) -> None:
        x = {"x": np.zeros((2, 4), np.float32), "indices": np.zeros(shape, np.int64)}
        check_refused(one_node("GatherND", x, **attributes), x, ModelError, message, "GatherND")  # type: ignore[arg-type]

    refused((2, 3), "tuples of 3 where data .*has 2 axes")
    refused((2, 2), "tuples of 2 where data .*has 1 axes", batch_dims=1)
    refused((3, 1), "first 1 extents must be equal", batch_dims=1)
    refused((2, 1), "batch_dims is 2, expected 0 to 1", batch_dims=2)
    refused((2, 1), "batch_dims is -1", batch_dims=-1)
    refused((), "neither may be a scalar")
