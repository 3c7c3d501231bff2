from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnx_models import Array
from runner import Case, check, check_refused
from sanderling.errors import ModelError
from sequence_models import MICROSOFT, node_case, normalized

SIZE = 12


def embed(
    name: str,
    *,
    segments: bool = True,
    mask: bool = False,
    places: tuple[int, ...] | None = None,
    outputs: tuple[str, ...] = ("y", "lengths"),
    **attributes: Any,
) -> Case:
    rng = np.random.default_rng(0)

    def table(rows: int) -> Array:
        return rng.normal(size=(rows, SIZE)).astype(np.float32)

    def ids(limit: int, shape: tuple[int, ...] = (2, 5)) -> Array:
        return rng.integers(0, limit, shape).astype(np.int32)

    tensors: dict[str, Array | None] = {
        "ids": ids(30),
        "segments": ids(2) if segments else None,
        "words": table(30),
        "positions": table(9),
        "segment_rows": table(2) if segments else None,
        "gamma": table(1)[0],
        "beta": table(1)[0],
        "mask": ids(2) if mask else None,
        "places": None if places is None else ids(9, places),
    }
    t = {n: a for n, a in tensors.items() if a is not None}
    total = t["words"][t["ids"]].astype(np.float64) + t["positions"][t.get("places", np.arange(5)[None])]
    if segments:
        total = total + t["segment_rows"][t["segments"]]
    epsilon = attributes.get("epsilon", 1e-12)
    y, _, _ = normalized(total, t["gamma"], t["beta"], -1, epsilon, True)
    lengths = t["mask"].sum(1, dtype=np.int32) if mask else np.zeros(2, np.int32)
    found = {"y": y, "lengths": lengths, "sum": total}
    return node_case(
        "EmbedLayerNormalization",
        name,
        tensors,
        {n: a if n in outputs else None for n, a in found.items()},
        domain=MICROSOFT,
        constants=("words", "positions", "segment_rows", "gamma", "beta"),
        **attributes,
    )


def cases() -> Iterator[Case]:
    yield embed("plain")
    yield embed("mask", mask=True)
    yield embed("no-segments", segments=False)
    yield embed("positions", places=(2, 5))
    yield embed("positions-of-all", places=(1, 5))
    yield embed("sum", outputs=("y", "lengths", "sum"))
    yield embed("epsilon", epsilon=0.2, mask=True)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_embed_layer_normalization(case: Case) -> None:
    check(case)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ids", 30, r"an input id is 30, outside \[0, 30\)"),
        ("ids", -1, "an input id is -1"),
        ("segments", 2, r"a segment id is 2, outside \[0, 2\)"),
        ("places", 9, r"a position is 9, outside \[0, 9\)"),
    ],
)
def test_ids_that_the_tables_lack(name: str, value: int, message: str) -> None:
    case = embed("ids", places=(2, 5))
    inputs = dict(case.inputs) | {name: np.full((2, 5), value, np.int32)}
    check_refused(case.model, inputs, ModelError, message, "com.microsoft.EmbedLayerNormalization")
