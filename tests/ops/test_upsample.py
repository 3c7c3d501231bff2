from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from onnx_models import one_node
from resize_references import resample, scaled, weights
from runner import Case, check, check_refused
from samples import DTYPES, values
from sanderling.errors import ModelError


def case(
    name: str, shape: tuple[int, ...], scales: tuple[float, ...], mode: str, opset: int, **settings: object
) -> Case:
    dtype = settings.pop("dtype", np.float32)
    x = values(np.random.default_rng(len(name)), shape, dtype)  # type: ignore[arg-type]
    if x.dtype == np.int64:
        x %= 1 << 40  # what float64 holds
    attributes = {"mode": mode} | ({"scales": [float(s) for s in scales]} if opset < 9 else {})
    constants = {"scales": np.asarray(scales, np.float32)} if opset >= 9 else {}
    model = one_node("Upsample", {"x": x}, constants=constants, output_dtype=x.dtype, opset=opset, more=attributes)
    matrices = [weights(scaled(n, s), mode, "asymmetric", "floor") for n, s in zip(shape, scales, strict=True)]
    y = resample(x, matrices)
    return Case(
        f"{name}-{mode}-{opset}",
        model,
        {"x": x},
        {"y": y if x.dtype.kind == "f" else y.astype(x.dtype)},
        exact=mode == "nearest",
        length=None,
        onnxruntime=bool(settings.get("onnxruntime", True)),
    )


def cases() -> Iterator[Case]:
    for opset in (7, 9):
        for mode in ("nearest", "linear"):
            yield case("twice", (3, 5, 7, 9), (1, 1, 2, 2), mode, opset)
            yield case("fractions", (3, 5, 7, 9), (1, 1, 1.5, 2.3), mode, opset)
            yield case("one", (3, 5, 7, 9), (1, 1, 1, 1), mode, opset)
        # ONNX Runtime enlarges four axes at most.
        yield case("rank5", (1, 2, 3, 4, 5), (1, 1, 2, 3, 2), "nearest", opset, onnxruntime=False)
    for dtype in DTYPES:
        yield case(
            f"moves-{np.dtype(dtype).name}", (1, 2, 3, 4), (1, 1, 2, 2), "nearest", 9, dtype=dtype, onnxruntime=False
        )


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_upsample(case: Case) -> None:
    check(case)


def test_what_is_refused() -> None:
    x = {"x": np.zeros((1, 2, 3, 4), np.float32)}
    small = {"s": np.asarray([1, 1, 0.5, 2], np.float32)}
    check_refused(one_node("Upsample", x, constants=small, opset=9), x, ModelError, "a scale is 0.5", "Upsample")
    few = {"s": np.asarray([1, 2], np.float32)}
    check_refused(one_node("Upsample", x, constants=few, opset=9), x, ModelError, "scales has 2 numbers", "Upsample")
    check_refused(one_node("Upsample", x, constants=few, opset=7), x, ModelError, "as an attribute", "Upsample")
    check_refused(one_node("Upsample", x, opset=9), x, ModelError, "takes scales as input 1", "Upsample")
    cubic = one_node("Upsample", x, opset=9, constants=few, mode="cubic")
    check_refused(cubic, x, ModelError, "mode is 'cubic'", "Upsample")
