from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from attention_cases import attended, heads_of, rows_of, window
from onnx_models import Array
from runner import Case, check, check_refused
from sanderling.errors import ModelError, UnsupportedError
from sequence_models import MICROSOFT, node_case

FILTER = -10000.0


def mask_bias(mask: Array | None, queries: int, keys: int, batch: int, value: float = FILTER) -> Array:
    """What ONNX Runtime makes of a mask of int32: [batch, 1, queries, keys]."""
    bias = np.zeros((batch, 1, queries, keys))
    if mask is None or (mask.ndim == 2 and mask.shape[1] == 1 != keys):
        return bias
    place = np.arange(keys)
    for b in range(batch):
        if mask.ndim == 1:
            start = mask[batch + b] if mask.size == 2 * batch else 0
            bias[b, 0, :, (place >= mask[b]) | (place < start)] = value
        else:
            bias[b, 0] = np.where(mask[b] > 0, 0.0, value)
    return bias


def multi_head(
    name: str,
    *,
    batch: int = 2,
    heads: int = 3,
    queries: int = 4,
    keys: int = 6,
    size: int = 8,
    v_size: int | None = None,
    layout: str = "rows",
    past: int | None = None,
    has_bias: bool = False,
    mask: Array | None = None,
    added: tuple[int, ...] | None = None,
    outputs: tuple[str, ...] = ("y",),
    onnxruntime: bool = True,
    **attributes: Any,
) -> Case:
    rng = np.random.default_rng(queries * 10 + keys)
    width = v_size or size

    def drawn(*shape: int) -> Array:
        return rng.normal(size=shape).astype(np.float32)

    q, k, v = drawn(batch, queries, heads * size), drawn(batch, keys, heads * size), drawn(batch, keys, heads * width)
    bias = drawn(heads * (2 * size + width)) if has_bias else None
    parts = np.split(bias, [heads * size, 2 * heads * size]) if bias is not None else [np.zeros(())] * 3
    all_q, all_k, all_v = (
        heads_of(x.astype(np.float64) + part, heads) for x, part in zip((q, k, v), parts, strict=True)
    )
    inputs: dict[str, Array | None] = {"q": q, "k": k, "v": v}
    if layout == "heads":
        inputs |= {"k": heads_of(k, heads).astype(np.float32), "v": heads_of(v, heads).astype(np.float32)}
    elif layout == "packed-kv":
        pair = [x.reshape(batch, keys, heads, 1, size) for x in (k, v)]
        inputs |= {"k": np.concatenate(pair, 3), "v": None}
    elif layout == "packed":
        three = [x.reshape(batch, keys, heads, 1, size) for x in (q, k, v)]
        inputs = {"q": np.concatenate(three, 3), "k": None, "v": None}
    inputs |= {"bias": bias, "mask": mask}
    caches = None if past is None else (drawn(batch, heads, past, size), drawn(batch, heads, past, width))
    if caches:
        all_k, all_v = np.concatenate([caches[0], all_k], 2), np.concatenate([caches[1], all_v], 2)
    total = all_k.shape[2]
    inputs["added"] = None if added is None else drawn(*added)
    inputs |= {"past_k": caches and caches[0], "past_v": caches and caches[1]}

    value = attributes.get("mask_filter_value", FILTER)
    sums = mask_bias(mask, queries, total, batch, value)
    if inputs["added"] is not None:
        sums = sums + inputs["added"]
    if attributes.get("unidirectional") and queries > 1:
        sums = sums + np.where(np.isneginf(window(queries, total, past or 0, right=0)), -np.inf, 0.0)
    y, scores = attended(all_q, all_k, all_v, sums, attributes.get("scale"))
    found = {"y": rows_of(y), "present_k": all_k, "present_v": all_v, "scores": scores[2]}
    return node_case(
        "MultiHeadAttention",
        name,
        inputs,
        {n: x if n in outputs else None for n, x in found.items()},
        domain=MICROSOFT,
        settings={"onnxruntime": onnxruntime},
        num_heads=heads,
        **attributes,
    )


