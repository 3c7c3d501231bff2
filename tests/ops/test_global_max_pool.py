from __future__ import annotations

import numpy as np
import pytest

from onnx_models import Codes, one_node, qdq_node
from runner import Case, check, check_pooled, qdq_case
from samples import values

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
def test_global_max_pool(shape: tuple[int, ...], dtype: type[np.floating]) -> None:
    x = values(np.random.default_rng(sum(shape)), shape, dtype)
    y = x.max(tuple(range(2, len(shape))), keepdims=True)
    model = one_node("GlobalMaxPool", {"x": x}, output_dtype=dtype, symbolic_batch=True, opset=7)
    name = "x".join(map(str, shape)) + np.dtype(dtype).name
    ort = dtype is np.float32  # which alone ONNX Runtime has
    check(Case(name, model, {"x": x}, {"y": y}, exact=True, operators={"GlobalMaxPool"}, onnxruntime=ort))


def codes(seed: int) -> Case:
    """Many small images, so that the largest code of each is not always 255."""
    rng = np.random.default_rng(seed)
    x = Codes.random(rng, (700, 150, 2 + seed % 2, 2), (np.uint8, np.int8)[seed % 2])
    y_scale, y_zero = (float(x.scale), int(x.zero_point)) if seed % 4 < 2 else (float(x.scale) * 1.3, 7)
    qdq = qdq_node(
        "GlobalMaxPool", {"x": x}, lambda real: real.max((2, 3), keepdims=True), y_scale, y_zero, y_dtype=x.codes.dtype
    )
    return qdq_case(f"codes{seed}", qdq, operators={"GlobalMaxPool"})


def test_codes() -> None:
    check_pooled(codes(seed) for seed in range(10))
