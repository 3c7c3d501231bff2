from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from onnx import helper
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import ModelError

GIVEN = (
    (8, 16, 8192, 0, 4096),
    (40, 512, 16000, 20, 8000),
    (80, 400, 16000, 0, 8000),
    (0, 16, 8000, 0, 100),
)


def matrix(bins: int, length: int, rate: int, lower: float, upper: float) -> Array:
    """Triangles that rise and fall by whole rows."""
    mels = [2595 * np.log10(1 + f / 700) for f in (lower, upper)]
    points = mels[0] + np.arange(bins + 2) * (mels[1] - mels[0]) / (bins + 2)
    edges = np.floor((length + 1) * 700 * (10 ** (points / 2595) - 1) / rate).astype(int)
    rows = np.arange(length // 2 + 1)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rise = (rows - left) / np.maximum(centre - left, 1)
    fall = (right - rows) / np.maximum(right - centre, 1)
    y = np.where((rows >= left) & (rows <= centre), np.where(centre == left, 1.0, rise), 0.0)
    return np.asarray(np.where((rows >= centre) & (rows < right), fall, y))


def inputs_of(bins: int, length: int, rate: int, lower: float, upper: float) -> dict[str, Array]:
    integers = {"bins": bins, "length": length, "rate": rate}
    made: dict[str, Array] = {key: np.asarray(value, np.int64) for key, value in integers.items()}
    return made | {"lower": np.asarray(lower, np.float32), "upper": np.asarray(upper, np.float32)}


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_mel_weight_matrix(given: Any, dtype: Any) -> None:
    inputs = inputs_of(*given)
    number = int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
    model = one_node("MelWeightMatrix", inputs, output_dtype=dtype, output_datatype=number)
    y = matrix(*given)
    y = y if dtype is not np.int32 else y.astype(np.int32)
    check(Case("mel", model, inputs, {"y": y}, length=None))


def test_default_type() -> None:
    inputs = inputs_of(8, 16, 8192, 0, 4096)
    model = one_node("MelWeightMatrix", inputs)
    check(Case("default", model, inputs, {"y": matrix(8, 16, 8192, 0, 4096)}, length=None))


def test_what_is_refused() -> None:
    for changed, message in (
        ({"bins": -1}, "num_mel_bins is -1"),
        ({"length": 0}, "dft_length is 0"),
        ({"rate": 0}, "sample_rate is 0"),
        ({"upper": 9000}, "upper_edge_hertz is 9000, beyond half"),
        ({"lower": 5000}, "the edges are 5000 and 4096"),
        ({"upper": np.inf}, "the edges are 0 and inf"),
    ):
        inputs = inputs_of(*({"bins": 8, "length": 16, "rate": 8192, "lower": 0, "upper": 4096} | changed).values())
        check_refused(one_node("MelWeightMatrix", inputs), inputs, ModelError, message, "MelWeightMatrix")
