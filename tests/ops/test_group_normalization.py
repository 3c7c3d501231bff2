from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError


def normalised(x: Array, scale: Array, bias: Array, groups: int, epsilon: float) -> Array:
    wide = x.astype(np.float64).reshape(x.shape[0], groups, -1)
    centred = wide - wide.mean(-1, keepdims=True)
    variance = (centred**2).mean(-1, keepdims=True)
    y = (centred / np.sqrt(variance + np.float64(np.float32(epsilon)))).reshape(x.shape)
    along = (-1, *[1] * (x.ndim - 2))
    each = x.shape[1] // scale.size  # 1, or the channels of a group before opset 21
    return np.asarray(y * np.repeat(scale, each).reshape(along) + np.repeat(bias, each).reshape(along))


def case(name: str, shape: tuple[int, ...], groups: int, epsilon: float = 1e-5, **settings: Any) -> Case:
    rng = np.random.default_rng(len(name))
    dtype = settings.pop("dtype", np.float32)
    x = values(rng, shape, dtype)
    size = groups if settings.get("opset", 21) < 21 else shape[1]
    parts = {"scale": rng.normal(1, 0.5, size).astype(dtype), "bias": rng.normal(0, 1, size).astype(dtype)}
    model = one_node(
        "GroupNormalization",
        {"x": x},
        constants=parts,
        output_dtype=dtype,
        num_groups=groups,
        **({"epsilon": epsilon} if epsilon != 1e-5 else {}),
        **settings,
    )
    wide = {key: part.astype(np.float64) for key, part in parts.items()}
    y = normalised(x, wide["scale"], wide["bias"], groups, epsilon) if x.size else x.astype(np.float64)
    return Case(name, model, {"x": x}, {"y": y}, length=None, onnxruntime=x.size > 0)


def cases() -> Iterator[Case]:
    for opset in (18, 21):
        for groups in (1, 2, 3, 6):
            yield case(f"groups{groups}-opset{opset}", (3, 6, 5, 7), groups, opset=opset)
    for batch in (1, 3, 8):
        yield case(f"batch{batch}", (batch, 4, 6), 2, symbolic_batch=True)
    yield case("rank5", (3, 4, 2, 3, 4), 2)
    yield case("many-tasks", (3, 32, 41, 43), 8)
    yield case("epsilon", (3, 6, 4), 3, epsilon=0.5)
    yield case("stash", (3, 6, 4), 3, stash_type=1)
    yield case("float64", (3, 6, 4, 3), 2, dtype=np.float64)
    yield case("empty", (0, 6, 4, 3), 2)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_group_normalization(case: Case) -> None:
    check(case)


def test_what_is_refused() -> None:
    x = {"x": np.zeros((2, 6, 3), np.float32)}

    def refused(message: str, scales: int, **settings: Any) -> None:
        constants = {"scale": np.ones(scales, np.float32), "bias": np.ones(scales, np.float32)}
        model = one_node("GroupNormalization", x, constants=constants, **settings)
        check_refused(model, x, ModelError, message, "GroupNormalization")

    refused("num_groups is 0", 6)
    refused("num_groups is 4, which does not divide the 6", 6, num_groups=4)
    refused(r"scale has shape \[2\], expected \[6\] .*opset 21", 2, num_groups=2)
    refused(r"scale has shape \[6\], expected \[2\] .*opset 18", 6, num_groups=2, opset=18)
