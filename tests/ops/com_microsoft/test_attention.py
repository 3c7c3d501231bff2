from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from attention_cases import attended, filtered, heads_of, rows_of, window
from onnx_models import Array
from runner import Case, check, check_refused
from sanderling.errors import ModelError, UnsupportedError
from sequence_models import MICROSOFT, node_case

FILTER = -10000.0


def attention(
    name: str,
    *,
    batch: int = 2,
    rows: int = 5,
    depth: int = 12,
    heads: int = 3,
    size: int = 4,
    v_size: int | None = None,
    past: int | None = None,
    mask: Array | None = None,
    added: tuple[int, ...] | None = None,
    has_bias: bool = True,
    computed: bool = False,
    outputs: tuple[str, ...] = ("y",),
    onnxruntime: bool = True,
    **attributes: Any,
) -> Case:
    rng = np.random.default_rng(rows * 10 + size)

    def drawn(*shape: int) -> Array:
        return rng.normal(size=shape).astype(np.float32)

    width = v_size or size
    if v_size:
        attributes["qkv_hidden_sizes"] = [heads * size, heads * size, heads * width]
    columns = heads * (2 * size + width)
    x, weights, bias = drawn(batch, rows, depth), drawn(depth, columns) / 3, drawn(columns)
    projected = x.astype(np.float64) @ weights + (bias if has_bias else 0.0)
    q, k, v = (heads_of(part, heads) for part in np.split(projected, [heads * size, 2 * heads * size], 2))
    cache = None if past is None else drawn(2, batch, heads, past, size)
    if cache is not None:
        k, v = np.concatenate([cache[0], k], 2), np.concatenate([cache[1], v], 2)
    total = k.shape[2]
    sums = filtered(mask, batch, rows, total, attributes.get("mask_filter_value", FILTER))
    bias_array = None if added is None else drawn(*added)
    if bias_array is not None:
        sums = sums + bias_array
    if attributes.get("unidirectional"):
        sums = sums + np.where(np.isneginf(window(rows, total, past or 0, right=0)), -np.inf, 0.0)
    y, _ = attended(q, k, v, sums, attributes.get("scale"))
    found = {"y": rows_of(y), "present": np.stack([k, v]) if width == size else None}
    return node_case(
        "Attention",
        name,
        {
            "x": x,
            "weights": weights,
            "bias": bias if has_bias else None,
            "mask": mask,
            "past": cache,
            "added": bias_array,
        },
        {n: a if n in outputs else None for n, a in found.items()},
        domain=MICROSOFT,
        constants=() if computed else ("weights", "bias"),
        settings={"onnxruntime": onnxruntime},
        num_heads=heads,
        **attributes,
    )


def cases() -> Iterator[Case]:
    rng = np.random.default_rng(0)
    yield attention("plain")
    yield attention("no-bias", has_bias=False)
    yield attention("computed", computed=True)
    yield attention("wide-values", v_size=7)
    yield attention("large", rows=110, depth=48, heads=4, size=32)
    yield attention("present", outputs=("y", "present"))
    yield attention("past", past=6, outputs=("y", "present"))
    yield attention("empty-past", past=0, outputs=("y", "present"))
    yield attention("causal", unidirectional=1)
    yield attention("past-causal", past=6, unidirectional=1, outputs=("y", "present"))
    yield attention("decode", past=9, rows=1, unidirectional=1, outputs=("y", "present"))
    yield attention("scale", scale=0.7)
    for mask in (
        np.array([3, 5]),
        np.array([4, 5, 1, 2]),
        rng.integers(0, 2, (2, 5)),
        rng.integers(0, 2, (2, 5, 5)),
        np.ones((2, 1)),
        np.ones((1, 1)),
    ):
        yield attention(f"mask{mask.shape}", mask=mask.astype(np.int32))
    yield attention("mask-causal", mask=np.array([[0, 1, 1, 0, 1], [1, 1, 0, 1, 1]], np.int32), unidirectional=1)
    # With -10000 the scores would lose their last bits.
    yield attention("all-masked", mask=np.zeros((2, 5), np.int32), mask_filter_value=-8.0)
    for shape in ((2, 3, 5, 5), (1, 3, 5, 5), (1, 1, 5, 5)):
        yield attention(f"added{shape}", added=shape)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_attention(case: Case) -> None:
    check(case)


@pytest.mark.parametrize(
    ("changed", "attributes", "error", "message"),
    [
        ({"x": (2, 5, 11)}, {}, ModelError, r"x has shape \[2, 5, 11\] and weights \[12, 36\]"),
        ({"weights": (12, 35)}, {}, ModelError, r"weights has shape \[12, 35\], num_heads is 3"),
        ({"bias": (35,)}, {}, ModelError, r"bias has shape \[35\], expected \[36\]"),
        ({"mask": (2, 4)}, {}, ModelError, r"the mask has shape \[2, 4\]"),
        ({"past": (2, 2, 3, 6)}, {}, ModelError, r"past has shape \[2, 2, 3, 6\]"),
        ({}, {"num_heads": 0}, ModelError, "num_heads is 0"),
        ({}, {"qkv_hidden_sizes": [12, 12, 13]}, ModelError, "qkv_hidden_sizes must be three multiples"),
        ({}, {"do_rotary": 1}, UnsupportedError, "do_rotary is not 0"),
    ],
)
def test_what_does_not_fit(
    changed: dict[str, tuple[int, ...]], attributes: dict[str, Any], error: type[Exception], message: str
) -> None:
    shapes = {"x": (2, 5, 12), "weights": (12, 36), "bias": (36,)} | changed
    order = ("x", "weights", "bias", "mask", "past")
    tensors = {n: np.zeros(shapes[n], np.int32 if n == "mask" else np.float32) if n in shapes else None for n in order}
    settings = {"num_heads": 3} | attributes
    case = node_case("Attention", "bad", tensors, {"y": np.zeros(1)}, domain=MICROSOFT, **settings)
    check_refused(case.model, case.inputs, error, message, "com.microsoft.Attention")
