from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError, UnsupportedError
from sequence_models import MICROSOFT, node_case


def fused(
    name: str, a_shape: tuple[int, ...], b_shape: tuple[int, ...], *, dtype: Any = np.float32, **settings: Any
) -> Case:
    rng = np.random.default_rng(len(a_shape))
    a, b = values(rng, a_shape, dtype), values(rng, b_shape, dtype)
    left = a.swapaxes(-1, -2) if settings.get("transA") and a.ndim > 1 else a
    right = b.swapaxes(-1, -2) if settings.get("transB") and b.ndim > 1 else b
    y = np.float64(np.float32(settings.get("alpha", 1.0))) * (left.astype(np.float64) @ right)
    return node_case("FusedMatMul", name, {"a": a, "b": b}, {"y": y}, domain=MICROSOFT, dtype=dtype, **settings)


def cases() -> Iterator[Case]:
    for known in ((), ("b",)):
        for turned_a in (0, 1):
            for turned_b in (0, 1):
                a = (2, 3, 5, 7) if turned_a else (2, 3, 7, 5)
                b = (2, 3, 9, 5) if turned_b else (2, 3, 5, 9)
                name = f"{turned_a}{turned_b}{known}"
                settings = {"constants": known, "alpha": 0.3, "transA": turned_a, "transB": turned_b}
                yield fused(name, a, b, **settings)
                yield fused(f"matrix-{name}", a, b[2:], **settings)
    yield fused("plain", (3, 5), (5, 7))
    yield fused("float64", (3, 5), (7, 5), transB=1, dtype=np.float64)
    yield fused("many", (70, 65), (130, 65), transB=1, alpha=0.125)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_fused_mat_mul(case: Case) -> None:
    check(case)


def test_what_does_not_fit() -> None:
    op = "com.microsoft.FusedMatMul"
    case = fused("bad", (3, 5), (7, 5), transB=1)
    case.model.graph.node[0].attribute[0].i = 0
    check_refused(case.model, case.inputs, ModelError, "5 columns do not meet 7 rows", op)
    case = fused("batch", (2, 3, 5), (2, 5, 7), transBatchA=1)
    check_refused(case.model, case.inputs, UnsupportedError, "transBatchA is not 0", op)
