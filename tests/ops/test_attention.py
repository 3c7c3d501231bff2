from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from attention_cases import attended, heads_of, rows_of, window
from onnx_models import Array
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError
from sequence_models import node_case


def attention(
    name: str,
    *,
    batch: int = 2,
    heads: int = 3,
    kv_heads: int | None = None,
    queries: int = 4,
    keys: int = 6,
    past: int | None = None,
    size: int = 8,
    v_size: int | None = None,
    rank: int = 4,
    mask: Array | None = None,
    lengths: list[int] | None = None,
    outputs: tuple[str, ...] = ("y",),
    dtype: Any = np.float32,
    opset: int = 24,
    onnxruntime: bool = True,
    **attributes: Any,
) -> Case:
    rng = np.random.default_rng(queries * 10 + keys)
    groups, width = kv_heads or heads, v_size or size
    q = rng.normal(size=(batch, heads, queries, size)).astype(dtype)
    k = rng.normal(size=(batch, groups, keys, size)).astype(dtype)
    v = rng.normal(size=(batch, groups, keys, width)).astype(dtype)
    cache = None
    if past is not None:
        cache = rng.normal(size=(batch, groups, past, size)), rng.normal(size=(batch, groups, past, width))
        cache = cache[0].astype(dtype), cache[1].astype(dtype)
    all_k, all_v = (np.concatenate([c, x], 2) for c, x in zip(cache, (k, v), strict=True)) if cache else (k, v)
    total = all_k.shape[2]

    bias: Array = np.zeros((1, 1, 1, 1))
    if mask is not None:
        added = np.where(mask, 0.0, -np.inf) if mask.dtype == np.bool_ else mask.astype(np.float64)
        if added.shape[-1] < total and opset >= 24:
            padding = [(0, 0)] * (added.ndim - 1) + [(0, total - added.shape[-1])]
            added = np.pad(added, padding, constant_values=-np.inf)
        bias = bias + added
    offsets = [n - queries for n in lengths] if lengths else [past or 0] * batch
    sides = (attributes.get("left_window_size", -1), attributes.get("right_window_size", -1))
    bias = bias + np.stack([window(queries, total, offset, *sides)[None] for offset in offsets])
    if attributes.get("is_causal"):
        bias = bias + np.stack([window(queries, total, offset, right=0)[None] for offset in offsets])
    if lengths:
        bias = bias + np.where(np.arange(total) < np.array(lengths)[:, None], 0.0, -np.inf)[:, None, None]

    y, scores = attended(q, all_k, all_v, bias, attributes.get("scale"), attributes.get("softcap", 0.0))
    found = {"y": y, "present_k": all_k, "present_v": all_v}
    found["scores"] = scores[attributes.get("qk_matmul_output_mode", 0)]
    inputs: dict[str, Array | None] = {"q": q, "k": k, "v": v}
    if rank == 3:
        inputs = {n: np.ascontiguousarray(rows_of(x)) for n, x in (("q", q), ("k", k), ("v", v))}
        assert (heads_of(inputs["q"], heads) == q).all()
        found["y"] = rows_of(y)
        attributes |= {"q_num_heads": heads, "kv_num_heads": groups}
    inputs |= {"mask": mask, "past_k": cache and cache[0], "past_v": cache and cache[1]}
    inputs["lengths"] = None if lengths is None else np.array(lengths, np.int64)
    return node_case(
        "Attention",
        name,
        inputs if opset >= 24 else {n: x for n, x in inputs.items() if n != "lengths"},
        {n: x if n in outputs else None for n, x in found.items()},
        dtype=dtype,
        opset=opset,
        # It has no float64, and lacks windows.
        settings={"onnxruntime": onnxruntime and dtype is np.float32 and opset < 25},
        **attributes,
    )


