from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from runner import Case, check
from samples import values
from sequence_models import node_case, normalized


def rms_norm(
    name: str, shape: tuple[int, ...], scale_shape: tuple[int, ...], *, axis: int = -1, **settings: Any
) -> Case:
    rng = np.random.default_rng(len(shape))
    dtype, scale_dtype = settings.pop("dtype", np.float32), settings.pop("scale_dtype", None)
    x, scale = values(rng, shape, dtype), values(rng, scale_shape, scale_dtype or dtype)
    y, _, _ = normalized(x, scale, 0.0, axis, settings.get("epsilon", 1e-5), False)
    # ONNX Runtime lacks opset 23's float64 and mixed types.
    plain = dtype is np.float32 and scale_dtype is None and settings.pop("onnxruntime", True)
    return node_case(
        "RMSNormalization",
        name,
        {"x": x, "scale": scale},
        {"y": y},
        dtype=scale_dtype or dtype,
        axis=axis,
        settings={"onnxruntime": plain},
        **settings,
    )


def cases() -> Iterator[Case]:
    for length in (1, 15, 16, 17, 768, 5000):
        yield rms_norm(f"length{length}", (3, length), (length,), constants=("scale",))
    for axis in range(-3, 3):
        yield rms_norm(f"axis{axis}", (3, 4, 5), (3, 4, 5)[axis:], axis=axis)
    yield rms_norm("epsilon", (3, 5), (5,), epsilon=0.5)
    yield rms_norm("float64", (3, 5), (5,), dtype=np.float64)
    yield rms_norm("float64-scale", (3, 5), (5,), scale_dtype=np.float64)
    yield rms_norm("float64-x", (3, 5), (5,), dtype=np.float64, scale_dtype=np.float32)
    yield rms_norm("one-number", (3, 5), (1,), onnxruntime=False)
    yield rms_norm("repeats-inside", (3, 4, 5), (4, 1), axis=1, onnxruntime=False)
    yield rms_norm("symbolic", (3, 5), (5,), symbolic=True)
    yield rms_norm("many-rows", (700, 65), (65,))
    yield rms_norm("empty", (0, 5), (5,), onnxruntime=False)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_rms_normalization(case: Case) -> None:
    check(case)
