from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from attention_cases import rotated, rows_of
from runner import Case, check, check_refused
from sanderling.errors import ModelError, UnsupportedError
from sequence_models import MICROSOFT, node_case


def rotary(
    name: str, *, rank: int = 3, first: int | None = None, heads: int = 3, size: int = 8, **attributes: Any
) -> Case:
    rng = np.random.default_rng(0)
    batch, rows, places = 2, 5, 20
    x = rng.normal(size=(batch, heads, rows, size)).astype(np.float32)
    angles = rng.uniform(0, 6, (places, (attributes.get("rotary_embedding_dim") or size) // 2))
    cosines, sines = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    ids = rng.integers(0, places, (batch, rows)) if first is None else np.array([first])
    picked = ids if first is None else np.tile(np.arange(first, first + rows), (batch, 1))
    y = rotated(x, cosines[picked], sines[picked], bool(attributes.get("interleaved")))
    return node_case(
        "RotaryEmbedding",
        name,
        {"x": x if rank == 4 else np.ascontiguousarray(rows_of(x)), "ids": ids, "cosines": cosines, "sines": sines},
        {"y": y if rank == 4 else rows_of(y)},
        domain=MICROSOFT,
        **attributes,
    )


def cases() -> Iterator[Case]:
    for rank in (3, 4):
        for first in (None, 0, 7):
            for interleaved in (0, 1):
                yield rotary(f"{rank}-{first}-{interleaved}", rank=rank, first=first, interleaved=interleaved)
    yield rotary("part", rotary_embedding_dim=4, num_heads=3)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_rotary_embedding(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("first", [-1, 16, 2**63 - 1])
def test_a_position_that_the_caches_lack(first: int) -> None:
    case = rotary("first", first=0)
    inputs = dict(case.inputs) | {"ids": np.array([first])}
    check_refused(case.model, inputs, ModelError, r"position \S+ is outside \[0, 20\)", "com.microsoft.RotaryEmbedding")


def test_what_is_lacking() -> None:
    case = rotary("packed", is_packed_batching=1)
    check_refused(case.model, case.inputs, UnsupportedError, "is_packed_batching", "com.microsoft.RotaryEmbedding")
