from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from attention_cases import attended, heads_of, rotated, rows_of
from onnx_models import Array
from runner import Case, check, check_refused
from sanderling.errors import ModelError, UnsupportedError
from sequence_models import MICROSOFT, node_case

NAMES = ("q", "k", "v", "past_k", "past_v", "last", "total", "cos", "sin", "places", "added")
CONSTANTS = ("total",)
"""What output shapes follow from."""


def grouped(
    name: str,
    *,
    rows: int = 3,
    heads: int = 4,
    kv_heads: int = 2,
    size: int = 16,
    past: int = 0,
    lengths: tuple[int, ...] = (),
    packed: bool = False,
    rotary: int = 0,
    places: Array | None = None,
    added: tuple[int, ...] | None = None,
    window: int = 0,
    **attributes: Any,
) -> Case:
    """`lengths` are the keys of each sequence, past and new; `rotary` is how many numbers of a head turn."""
    rng = np.random.default_rng(rows * 100 + past)
    # ONNX Runtime takes several rows after a past for one sequence only.
    lengths = lengths or (past + rows,) * (1 if past and rows > 1 else 2)
    batch, total = len(lengths), max(lengths)
    keys = max(total, past)

    def drawn(*shape: int) -> Array:
        return rng.normal(size=shape).astype(np.float32)

    q, k, v = (drawn(batch, rows, n * size) for n in (heads, kv_heads, kv_heads))
    caches = (drawn(batch, kv_heads, past, size), drawn(batch, kv_heads, past, size)) if past else (None, None)
    before = np.array([0 if total == rows else length - rows for length in lengths])
    angles = rng.uniform(0, 6, (keys + 2, rotary // 2))
    cosines, sines = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    at = before[:, None] + np.arange(rows) if places is None else places
    if places is not None and total == rows:
        at = np.tile(places[0, 0] + np.arange(rows), (batch, 1))  # so the operator says
    all_q, new_k, new_v = heads_of(q, heads), heads_of(k, kv_heads), heads_of(v, kv_heads)
    if rotary:
        interleaved = bool(attributes.get("rotary_interleaved"))
        all_q, new_k = (rotated(x, cosines[at], sines[at], interleaved) for x in (all_q, new_k))
    present_k, present_v = np.zeros((2, batch, kv_heads, keys, size))
    bias = np.full((batch, 1, rows, keys), -np.inf)
    for b, start in enumerate(before):
        for present, cache, new in ((present_k, caches[0], new_k), (present_v, caches[1], new_v)):
            if cache is not None:
                present[b, :, :start] = cache[b, :, :start]
            present[b, :, start : start + rows] = new[b]
        for i in range(rows):
            bias[b, 0, i, max(0, start + i + 1 - window) if window else 0 : start + i + 1] = 0.0
    more = None if added is None else drawn(*added)
    sums = bias if more is None else bias + more
    scale, softcap = attributes.get("scale"), attributes.get("softcap", 0.0)
    y, _ = attended(all_q, present_k, present_v, sums, scale, softcap)
    if packed:
        q, k, v = np.concatenate([q, k, v], 2), None, None  # type: ignore[assignment]
    if window:
        attributes["local_window_size"] = window
    if rotary:
        attributes["do_rotary"] = 1
    last = np.array(lengths, np.int32) - 1
    turned = (cosines, sines) if rotary else (None, None)
    tensors = (q, k, v, *caches, last, np.array([total], np.int32), *turned, places, more)
    return node_case(
        "GroupQueryAttention",
        name,
        dict(zip(NAMES, tensors, strict=True)),
        {"y": rows_of(y), "present_k": present_k, "present_v": present_v},
        domain=MICROSOFT,
        constants=CONSTANTS,
        num_heads=heads,
        kv_num_heads=kv_heads,
        # ONNX Runtime leaves rows of the caches after a sequence as they are, so that they cannot be compared.
        settings={"onnxruntime": len(set(lengths)) == 1},
        **attributes,
    )


def cases() -> Iterator[Case]:
    yield grouped("prompt")
    yield grouped("one-row", rows=1)
    yield grouped("step", rows=1, past=5)
    yield grouped("steps", rows=3, past=5)
    yield grouped("long", rows=70, past=200)
    yield grouped("uneven", rows=1, past=6, lengths=(7, 4, 1))
    yield grouped("uneven-rows", rows=2, past=6, lengths=(8, 5))
    yield grouped("narrow", size=8, rows=2, past=3)
    yield grouped("packed", packed=True)
    yield grouped("packed-step", packed=True, rows=1, past=5, rotary=16)
    for interleaved in (0, 1):
        yield grouped(f"rotary-{interleaved}", rotary=16, rotary_interleaved=interleaved)
        yield grouped(f"rotary-step-{interleaved}", rows=2, past=5, rotary=16, rotary_interleaved=interleaved)
    yield grouped("half-rotated", rows=2, past=5, size=32, rotary=16)
    yield grouped("rotary-uneven", rows=1, past=6, lengths=(7, 4), rotary=16)
    yield grouped("places-of-a-prompt", rotary=16, places=np.array([[1, 3, 2], [0, 4, 4]]))
    yield grouped("places", rows=3, past=4, rotary=16, places=np.array([[6, 3, 8]]))
    yield grouped("one-kv-head", kv_heads=1, rows=2, past=3)
    yield grouped("every-head", kv_heads=4, rows=2, past=3)
    yield grouped("scale", scale=0.3, softcap=2.0)
    for window in (1, 2, 4):
        yield grouped(f"window{window}", rows=5, past=3, window=window)
    yield grouped("added", rows=3, past=2, added=(1, 4, 3, 5))


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_group_query_attention(case: Case) -> None:
    check(case)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"q": np.zeros((2, 3, 30))}, ModelError, r"query has shape \[2, 3, 30\], expected"),
        ({"k": np.zeros((2, 2, 16))}, ModelError, r"key has shape \[2, 2, 16\], expected \[2, 3, 16\]"),
        ({"v": None}, ModelError, "key and value must be given together"),
        ({"past_v": None}, ModelError, "past_key and past_value must be given together"),
        ({"past_v": np.zeros((2, 2, 4, 8))}, ModelError, r"past_value \[2, 2, 4, 8\]"),
        ({"total": np.array([9], np.int32)}, ModelError, "total_sequence_length is 9, expected 3 to 8"),
        ({"total": np.array([2], np.int32)}, ModelError, "total_sequence_length is 2, expected 3 to 8"),
        ({"last": np.array([7, 8], np.int32)}, ModelError, "seqlens_k has 8 for sequence 1, expected 2 to 7"),
        ({"last": np.array([1, 7], np.int32)}, ModelError, "seqlens_k has 1 for sequence 0, expected 2 to 7"),
        ({"last": np.array([7], np.int32)}, ModelError, r"seqlens_k has shape \[1\], expected \[2\]"),
        ({"cos": np.zeros((7, 4)), "sin": np.zeros((7, 4))}, ModelError, r"position 7 is outside \[0, 7\)"),
        ({"cos": np.zeros((9, 5)), "sin": np.zeros((9, 5))}, ModelError, r"cos_cache has shape \[9, 5\]"),
        ({"places": np.array([[0, 1, 9], [0, 1, 2]])}, ModelError, r"position 9 is outside \[0, 9\)"),
        ({"added": np.zeros((1, 1, 3, 7))}, ModelError, "does not broadcast"),
        ({"sink": np.zeros(4)}, UnsupportedError, "input 11 .*head_sink"),
    ],
)
def test_what_does_not_fit(changed: dict[str, Any], error: type[Exception], message: str) -> None:
    tensors: dict[str, Any] = dict.fromkeys((*NAMES, "sink"))
    tensors |= {n: np.zeros((2, 3, 16)) for n in ("k", "v")} | {n: np.zeros((2, 2, 5, 8)) for n in ("past_k", "past_v")}
    tensors |= {"q": np.zeros((2, 3, 32)), "last": np.array([7, 7], np.int32), "total": np.array([8], np.int32)}
    tensors |= {"cos": np.zeros((9, 4)), "sin": np.zeros((9, 4))} | changed
    tensors = {n: x.astype(np.float32) if x is not None and x.dtype == np.float64 else x for n, x in tensors.items()}
    wanted = {n: np.zeros(1, np.float32) for n in ("y", "present_k", "present_v")}
    attributes = {"num_heads": 4, "kv_num_heads": 2, "do_rotary": 1}
    case = node_case("GroupQueryAttention", "bad", tensors, wanted, domain=MICROSOFT, constants=CONSTANTS, **attributes)
    check_refused(case.model, case.inputs, error, message, "com.microsoft.GroupQueryAttention")


@pytest.mark.parametrize(("name", "value"), [("smooth_softmax", 1), ("k_quant_type", "PER_TENSOR")])
def test_variants_that_are_refused(name: str, value: Any) -> None:
    case = grouped("refused", **{name: value})
    check_refused(case.model, case.inputs, UnsupportedError, name, "com.microsoft.GroupQueryAttention")