def cases() -> Iterator[Case]:
    rng = np.random.default_rng(0)
    everything = ("y", "present_k", "present_v", "scores")
    for rank in (3, 4):
        yield attention(f"plain{rank}", rank=rank)
        yield attention(f"grouped{rank}", rank=rank, heads=6, kv_heads=2, v_size=5)
        yield attention(f"one-kv-head{rank}", rank=rank, heads=4, kv_heads=1, is_causal=1, keys=4)
        yield attention(f"past{rank}", rank=rank, past=5, outputs=everything[:3], is_causal=1)
        yield attention(f"opset23-{rank}", rank=rank, opset=23)
        yield attention(f"float64-{rank}", rank=rank, dtype=np.float64, past=3, outputs=everything)
    yield attention("empty-past", past=0, outputs=everything[:3], is_causal=1, onnxruntime=False)
    yield attention("decode", queries=1, keys=1, past=300, heads=8, kv_heads=2, is_causal=1, outputs=everything[:3])
    for queries, keys, size in ((1, 1, 1), (1, 7, 16), (33, 65, 5), (70, 300, 64), (129, 513, 32)):
        for causal in (0, 1):
            yield attention(
                f"{queries}x{keys}x{size}-{causal}", queries=queries, keys=keys, size=size, is_causal=causal
            )
    for queries in (1, 3, 8, 9):
        yield attention(f"few{queries}", queries=queries, keys=600, is_causal=1, v_size=5)
    yield attention("wide-values", size=3, v_size=300)
    yield attention("many-heads", heads=9, queries=40, keys=40, kv_heads=3, is_causal=1)
    for shape in ((6,), (4, 6), (1, 6), (3, 4, 6), (3, 1, 6), (2, 3, 4, 6), (2, 1, 1, 6), (1, 1, 4, 6), (2, 1, 4, 6)):
        # ONNX Runtime takes masks of rank 2 to 4 and refuses some that broadcast.
        plain = shape in ((4, 6), (2, 3, 4, 6))
        drawn = rng.random(shape) < 0.6
        yield attention(f"bool-mask{shape}", mask=drawn, onnxruntime=plain and bool(drawn.any(-1).all()))
        yield attention(f"float-mask{shape}", mask=rng.normal(size=shape).astype(np.float32), onnxruntime=plain)
    yield attention("integer-mask", mask=rng.integers(-3, 3, (4, 6)), onnxruntime=False)
    yield attention("float64-mask", mask=rng.normal(size=(4, 6)), dtype=np.float64)
    yield attention("short-mask", mask=rng.normal(size=(4, 3)).astype(np.float32), onnxruntime=False)
    yield attention("short-bool-mask", mask=rng.random((2, 1, 4, 5)) < 0.7, onnxruntime=False)
    yield attention("mask-of-one-23", mask=rng.normal(size=(4, 1)).astype(np.float32), opset=23, onnxruntime=False)
    yield attention("masked-row", mask=np.arange(24).reshape(4, 6) > 8, outputs=everything, qk_matmul_output_mode=3)
    yield attention("causal-and-mask", keys=4, mask=rng.random((4, 4)) < 0.7, is_causal=1, onnxruntime=False)
    yield attention("lengths", lengths=[3, 6], onnxruntime=False)
    yield attention("lengths-causal", lengths=[2, 5], is_causal=1, onnxruntime=False)
    yield attention("lengths-0", lengths=[0, 6], is_causal=1, onnxruntime=False)
    yield attention("scale", scale=0.3)
    yield attention("softcap", softcap=0.7)
    for mode in range(4):
        mask = rng.normal(size=(4, 6)).astype(np.float32)
        yield attention(f"scores{mode}", outputs=("y", "scores"), softcap=2.0, mask=mask, qk_matmul_output_mode=mode)
        yield attention(
            f"scores-causal{mode}",
            outputs=("y", "scores"),
            qk_matmul_output_mode=mode,
            is_causal=1,
            keys=4,
            onnxruntime=False,
        )
    for left, right in ((2, -1), (-1, 1), (1, 2), (0, 0)):
        settings = {"left_window_size": left, "right_window_size": right, "opset": 25}
        yield attention(f"window{left},{right}", keys=9, queries=9, **settings)
        yield attention(f"window{left},{right}-past", past=5, **settings, outputs=("y", "present_k"))
        yield attention(f"window{left},{right}-causal", keys=4, is_causal=1, **settings)
    yield attention("only-present", past=2, outputs=("present_k", "present_v"), onnxruntime=False)
    yield attention("no-keys", keys=0, onnxruntime=False)
    yield attention("no-queries", queries=0, onnxruntime=False)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_attention(case: Case) -> None:
    check(case)


