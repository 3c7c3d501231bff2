from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from onnx import helper
from onnx_models import Codes, model_of, one_node, qdq_node
from runner import Case, check, check_pooled, check_refused, isas, qdq_case
from samples import values
from sanderling import _core
from sanderling.errors import ModelError, UnsupportedError
from window_references import Pool, Sliding, maximum, pools


def case(pool: Pool, dtype: npt.DTypeLike = np.float32, **settings: Any) -> Case:
    x = values(np.random.default_rng(len(pool.name)), pool.shape, dtype)
    attributes = pool.sliding.attributes(pool=True)
    model = one_node("MaxPool", {"x": x}, output_dtype=dtype, **attributes, **settings)
    expected = {"y": maximum(x, pool.sliding)[0]}
    return Case(
        f"{pool.name}-{np.dtype(dtype).name}",
        model,
        {"x": x},
        expected,
        exact=True,
        operators={"MaxPool"},
        onnxruntime=pool.onnxruntime,
    )


def cases() -> Iterator[Case]:
    for pool in pools():
        for dtype in (np.float32, np.uint8, np.int8):
            yield case(pool, dtype)
    square = Sliding((2, 2), (2, 2), pads=(1, 1, 0, 0))
    yield case(Pool("float64", (3, 5, 7, 7), square), np.float64)
    for batch in (1, 3, 8):
        yield case(Pool(f"batch{batch}", (batch, 5, 7, 7), square), symbolic_batch=True)
    for opset in (7, 8, 10, 11, 12):
        yield case(Pool(f"opset{opset}", (3, 5, 7, 7), square), opset=opset)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_max_pool(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("storage_order", [0, 1])
@pytest.mark.parametrize("pool", list(pools()), ids=lambda pool: pool.name)
def test_indices(pool: Pool, storage_order: int) -> None:
    # Few distinct values: the first of several that are equally large counts.
    x = np.random.default_rng(1).integers(-3, 3, pool.shape).astype(np.float32)
    attributes = pool.sliding.attributes(pool=True) | {"storage_order": storage_order}
    node = helper.make_node("MaxPool", ["x"], ["y", "i"], name="node", **attributes)
    model = model_of([node], {"x": (np.float32, x.shape)}, {"y": np.float32, "i": np.int64})
    largest, index = maximum(x, pool.sliding, storage_order)
    # ONNX Runtime counts a plane of dilated windows differently from one version to the next.
    check(Case(f"{pool.name}-{storage_order}", model, {"x": x}, {"y": largest, "i": index}, onnxruntime=False))


def qdq_cases() -> Iterator[Case]:
    for seed in range(24):
        rng = np.random.default_rng(seed)
        axes = 1 + seed % 2
        sliding = Sliding.random(rng, axes, pool=True)
        channels = (1, 3, 5, 17, 31, 33, 65)[seed % 7]
        extents = tuple(int(e) for e in rng.integers(40, 60, axes) * (10 if axes == 1 else 1))
        x = Codes.random(rng, ((1, 3, 8)[seed % 3], channels, *extents), (np.uint8, np.int8)[seed % 2])
        # Its codes go on as they are, or through another scale.
        y_scale = float(x.scale) * (1.0 if seed % 4 < 2 else rng.uniform(0.8, 1.5))
        y_zero = int(x.zero_point) if seed % 4 < 2 else int(rng.integers(0, 100))
        qdq = qdq_node(
            "MaxPool",
            {"x": x},
            lambda real, sliding=sliding: maximum(real, sliding)[0],
            y_scale,
            y_zero,
            y_dtype=x.codes.dtype,
            **sliding.attributes(pool=True),
        )
        yield qdq_case(f"qdq{seed}", qdq, operators={"MaxPool"})


def test_codes() -> None:
    check_pooled(qdq_cases())


def test_nan_wins() -> None:
    x = np.zeros((1, 5, 4, 4), np.float32)
    x[0, 1, 1, 2] = np.inf
    nodes = [helper.make_node("Sub", ["x", "x"], ["d"]), helper.make_node("MaxPool", ["d"], ["y"], kernel_shape=[3, 3])]
    model = model_of(nodes, {"x": (np.float32, x.shape)}, {"y": np.float32})
    with np.errstate(invalid="ignore"):
        expected = maximum(x - x, Sliding((3, 3)))[0]
    assert np.isnan(expected).sum() == 4
    check(Case("nan", model, {"x": x}, {"y": expected}, exact=True, onnxruntime=False))


def test_no_pixels_at_all() -> None:
    """Of an empty constant there is nothing to point at."""
    attributes = {"kernel_shape": [2, 2], "pads": [1, 0, 1, 0], "storage_order": 1}
    nodes = [
        helper.make_node("MaxPool", ["empty"], ["y", "i"], name="node", **attributes),
        helper.make_node("Identity", ["x"], ["z"]),
    ]
    outputs = {"y": np.float32, "i": np.int64, "z": np.float32}
    constants = {"empty": np.zeros((1, 2, 0, 4), np.float32)}
    x = np.ones(3, np.float32)
    model = model_of(nodes, {"x": (np.float32, x.shape)}, outputs, constants)
    expected = {"y": np.full((1, 2, 1, 3), -np.inf), "i": np.zeros((1, 2, 1, 3), np.int64), "z": x}
    check(Case("empty", model, {"x": x}, expected, exact=True, onnxruntime=False))


def test_a_batch_equals_its_rows_bit_for_bit() -> None:
    x = values(np.random.default_rng(0), (8, 17, 13, 12))
    model = one_node("MaxPool", {"x": x}, symbolic_batch=True, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    for isa in isas():
        session = _core.Session(_core.Model(model.SerializeToString()), isa=isa, threads=2)
        rows = [session.run({"x": x[i : i + 1]})["y"] for i in range(8)]
        np.testing.assert_array_equal(session.run({"x": x})["y"], np.concatenate(rows), err_msg=isa)


def test_what_it_does_not_take() -> None:
    inputs = {"x": np.zeros((1, 2, 5, 5), np.float32)}
    bad_order = one_node("MaxPool", inputs, kernel_shape=[2, 2], storage_order=2)
    check_refused(bad_order, inputs, ModelError, "storage_order is 2", "MaxPool")
    numbers = {"x": np.zeros((1, 2, 5, 5), np.int32)}
    model = one_node("MaxPool", numbers, kernel_shape=[2, 2], output_dtype=np.int32)
    check_refused(model, numbers, UnsupportedError, "input 0 is int32", "MaxPool")
