from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from attention_cases import heads_of, rotated, rows_of
from onnx_models import Array
from runner import Case, check, check_refused
from sanderling.errors import ModelError
from sequence_models import node_case


def rotary(
    name: str,
    *,
    batch: int = 2,
    heads: int = 3,
    rows: int = 5,
    size: int = 8,
    rank: int = 4,
    places: int | None = 20,
    dtype: Any = np.float32,
    **attributes: Any,
) -> Case:
    rng = np.random.default_rng(rows)
    x = rng.normal(size=(batch, heads, rows, size)).astype(dtype)
    pairs = (attributes.get("rotary_embedding_dim") or size) // 2
    shape = (batch, rows, pairs) if places is None else (places, pairs)
    angles = rng.uniform(0, 6, shape)
    cosines, sines = np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)
    ids = None if places is None else rng.integers(0, places, (batch, rows))
    picked = (cosines, sines) if ids is None else (cosines[ids], sines[ids])
    y = rotated(x, *picked, bool(attributes.get("interleaved")))
    given: Array = x
    if rank == 3:
        given, y = np.ascontiguousarray(rows_of(x)), rows_of(y)
        attributes["num_heads"] = heads
        assert (heads_of(given, heads) == x).all()
    return node_case(
        "RotaryEmbedding",
        name,
        {"x": given, "cosines": cosines, "sines": sines, "ids": ids},
        {"y": y},
        dtype=dtype,
        opset=23,
        settings={"onnxruntime": dtype is np.float32 and given.size > 0},
        **attributes,
    )


def cases() -> Iterator[Case]:
    for rank in (3, 4):
        for interleaved in (0, 1):
            for part in (0, 4):
                for places in (None, 20):
                    settings = {"rank": rank, "interleaved": interleaved, "rotary_embedding_dim": part}
                    yield rotary(f"{rank}-{interleaved}-{part}-{places}", places=places, **settings)
    yield rotary("float64", dtype=np.float64)
    yield rotary("one", batch=1, heads=1, rows=1, size=2)
    yield rotary("empty", batch=0)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_rotary_embedding(case: Case) -> None:
    check(case)


@pytest.mark.parametrize(
    ("changed", "attributes", "message"),
    [
        ({"x": (2, 5, 25)}, {"num_heads": 3}, "rank 3 with a multiple of num_heads, here 3"),
        ({"x": (2, 3, 5, 7)}, {}, "rotates 7 of the 7 numbers of a head, expected an even number"),
        ({}, {"rotary_embedding_dim": 10}, "rotates 10 of the 8 numbers"),
        ({"cosines": (20, 3)}, {}, r"cos_cache has shape \[20, 3\]"),
        ({"ids": (5,)}, {}, r"position_ids has shape \[5\], expected \[2, 5\]"),
    ],
)
def test_what_does_not_fit(changed: dict[str, tuple[int, ...]], attributes: dict[str, Any], message: str) -> None:
    shapes = {"x": (2, 3, 5, 8), "cosines": (20, 4), "sines": (20, 4), "ids": (2, 5)} | changed
    tensors = {n: np.zeros(s, np.int64 if n == "ids" else np.float32) for n, s in shapes.items()}
    case = node_case("RotaryEmbedding", "bad", tensors, {"y": np.zeros(1)}, opset=23, **attributes)
    check_refused(case.model, case.inputs, ModelError, message, "RotaryEmbedding")


@pytest.mark.parametrize("position", [-1, 20, 2**40])
def test_a_position_that_the_caches_lack(position: int) -> None:
    case = rotary("position")
    inputs = dict(case.inputs) | {"ids": np.full((2, 5), position)}
    check_refused(case.model, inputs, ModelError, rf"position {position} is outside \[0, 20\)", "RotaryEmbedding")