def test_large_scores_do_not_overflow() -> None:
    check(attention("large", scale=300.0))


@pytest.mark.parametrize(
    ("shapes", "attributes", "message"),
    [
        ({"q": (2, 3, 4)}, {}, "expected rank 3 or 4 of each"),
        ({"k": (2, 3, 6, 7)}, {}, "head sizes of q and k"),
        ({"v": (2, 3, 5, 8)}, {}, "lengths of k and v must be the same"),
        ({"k": (2, 2, 6, 8), "v": (2, 2, 6, 8)}, {}, "q has 3 heads, k 2; the first must be a multiple"),
        ({"mask": (4, 7)}, {}, r"the mask has shape \[4, 7\], which does not broadcast to \[2, 3, 4, 6\]"),
        ({"mask": (1, 1, 1, 4, 6)}, {}, r"which does not broadcast to \[2, 3, 4, 6\]"),
        ({"past_k": (2, 3, 5, 8)}, {}, "past_key and past_value must be given together"),
        ({"past_k": (2, 3, 5, 8), "past_v": (2, 3, 4, 8)}, {}, r"past_value \[2, 3, 4, 8\], expected"),
        ({}, {"qk_matmul_output_mode": 4}, "qk_matmul_output_mode is 4, expected 0 to 3"),
        ({}, {"softcap": -1.0}, "softcap is -1"),
        ({}, {"left_window_size": -2}, "left_window_size is -2"),
        ({"q": (2, 4, 24), "k": (2, 6, 24), "v": (2, 6, 24)}, {"q_num_heads": 3}, "kv_num_heads is 0"),
        ({"q": (2, 4, 24), "k": (2, 6, 24), "v": (2, 6, 24)}, {"q_num_heads": 5}, "q_num_heads is 5"),
    ],
)
def test_what_does_not_fit(shapes: dict[str, tuple[int, ...]], attributes: dict[str, Any], message: str) -> None:
    given = {"q": (2, 3, 4, 8), "k": (2, 3, 6, 8), "v": (2, 3, 6, 8)} | shapes
    order = ("q", "k", "v", "mask", "past_k", "past_v")
    tensors = {n: np.zeros(given[n], np.float32) if n in given else None for n in order}
    while tensors[(last := list(tensors)[-1])] is None:
        del tensors[last]
    case = node_case("Attention", "bad", tensors, {"y": np.zeros(1)}, **attributes)
    check_refused(case.model, case.inputs, ModelError, message, "Attention")


def test_a_row_depends_on_no_other() -> None:
    """Queries in blocks, shared among threads, give the bits of one alone."""
    from sanderling import _core

    rng = np.random.default_rng(0)
    q, k, v = (values(rng, (1, 2, n, 16)) for n in (150, 40, 40))
    case = node_case("Attention", "rows", {"q": q, "k": k, "v": v}, {"y": q}, symbolic=True)
    session = _core.Session(_core.Model(case.model.SerializeToString()), threads=2)
    y = session.run(dict(case.inputs))["y"]
    for row in (0, 55, 64, 130):  # 20 rows: very few are summed in another order
        alone = session.run({"q": q[:, :, row : row + 20], "k": k, "v": v})["y"]
        np.testing.assert_array_equal(alone, y[:, :, row : row + 20])
