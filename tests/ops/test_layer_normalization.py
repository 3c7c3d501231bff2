from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnx_models import one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError, UnsupportedError
from sequence_models import node_case, normalized, with_float32_outputs


def layer_norm(
    name: str,
    shape: tuple[int, ...],
    scale_shape: tuple[int, ...],
    shift_shape: tuple[int, ...] | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    outputs: int = 1,
    offset: float = 0.0,
    dtype: Any = np.float32,
    constants: tuple[str, ...] = ("scale", "b"),
    opset: int = 17,
    onnxruntime: bool = True,
    symbolic: bool = False,
) -> Case:
    rng = np.random.default_rng(len(shape))
    x = np.asarray(values(rng, shape, dtype) + offset, dtype)
    scale = values(rng, scale_shape, dtype)
    shift = None if shift_shape is None else values(rng, shift_shape, dtype)
    y, mean, inverse = normalized(x, scale, 0.0 if shift is None else shift, axis, epsilon, True)
    case = node_case(
        "LayerNormalization",
        name,
        {"x": x, "scale": scale, "b": shift},
        dict(list({"y": y, "mean": mean, "inverse": inverse}.items())[:outputs]),
        constants=constants,
        opset=opset,
        dtype=dtype,
        symbolic=symbolic,
        axis=axis,
        epsilon=epsilon,
        # ONNX Runtime gives the means of float64 in float64, against the specification, and crashes where b is left
        # out.
        settings={"onnxruntime": onnxruntime and not (dtype is np.float64 and outputs > 1) and shift is not None},
    )
    return with_float32_outputs(case, "mean", "inverse")


def cases() -> Iterator[Case]:
    for length in (1, 2, 15, 16, 17, 64, 255, 768, 5000):
        yield layer_norm(f"length{length}", (3, length), (length,), (length,), outputs=3)
    for axis in range(-4, 4):
        inner = (3, 4, 5, 7)[axis:]
        yield layer_norm(f"axis{axis}", (3, 4, 5, 7), inner, inner, axis=axis, outputs=3)
        yield layer_norm(f"axis{axis}-float64", (3, 4, 5, 7), inner, axis=axis, dtype=np.float64)
    yield layer_norm("no-shift", (3, 5), (5,))
    yield layer_norm("computed", (3, 5), (5,), (5,), constants=(), symbolic=True)
    yield layer_norm("newest", (3, 5), (5,), (5,), opset=24)
    yield layer_norm("rank1", (9,), (9,), (9,), axis=0)
    yield layer_norm("one-number", (3, 5), (1,), (1,), onnxruntime=False)
    yield layer_norm("scalars", (3, 5), (), (), onnxruntime=False)
    yield layer_norm("repeats-inside", (3, 4, 5), (4, 1), (1, 5), axis=1, onnxruntime=False)
    yield layer_norm("differs-outside", (3, 4, 5), (4, 5), (3, 1, 1), onnxruntime=False)
    yield layer_norm("leading-ones", (3, 4, 5), (1, 1, 5), (5,), onnxruntime=False)
    yield layer_norm("epsilon", (3, 5), (5,), epsilon=0.1)
    yield layer_norm("float64-means", (3, 5), (5,), (5,), dtype=np.float64, outputs=3)
    yield layer_norm("many-rows", (700, 65), (65,), (65,), outputs=3)
    # The variance of numbers far from 0: a sum of squares would lose all of it.
    yield layer_norm("far", (3, 64), (64,), offset=1000.0, onnxruntime=False)
    for shape in ((0, 5), (3, 0), (0, 3, 4)):
        yield layer_norm(f"empty{shape}", shape, shape[-1:], onnxruntime=False)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_layer_normalization(case: Case) -> None:
    check(case)


def test_only_the_means() -> None:
    x = values(np.random.default_rng(0), (3, 5))
    _, mean, _ = normalized(x, np.ones(5), 0.0, -1, 1e-5, True)
    case = node_case("LayerNormalization", "means", {"x": x, "scale": np.ones(5, np.float32)}, {"": None, "mean": mean})
    check(Case(case.name, case.model, case.inputs, case.expected, length=None, onnxruntime=False))


@pytest.mark.parametrize(
    ("x", "scale", "attributes", "error", "message"),
    [
        ((3, 4), (4,), {"axis": 2}, ModelError, r"axis 2 is outside \[-2, 2\)"),
        ((), (), {}, ModelError, "x is a scalar"),
        ((3, 4), (3,), {}, ModelError, r"scale has shape \[3\], which does not broadcast to x \[3, 4\]"),
        ((3, 4), (1, 3, 4), {}, ModelError, r"scale has shape \[1, 3, 4\], which does not broadcast"),
        ((3, 4), (4,), {"epsilon": -1.0}, ModelError, "epsilon is -1"),
        ((3, 4), (4,), {"stash_type": 7}, UnsupportedError, "stash_type is 7"),
    ],
)
def test_what_does_not_fit(
    x: tuple[int, ...], scale: tuple[int, ...], attributes: dict[str, Any], error: type[Exception], message: str
) -> None:
    inputs = {"x": np.zeros(x, np.float32)}
    constants = {"scale": np.ones(scale, np.float32)}
    model = one_node("LayerNormalization", inputs, constants=constants, **attributes)
    check_refused(model, inputs, error, message, "LayerNormalization")