def cases() -> Iterator[Case]:
    rng = np.random.default_rng(0)
    yield multi_head("plain")
    yield multi_head("bias", has_bias=True)
    yield multi_head("wide-values", v_size=11, has_bias=True)
    for queries, keys in ((1, 1), (33, 65), (70, 300)):
        yield multi_head(f"{queries}x{keys}", queries=queries, keys=keys, heads=5, has_bias=True)
    yield multi_head("heads", layout="heads")
    # ONNX Runtime has these on GPUs alone.
    yield multi_head("packed-kv", layout="packed-kv", onnxruntime=False)
    yield multi_head("packed", layout="packed", queries=6, onnxruntime=False)
    yield multi_head("packed-bias", layout="packed", queries=6, has_bias=True, onnxruntime=False)
    three = ("y", "present_k", "present_v")
    yield multi_head("present", outputs=three, has_bias=True)
    yield multi_head("past", past=5, outputs=three, queries=1, keys=1)
    yield multi_head("past-bias", past=5, outputs=three, queries=3, keys=3, has_bias=True)
    yield multi_head("past-bias-9", past=5, outputs=three, queries=9, keys=9, has_bias=True)
    yield multi_head("empty-past", past=0, outputs=three, queries=3, keys=3)
    yield multi_head("past-causal", past=5, outputs=three, queries=3, keys=3, unidirectional=1)
    for length in (4, 6):
        yield multi_head(f"causal{length}", queries=length, keys=length, unidirectional=1)
    for mask in (
        np.array([3, 5]),
        np.array([3, 5, 1, 2]),
        rng.integers(0, 2, (2, 6)),
        rng.integers(0, 2, (2, 4, 6)),
    ):
        plain = mask.shape != (4,)
        yield multi_head(f"mask{mask.shape}-{mask.sum()}", mask=mask.astype(np.int32), onnxruntime=plain)
    yield multi_head("all-masked", mask=np.zeros((2, 6), np.int32), mask_filter_value=-8.0)
    yield multi_head("one-query-causal", queries=1, unidirectional=1)
    mask = rng.integers(0, 2, (2, 8)).astype(np.int32)
    yield multi_head("mask-past", mask=mask, past=5, queries=3, keys=3, outputs=three)
    yield multi_head("filter", mask=rng.integers(0, 2, (2, 6)).astype(np.int32), mask_filter_value=-1.5)
    for shape in ((2, 3, 4, 6), (1, 3, 4, 6), (2, 1, 4, 6), (1, 1, 4, 6)):
        yield multi_head(f"added{shape}", added=shape)
    yield multi_head("added-mask", added=(1, 3, 4, 6), mask=rng.integers(0, 2, (2, 6)).astype(np.int32))
    yield multi_head("scale", scale=0.2)
    yield multi_head("scores", outputs=("y", "scores"), added=(1, 3, 4, 6))


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_multi_head_attention(case: Case) -> None:
    check(case)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"q": (2, 4, 25)}, ModelError, r"query has shape \[2, 4, 25\], expected \[batch, rows, a multiple"),
        ({"k": (2, 6, 12)}, ModelError, r"key has shape \[2, 6, 12\], expected \[batch, keys, hidden size"),
        ({"v": (2, 5, 24)}, ModelError, r"value has shape \[2, 5, 24\]"),
        ({"bias": (71,)}, ModelError, r"bias has shape \[71\], expected \[72\]"),
        ({"mask": (2, 5)}, ModelError, r"the mask has shape \[2, 5\]"),
        ({"added": (4, 6)}, ModelError, "expected rank 4"),
        ({"added": (2, 3, 4, 5)}, ModelError, "does not broadcast"),
        ({"past_k": (2, 3, 5, 8)}, ModelError, "past_key and past_value must be given together"),
        ({"past_k": (2, 3, 5, 8), "past_v": (2, 3, 4, 8)}, ModelError, r"past_value has shape \[2, 3, 4, 8\]"),
        ({"past_length": (1,)}, UnsupportedError, "caches that are written in place"),
    ],
)
def test_what_does_not_fit(changed: dict[str, tuple[int, ...]], error: type[Exception], message: str) -> None:
    shapes = {"q": (2, 4, 24), "k": (2, 6, 24), "v": (2, 6, 24)} | changed
    order = ("q", "k", "v", "bias", "mask", "added", "past_k", "past_v", "past_length")
    tensors = {
        n: np.zeros(shapes[n], np.int32 if n in ("mask", "past_length") else np.float32) if n in shapes else None
        for n in order
    }
    case = node_case("MultiHeadAttention", "bad", tensors, {"y": np.zeros(1)}, domain=MICROSOFT, num_heads=3)
    check_refused(case.model, case.inputs, error, message, "com.microsoft.MultiHeadAttention")
