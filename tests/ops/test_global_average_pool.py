from __future__ import annotations

import numpy as np
import pytest

from onnx_models import one_node
from runner import Case, check, isas
from samples import values
from sanderling import _core

SHAPES = [
    *((3, channels, 6, 7) for channels in (1, 3, 5, 17, 31, 33, 65)),
    *((batch, 13, 4, 3) for batch in (1, 3, 8)),
    (3, 17, 29),
    (3, 5, 3, 4, 5),
    (1, 3, 1, 1),
    (2, 17, 97, 101),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_global_average_pool(shape: tuple[int, ...], dtype: type[np.floating]) -> None:
    x = values(np.random.default_rng(sum(shape)), shape, dtype)
    axes = tuple(range(2, len(shape)))
    y = x.astype(np.float64).mean(axes, keepdims=True)
    model = one_node("GlobalAveragePool", {"x": x}, output_dtype=dtype, symbolic_batch=True, opset=7)
    pixels = int(np.prod(shape[2:]))
    magnitude = float(abs(x).astype(np.float64).mean(axes).max())
    name = "x".join(map(str, shape)) + np.dtype(dtype).name
    check(
        Case(
            name,
            model,
            {"x": x},
            {"y": y},
            length=pixels,
            magnitude=magnitude,
            operators={"GlobalAveragePool"},
            onnxruntime=dtype is np.float32,
        )
    )


def test_many_pixels_are_summed_row_by_row() -> None:
    """One float32 sum of all pixels would be off by about pixels * 2^-25; rows first leave rows + columns of it."""
    x = np.full((1, 33, 512, 512), 1.1, np.float32)
    model = one_node("GlobalAveragePool", {"x": x})
    check(
        Case(
            "large",
            model,
            {"x": x},
            {"y": np.full((1, 33, 1, 1), np.float64(x[0, 0, 0, 0]))},
            length=1024,
            onnxruntime=False,
        )
    )


def test_a_batch_equals_its_rows_bit_for_bit() -> None:
    x = values(np.random.default_rng(0), (8, 17, 13, 12))
    model = one_node("GlobalAveragePool", {"x": x}, symbolic_batch=True)
    for isa in isas():
        session = _core.Session(_core.Model(model.SerializeToString()), isa=isa, threads=2)
        rows = [session.run({"x": x[i : i + 1]})["y"] for i in range(8)]
        np.testing.assert_array_equal(session.run({"x": x})["y"], np.concatenate(rows), err_msg=isa)
