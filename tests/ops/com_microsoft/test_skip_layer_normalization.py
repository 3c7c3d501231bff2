from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError
from sequence_models import MICROSOFT, node_case, normalized, with_float32_outputs


def skip_norm(
    name: str,
    shape: tuple[int, ...],
    skip_shape: tuple[int, ...] | None = None,
    *,
    parts: tuple[str, ...] = ("beta", "bias"),
    outputs: tuple[str, ...] = ("y",),
    dtype: Any = np.float32,
    **settings: Any,
) -> Case:
    rng = np.random.default_rng(len(shape))
    x, skip = values(rng, shape, dtype), values(rng, skip_shape or shape, dtype)
    rows = {part: values(rng, shape[-1:], dtype) for part in ("gamma", *parts)}
    total = x.astype(np.float64) + skip + rows.get("bias", np.zeros(()))
    epsilon = settings.get("epsilon", 1e-12)
    y, mean, inverse = normalized(total, rows["gamma"], rows.get("beta", np.zeros(())), -1, epsilon, True)
    found = {"y": y, "mean": mean, "inverse": inverse, "sum": total}
    case = node_case(
        "SkipLayerNormalization",
        name,
        {"x": x, "skip": skip} | {part: rows.get(part) for part in ("gamma", "beta", "bias")},
        {n: a if n in outputs else None for n, a in found.items()},
        domain=MICROSOFT,
        dtype=dtype,
        # ONNX Runtime's CPU kernel leaves the means unwritten.
        settings={"onnxruntime": "mean" not in outputs and settings.pop("onnxruntime", True)},
        **settings,
    )
    return with_float32_outputs(case, "mean", "inverse")


def cases() -> Iterator[Case]:
    for length in (1, 17, 768):
        yield skip_norm(f"length{length}", (2, 3, length), outputs=("y", "sum"))
    for parts in ((), ("beta",), ("bias",)):
        yield skip_norm(f"parts-{'-'.join(parts)}", (2, 3, 16), parts=parts)
    yield skip_norm("rank2", (6, 16), outputs=("y", "sum"), onnxruntime=False)
    yield skip_norm("skip-of-one", (2, 3, 16), (1, 3, 16), outputs=("y", "sum"))
    yield skip_norm("skip-without-batch", (2, 3, 16), (3, 16))
    yield skip_norm("float64", (2, 3, 16), dtype=np.float64, outputs=("y", "sum"), onnxruntime=False)
    yield skip_norm("means", (2, 3, 16), outputs=("y", "mean", "inverse", "sum"))
    yield skip_norm("epsilon", (2, 3, 16), epsilon=0.3, constants=("gamma", "beta", "bias"))
    yield skip_norm("symbolic", (2, 3, 16), symbolic=True)
    yield skip_norm("empty", (2, 0, 16), outputs=("y", "sum"), onnxruntime=False)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_skip_layer_normalization(case: Case) -> None:
    check(case)


@pytest.mark.parametrize(
    ("x", "skip", "gamma", "message"),
    [
        ((2, 3, 4), (2, 1, 4), (4,), r"skip has shape \[2, 1, 4\], x \[2, 3, 4\]"),
        ((2, 3, 4), (2, 3, 4), (3,), r"gamma has shape \[3\], expected \[4\]"),
        ((4,), (4,), (4,), r"x has shape \[4\], expected rank 2 or 3"),
    ],
)
def test_what_does_not_fit(x: tuple[int, ...], skip: tuple[int, ...], gamma: tuple[int, ...], message: str) -> None:
    tensors = {"x": np.zeros(x, np.float32), "skip": np.zeros(skip, np.float32), "gamma": np.zeros(gamma, np.float32)}
    case = node_case("SkipLayerNormalization", "bad", tensors, {"y": np.zeros(1)}, domain=MICROSOFT)
    check_refused(case.model, case.inputs, ModelError, message, "com.microsoft.SkipLayerNormalization")
